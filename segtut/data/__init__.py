"""What goes in: data sets, their transforms and downloads."""

from segtut.data.camvid import CamVid
from segtut.data.dataset import (
    VOID,
    LabelValueError,
    SegmentationDataset,
    SizeMismatchError,
    UnreadableFileError,
)
from segtut.data.download import fetch
from segtut.data.folder import FolderDataset, PictureFolder
from segtut.data.pairs import FacadePairs
from segtut.data.palette import STREETS_PALETTE, colorize
from segtut.data.streets import Streets, draw_street
from segtut.data.transforms import (
    RandomScaledCrop,
    Resize,
    resize_image,
    resize_mask,
    standard_augmentation,
)
from segtut.data.views import Augmented, InMemory, PartlyLabeled, Redrawn, Subset
from segtut.data.voc import VOCSegmentation

__all__ = [
    "STREETS_PALETTE",
    "VOID",
    "Augmented",
    "CamVid",
    "FacadePairs",
    "FolderDataset",
    "InMemory",
    "LabelValueError",
    "PartlyLabeled",
    "PictureFolder",
    "RandomScaledCrop",
    "Redrawn",
    "Resize",
    "SegmentationDataset",
    "SizeMismatchError",
    "Streets",
    "Subset",
    "UnreadableFileError",
    "VOCSegmentation",
    "colorize",
    "draw_street",
    "fetch",
    "resize_image",
    "resize_mask",
    "standard_augmentation",
]
