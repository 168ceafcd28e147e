"""Data sets in COCO's and VOC's formats, the official resize and augmentation, and the batch sampler."""

from mm_relation_detr.datasets.aspect_ratio import AspectRatioGroupBatchSampler
from mm_relation_detr.datasets.detr_augmentation import DETRAugmentation, DropSmallBoxes
from mm_relation_detr.datasets.generated import GeneratedCocoDataset
from mm_relation_detr.datasets.objects365 import RelationObjects365Dataset
from mm_relation_detr.datasets.relation_coco import RelationCocoDataset
from mm_relation_detr.datasets.relation_voc import RelationVocDataset
from mm_relation_detr.datasets.sa_det_100k import SADet100kDataset
from mm_relation_detr.datasets.torch_resize import TorchResize

__all__ = [
    "AspectRatioGroupBatchSampler",
    "DETRAugmentation",
    "DropSmallBoxes",
    "GeneratedCocoDataset",
    "RelationCocoDataset",
    "RelationObjects365Dataset",
    "RelationVocDataset",
    "SADet100kDataset",
    "TorchResize",
]
