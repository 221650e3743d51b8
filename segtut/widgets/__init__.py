"""Interactive figures: each runs in JupyterLab and, without a kernel, in the built page."""

from segtut.widgets.augmentation import AugmentationExplorer
from segtut.widgets.autograd import AutogradGraph
from segtut.widgets.base import Figure
from segtut.widgets.geometry import NetworkGeometry
from segtut.widgets.metrics import MetricsPlayground
from segtut.widgets.replay import TrainingReplay

__all__ = [
    "AugmentationExplorer",
    "AutogradGraph",
    "Figure",
    "MetricsPlayground",
    "NetworkGeometry",
    "TrainingReplay",
]
