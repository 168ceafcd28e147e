"""The official resize and published batches; data sets in COCO's or VOC's format are the core's."""

from mm_vidt.datasets.published_batches import PublishedBatches
from mm_vidt.datasets.vidt_resize import ViDTResize
from mmrepro.detection.detr_coco import DetrCocoDataset
from mmrepro.detection.detr_voc import DetrVocDataset
from mmrepro.detection.flip_resize_crop import FlipResizeCrop
from mmrepro.detection.generated_coco import GeneratedCocoDataset

__all__ = [
    "DetrCocoDataset",
    "DetrVocDataset",
    "FlipResizeCrop",
    "GeneratedCocoDataset",
    "PublishedBatches",
    "ViDTResize",
]
