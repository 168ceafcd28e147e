"""Bodies, neck, decoder, heads, losses and detectors of ViDT and ViDT+."""

from mm_vidt.models.coat_lite import ViDTCoaT
from mm_vidt.models.criterion import ViDTCriterion
from mm_vidt.models.dct_mask_coder import DCTMaskCoder
from mm_vidt.models.distiller import ViDTDistiller
from mm_vidt.models.epff import EPFF
from mm_vidt.models.neck_free import ViDTNeckFree, ViDTNeckFreeHead
from mm_vidt.models.neck_free_criterion import NeckFreeCriterion
from mm_vidt.models.predictions import Predictions
from mm_vidt.models.pretrained import PretrainedCoaTBody, PretrainedSwinBody
from mm_vidt.models.ram_swin import ViDTSwinTransformer
from mm_vidt.models.tokens import ViDTTokens
from mm_vidt.models.vidt import ViDT
from mm_vidt.models.vidt_head import ViDTHead

__all__ = [
    "EPFF",
    "DCTMaskCoder",
    "NeckFreeCriterion",
    "Predictions",
    "PretrainedCoaTBody",
    "PretrainedSwinBody",
    "ViDT",
    "ViDTCoaT",
    "ViDTCriterion",
    "ViDTDistiller",
    "ViDTHead",
    "ViDTNeckFree",
    "ViDTNeckFreeHead",
    "ViDTSwinTransformer",
    "ViDTTokens",
]
