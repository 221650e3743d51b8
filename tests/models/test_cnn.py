import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate

from segtut.models import ArticleClassifier, ClassifierFCN, convolutionalize, count_parameters


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_the_article_s_parameter_count_by_hand() -> None:
    model = ArticleClassifier(21)
    # 224 - 2 = 222, halved 111, - 2 = 109, halved 54.
    assert model.dense.weight.shape == (64, 64 * 54 * 54)
    dense = 64 * 54 * 54 * 64 + 64
    convolutions = 9 * 3 * 32 + 32 + 9 * 32 * 64 + 64
    assert count_parameters(model) == convolutions + dense + 64 * 21 + 21
    assert dense / count_parameters(model) > 0.99


def test_the_classifier_s_layers_are_the_article_s() -> None:
    kinds = [type(layer) for layer in ArticleClassifier(3, size=(32, 32)).features]
    assert kinds == [nn.Conv2d, nn.ReLU, nn.MaxPool2d] * 2
    assert ArticleClassifier(3, size=(32, 32)).dropout.p == 0.5


def test_logits_and_probabilities() -> None:
    torch.manual_seed(0)
    model = ArticleClassifier(3, size=(30, 26)).eval()
    images = random(2, 3, 30, 26)
    logits, probabilities = model(images), model.probabilities(images)
    assert logits.shape == (2, 3)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(probabilities, logits.exp() / logits.exp().sum(1, keepdim=True))


def test_other_sizes_are_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"30x26 and got 32x26.*ClassifierFCN"):
        ArticleClassifier(3, size=(30, 26))(random(1, 3, 32, 26))
    with pytest.raises(ValueError, match="under 10 pixels"):
        ArticleClassifier(3, size=(9, 224))
    assert ArticleClassifier(3, size=(10, 10))(random(1, 3, 10, 10)).shape == (1, 3)


def test_the_convolutional_classifier_gives_the_classifier_s_answer_at_every_position() -> None:
    torch.manual_seed(0)
    size = (30, 26)
    classifier = ArticleClassifier(5, size).eval()
    images = random(2, 3, 45, 41)
    with torch.inference_mode():
        scores = convolutionalize(classifier)(images)
        assert scores.shape == (2, 5, (45 - 30) // 4 + 1, (41 - 26) // 4 + 1)
        for i in range(scores.shape[2]):
            for j in range(scores.shape[3]):
                window = images[..., 4 * i : 4 * i + 30, 4 * j : 4 * j + 26]
                torch.testing.assert_close(scores[..., i, j], classifier(window))


def test_convolutionalize_copies_the_weights() -> None:
    classifier = ArticleClassifier(5, (30, 26)).eval()
    network = convolutionalize(classifier)
    assert not network.training
    before = classifier(random(1, 3, 30, 26))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert torch.equal(classifier(random(1, 3, 30, 26)), before)


def test_fcn_with_the_classifier_s_weights_answers_as_a_classifier_of_its_window() -> None:
    # A classifier of 10x10 images has one value a channel left to flatten, so its Dense layers
    # are the 1x1 convolutions of ClassifierFCN, weight for weight.
    torch.manual_seed(0)
    classifier = ArticleClassifier(5, (10, 10)).eval()
    fcn = ClassifierFCN(5).eval()
    fcn.features.load_state_dict(classifier.features.state_dict())
    for convolution, linear in ((fcn.dense, classifier.dense), (fcn.classify, classifier.classify)):
        convolution.load_state_dict(
            {"weight": linear.weight[:, :, None, None], "bias": linear.bias}
        )
    images = random(1, 3, 40, 48)
    coarse = fcn.classify(torch.relu(fcn.dense(fcn.features(fcn.normalize(images)))))
    # Padding moves a window by one pixel before each pooling: 1 + 2 = 3 pixels up and left.
    for i, j in ((3, 4), (5, 2), (1, 1)):
        window = images[..., 4 * i - 3 : 4 * i + 7, 4 * j - 3 : 4 * j + 7]
        torch.testing.assert_close(coarse[..., i, j], classifier(window))
    torch.testing.assert_close(fcn(images), interpolate(coarse, size=(40, 48), mode="bilinear"))


def test_fcn_parameter_count_by_hand() -> None:
    convolutions = 9 * 3 * 32 + 32 + 9 * 32 * 64 + 64
    assert count_parameters(ClassifierFCN(8)) == convolutions + 64 * 64 + 64 + 64 * 8 + 8
