"""The numbers in the built book are the section numbers of the document that it retells."""

from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from sphinx_external_toc.parsing import parse_toc_yaml

pytestmark = pytest.mark.xdist_group("book")

ROOT = Path(__file__).parents[2]

# The document's headings, the page that retells each, and what that page's title must speak of.
HEADINGS = {
    "1": ("背景介绍", "1_background", "background"),
    "2": ("核心概念与联系", "2_core_concepts", "concepts"),
    "3": ("核心算法原理和具体操作步骤以及数学模型公式详细讲解", "3_principles", "principles"),
    "3.1": ("神经网络基础", "3_1_neural_networks/index", "neural network"),
    "3.1.1": ("前向传播", "3_1_neural_networks/1_forward_propagation", "forward propagation"),
    "3.1.2": ("损失函数", "3_1_neural_networks/2_loss_functions", "loss function"),
    "3.1.3": ("反向传播", "3_1_neural_networks/3_backpropagation", "backpropagation"),
    "3.2": ("卷积神经网络（CNN）", "3_2_cnn/index", "convolutional neural network"),
    "3.2.1": ("卷积层", "3_2_cnn/1_convolution_layer", "convolution layer"),
    "3.2.2": ("池化层", "3_2_cnn/2_pooling_layer", "pooling layer"),
    "3.2.3": ("全连接层", "3_2_cnn/3_fully_connected_layer", "fully connected layer"),
    "3.3": ("自动编码器（AE）", "3_3_autoencoder/index", "autoencoder"),
    "3.3.1": ("编码器", "3_3_autoencoder/1_encoder", "encoder"),
    "3.3.2": ("解码器", "3_3_autoencoder/2_decoder", "decoder"),
    "3.4": ("生成对抗网络（GAN）", "3_4_gan/index", "generative adversarial network"),
    "3.4.1": ("生成器", "3_4_gan/1_generator", "generator"),
    "3.4.2": ("判别器", "3_4_gan/2_discriminator", "discriminator"),
    "4": ("具体代码实例和详细解释说明", "4_practice/index", "practice"),
    "4.1": ("数据准备", "4_practice/1_data_preparation", "data preparation"),
    "4.2": ("构建模型", "4_practice/2_model", "model"),
    "4.3": ("训练模型", "4_practice/3_training", "training"),
    "5": ("未来发展趋势与挑战", "5_trends/index", "trends"),
    "6": ("附录常见问题与解答", "6_faq", "questions"),
    "7": ("结论", "7_conclusion", "conclusion"),
}
# Pages of ours that the document has no section for; they follow its last one.
ADDED = {
    "3.2.4": "3_2_cnn/4_segmentation",
    "3.3.3": "3_3_autoencoder/3_segmentation",
    "3.4.3": "3_4_gan/3_segmentation",
    "4.4": "4_practice/4_evaluation",
    "5.1": "5_trends/1_resolution",
    "5.2": "5_trends/2_classes",
    "5.3": "5_trends/3_scenes",
    "5.4": "5_trends/4_algorithms",
}


def headings(html: Path) -> list[tuple[str, str]]:
    """Number and text of every heading in a built page; the number is empty where there is none."""
    article = BeautifulSoup(html.read_text(encoding="utf-8"), "html.parser").find("article")
    assert article is not None
    found = []
    for heading in article.find_all(["h1", "h2", "h3"]):
        for link in heading.find_all("a"):
            link.decompose()
        number = heading.find(class_="section-number")
        digits = number.extract().get_text().strip().rstrip(".") if number else ""
        found.append((digits, heading.get_text().strip()))
    return found


@pytest.fixture(scope="module")
def built(small_book: Path) -> dict[str, list[tuple[str, str]]]:
    """The headings of every page that the table of contents names."""
    names = parse_toc_yaml(ROOT / "_toc.yml")
    return {name: headings(small_book / f"{name}.html") for name in names}


def test_pages_carry_the_numbers_of_the_document(built):
    numbers = {name: found[0][0] for name, found in built.items() if found[0][0]}
    expected = {f"chapters/{page}": number for number, (_, page, _) in HEADINGS.items()}
    expected |= {f"chapters/{page}": number for number, page in ADDED.items()}
    assert numbers == expected


@pytest.mark.parametrize("number", HEADINGS)
def test_titles_speak_of_what_the_section_is_about(built, number):
    _, page, subject = HEADINGS[number]
    assert subject in built[f"chapters/{page}"][0][1].lower()


def test_headings_inside_pages_have_no_number(built):
    inside = [heading for found in built.values() for heading in found[1:]]
    assert len(inside) > len(HEADINGS)
    assert [heading for heading in inside if heading[0]] == []


def test_navigation_shows_the_same_numbers(built, small_book):
    page = BeautifulSoup((small_book / "book" / "cover.html").read_text("utf-8"), "html.parser")
    links = page.select("nav.bd-links a.reference.internal")
    shown = {link["href"].removeprefix("../"): link.get_text().strip() for link in links}
    for number, (_, name, _) in HEADINGS.items():
        title = built[f"chapters/{name}"][0][1]
        assert shown[f"chapters/{name}.html"] == f"{number}. {title}"
