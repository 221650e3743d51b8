"""The article's image classifier, and the same network made to label every pixel."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from segtut.models.normalize import Normalize

DENSE_WIDTH = 64


class ArticleClassifier(nn.Module):
    """The network of the article's section 4.2: one answer an image.

    Layer for layer its Keras model: two unpadded 3x3 convolutions (32 and 64 channels), each
    followed by ReLU and 2x2 max pooling, then Flatten, Dense(64), Dropout(0.5), Dense. Keras
    ends with a softmax; here `forward` returns what goes into it, as the losses expect, and
    `probabilities` applies it.

    images (N, 3, *size), float, 0-1, RGB, to logits (N, num_classes).

    Args:
        num_classes: number of answers.
        size: height and width of every image; Flatten ties the network to it.

    Raises:
        ValueError: the size leaves nothing to flatten, or images have another size.
    """

    def __init__(self, num_classes: int, size: tuple[int, int] = (224, 224)) -> None:
        super().__init__()
        height, width = (_size_after_features(side) for side in size)
        if min(height, width) < 1:
            raise ValueError(
                f"ArticleClassifier got size={size}; its two convolutions and poolings "
                "leave nothing of an image under 10 pixels a side."
            )
        self.size = tuple(size)
        self.normalize = Normalize()
        self.features = _features(padding=0)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(64 * height * width, DENSE_WIDTH)
        self.dropout = nn.Dropout(0.5)
        self.classify = nn.Linear(DENSE_WIDTH, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[-2:] != self.size:
            raise ValueError(
                f"ArticleClassifier was built for images of {self.size[0]}x{self.size[1]} and "
                f"got {images.shape[-2]}x{images.shape[-1]}; resize them, or use ClassifierFCN, "
                "which takes any size."
            )
        x = self.flatten(self.features(self.normalize(images)))
        return self.classify(self.dropout(torch.relu(self.dense(x))))

    def probabilities(self, images: Tensor) -> Tensor:
        """The article's output: softmax of the logits, (N, num_classes), rows sum to one."""
        return self.forward(images).softmax(dim=1)


class ClassifierFCN(nn.Module):
    """The article's classifier made convolutional: one answer every four pixels.

    Long et al. (2015), section 3.1: a dense layer is a convolution whose kernel covers its
    whole input (`convolutionalize` does exactly that). Here the kernel shrinks to 1x1 and the
    convolutions are padded, so the network takes any size and 11.9 million weights become
    4,160; the poolings leave a quarter of the resolution, which bilinear upsampling brings back.

    images (N, 3, H, W), float, 0-1, RGB, to logits (N, num_classes, H, W), any H, W >= 1.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.normalize = Normalize()
        self.features = _features(padding=1)
        self.dense = nn.Conv2d(64, DENSE_WIDTH, kernel_size=1)
        self.dropout = nn.Dropout2d(0.5)
        self.classify = nn.Conv2d(DENSE_WIDTH, num_classes, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        x = self.features(self.normalize(images))
        coarse = self.classify(self.dropout(torch.relu(self.dense(x))))
        return interpolate(coarse, scale_factor=4, mode="bilinear")[..., :height, :width]


def convolutionalize(classifier: ArticleClassifier) -> nn.Sequential:
    """The classifier slid over a larger image, as one network with the same weights.

    images (N, 3, H, W), at least of the classifier's size (h, w), to scores
    (N, num_classes, (H - h) // 4 + 1, (W - w) // 4 + 1): the one at (i, j) is the classifier's
    answer to the window whose upper left pixel is (4i, 4j). The weights are copied.

    Source: Long et al. (2015), section 3.1.
    """
    height, width = (_size_after_features(side) for side in classifier.size)
    hidden, num_classes = classifier.classify.in_features, classifier.classify.out_features
    dense = nn.Conv2d(64, hidden, kernel_size=(height, width))
    classify = nn.Conv2d(hidden, num_classes, kernel_size=1)
    for convolution, linear in ((dense, classifier.dense), (classify, classifier.classify)):
        state = {
            "weight": linear.weight.view(convolution.weight.shape),
            "bias": linear.bias,
        }
        convolution.load_state_dict(state)
    front = copy.deepcopy(nn.Sequential(classifier.normalize, classifier.features))
    network = nn.Sequential(front, dense, nn.ReLU(inplace=True), nn.Dropout2d(0.5), classify)
    return network.train(classifier.training)


def _features(padding: int) -> nn.Sequential:
    # Padded means any size: pooling then rounds up, so that a 1x1 image keeps its pixel.
    def pool() -> nn.Module:
        return nn.MaxPool2d(2, ceil_mode=padding > 0)

    return nn.Sequential(
        nn.Conv2d(3, 32, kernel_size=3, padding=padding),
        nn.ReLU(inplace=True),
        pool(),
        nn.Conv2d(32, 64, kernel_size=3, padding=padding),
        nn.ReLU(inplace=True),
        pool(),
    )


def _size_after_features(side: int) -> int:
    return ((side - 2) // 2 - 2) // 2
