"""KITTI's 3D object data, the official augmentation, and what the detector is trained with."""

from mm_monodino_detr.datasets.flip_crop_affine import KittiFlipCropAffine
from mm_monodino_detr.datasets.generated_kitti import GeneratedKitti3DDataset
from mm_monodino_detr.datasets.kitti_object import Kitti3DDataset
from mm_monodino_detr.datasets.load_kitti_annotations import LoadKittiAnnotations3D
from mm_monodino_detr.datasets.pack_mono3d import PackMono3DInputs
from mm_monodino_detr.datasets.photometric_distort import KittiPhotometricDistort

__all__ = [
    "GeneratedKitti3DDataset",
    "Kitti3DDataset",
    "KittiFlipCropAffine",
    "KittiPhotometricDistort",
    "LoadKittiAnnotations3D",
    "PackMono3DInputs",
]
