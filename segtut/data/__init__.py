"""What goes in: data sets, their transforms and downloads."""

from segtut.data.camvid import CamVid
from segtut.data.dataset import VOID, SegmentationDataset
from segtut.data.voc import VOCSegmentation

__all__ = ["VOID", "CamVid", "SegmentationDataset", "VOCSegmentation"]
