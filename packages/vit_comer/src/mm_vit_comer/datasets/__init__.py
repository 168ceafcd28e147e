"""Data sets of folders, CamVid and generated pictures, and the check of label maps before training."""

from mm_vit_comer.datasets.camvid import CamVidDataset
from mm_vit_comer.datasets.folder_seg import FolderSegDataset
from mm_vit_comer.datasets.label_check_hook import LabelCheckHook
from mmrepro.dense.seg_shapes import GeneratedSegDataset

__all__ = [
    "CamVidDataset",
    "FolderSegDataset",
    "GeneratedSegDataset",
    "LabelCheckHook",
]
