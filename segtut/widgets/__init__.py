"""Interactive figures: each runs in JupyterLab and, without a kernel, in the built page."""

from segtut.widgets.activation_map import ActivationMap
from segtut.widgets.attention import AttentionExplorer
from segtut.widgets.augmentation import AugmentationExplorer
from segtut.widgets.autograd import AutogradGraph
from segtut.widgets.base import Figure
from segtut.widgets.boundary import ColorBoundary
from segtut.widgets.code_explorer import CodeExplorer
from segtut.widgets.code_sampler import CodeSampler
from segtut.widgets.confusion import ConfusionExplorer
from segtut.widgets.convolution import ConvolutionGeometry
from segtut.widgets.descent import Descent
from segtut.widgets.discriminator_map import DiscriminatorMap
from segtut.widgets.gan_trainer import GanTrainer
from segtut.widgets.geometry import NetworkGeometry
from segtut.widgets.grid import GridScores
from segtut.widgets.kernel import KernelEditor
from segtut.widgets.label_painter import LabelPainter
from segtut.widgets.latent_walk import LatentWalk
from segtut.widgets.live import LiveNetwork
from segtut.widgets.loss_curves import LossCurves
from segtut.widgets.mask_doctor import MaskDoctor
from segtut.widgets.masked_patches import MaskedPatches
from segtut.widgets.metrics import MetricsPlayground
from segtut.widgets.photo_labeler import PhotoLabeler
from segtut.widgets.pooling import PoolingShift
from segtut.widgets.regions import RegionGrower
from segtut.widgets.replay import TrainingReplay
from segtut.widgets.tile_explorer import TileExplorer
from segtut.widgets.upsampling import UpsamplingExplorer
from segtut.widgets.weather_shift import WeatherShift

__all__ = [
    "ActivationMap",
    "AttentionExplorer",
    "AugmentationExplorer",
    "AutogradGraph",
    "CodeExplorer",
    "CodeSampler",
    "ColorBoundary",
    "ConfusionExplorer",
    "ConvolutionGeometry",
    "Descent",
    "DiscriminatorMap",
    "Figure",
    "GanTrainer",
    "GridScores",
    "KernelEditor",
    "LabelPainter",
    "LatentWalk",
    "LiveNetwork",
    "LossCurves",
    "MaskDoctor",
    "MaskedPatches",
    "MetricsPlayground",
    "NetworkGeometry",
    "PhotoLabeler",
    "PoolingShift",
    "RegionGrower",
    "TileExplorer",
    "TrainingReplay",
    "UpsamplingExplorer",
    "WeatherShift",
]
