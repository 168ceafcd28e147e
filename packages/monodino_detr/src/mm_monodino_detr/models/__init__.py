"""Body, depth model, neck, encoder, decoder, head, losses and detector of MonoDINO-DETR."""

from mm_monodino_detr.models.criterion import MonoDETRCriterion
from mm_monodino_detr.models.depth_aware_decoder import DepthAwareDecoder
from mm_monodino_detr.models.depth_predictor import DepthPredictor
from mm_monodino_detr.models.dinov2_vit import DINOv2ViT
from mm_monodino_detr.models.dpt_head import DPTDepthHead
from mm_monodino_detr.models.feature_fusion import HierarchicalFeatureFusion
from mm_monodino_detr.models.group_matching import GroupHungarian3DAssigner
from mm_monodino_detr.models.mono3d_head import MonoDETRHead
from mm_monodino_detr.models.monodino_detr import MonoDINODETR
from mm_monodino_detr.models.predictions import Predictions
from mm_monodino_detr.models.pretrained import PretrainedDepthAnything, PretrainedDINOv2
from mm_monodino_detr.models.visual_encoder import VisualEncoder

__all__ = [
    "DINOv2ViT",
    "DPTDepthHead",
    "DepthAwareDecoder",
    "DepthPredictor",
    "GroupHungarian3DAssigner",
    "HierarchicalFeatureFusion",
    "MonoDETRCriterion",
    "MonoDETRHead",
    "MonoDINODETR",
    "Predictions",
    "PretrainedDINOv2",
    "PretrainedDepthAnything",
    "VisualEncoder",
]
