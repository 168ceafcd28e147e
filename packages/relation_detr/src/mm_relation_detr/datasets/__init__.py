"""Data sets in COCO's and VOC's formats, the official resize and augmentation, and the batch sampler."""

from mmdet.registry import DATASETS

from mm_relation_detr.datasets.aspect_ratio import AspectRatioGroupBatchSampler
from mm_relation_detr.datasets.detr_augmentation import DETRAugmentation, DropSmallBoxes
from mm_relation_detr.datasets.objects365 import RelationObjects365Dataset
from mm_relation_detr.datasets.sa_det_100k import SADet100kDataset
from mm_relation_detr.datasets.torch_resize import TorchResize
from mmrepro.detection.detr_coco import DetrCocoDataset
from mmrepro.detection.detr_voc import DetrVocDataset
from mmrepro.detection.generated_coco import GeneratedCocoDataset

__all__ = [
    "AspectRatioGroupBatchSampler",
    "DETRAugmentation",
    "DetrCocoDataset",
    "DetrVocDataset",
    "DropSmallBoxes",
    "GeneratedCocoDataset",
    "RelationObjects365Dataset",
    "SADet100kDataset",
    "TorchResize",
]

# their names in this paper's configs
DATASETS.register_module("RelationCocoDataset", module=DetrCocoDataset)
DATASETS.register_module("RelationVocDataset", module=DetrVocDataset)
