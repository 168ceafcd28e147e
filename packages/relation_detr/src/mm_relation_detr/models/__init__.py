"""Detectors, their heads and parts, and the position relation, which can be used alone."""

from mm_relation_detr.models.dab_deformable_detr_pp import DABDeformableDETRPP
from mm_relation_detr.models.deformable_detr_pp import DeformableDETRPP
from mm_relation_detr.models.dino_pp import DINOPP
from mm_relation_detr.models.dn_deformable_detr_pp import DNDeformableDETRPP
from mm_relation_detr.models.focalnet import FocalNet
from mm_relation_detr.models.matching import BatchedHungarianAssigner
from mm_relation_detr.models.position_relation import PositionRelationEmbedding
from mm_relation_detr.models.pretrained import PretrainedBackbone
from mm_relation_detr.models.raw_convnext import RelationConvNeXt
from mm_relation_detr.models.raw_swin import RelationSwin
from mm_relation_detr.models.relation_detr import RelationDETR
from mm_relation_detr.models.relation_dino import DINOWithPositionRelation
from mm_relation_detr.models.relation_head import RelationDETRHead
from mm_relation_detr.models.varifocal import RelationVarifocalLoss

__all__ = [
    "DINOPP",
    "BatchedHungarianAssigner",
    "DABDeformableDETRPP",
    "DINOWithPositionRelation",
    "DNDeformableDETRPP",
    "DeformableDETRPP",
    "FocalNet",
    "PositionRelationEmbedding",
    "PretrainedBackbone",
    "RelationConvNeXt",
    "RelationDETR",
    "RelationDETRHead",
    "RelationSwin",
    "RelationVarifocalLoss",
]
