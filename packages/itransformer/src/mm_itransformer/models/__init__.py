"""The models of the paper; importing this module registers them in mmengine's ``MODELS``."""

from mm_itransformer.models.attention import FullAttention
from mm_itransformer.models.encoder import InvertedEncoder, InvertedEncoderLayer
from mm_itransformer.models.flash_attention import FlashAttention
from mm_itransformer.models.flow_attention import FlowAttention
from mm_itransformer.models.itransformer import ITransformer
from mm_itransformer.models.lsh_attention import LSHAttention
from mm_itransformer.models.prob_sparse_attention import ProbSparseAttention
from mm_itransformer.models.tasks import (
    ClassificationHead,
    ITransformerAnomalyDetector,
    ITransformerClassifier,
    ITransformerImputer,
)
from mm_itransformer.models.temporal import TemporalReformer, TemporalTransformer
from mm_itransformer.models.tokens import ForecastHead, InvertedEmbedding

__all__ = [
    "ClassificationHead",
    "FlashAttention",
    "FlowAttention",
    "ForecastHead",
    "FullAttention",
    "ITransformer",
    "ITransformerAnomalyDetector",
    "ITransformerClassifier",
    "ITransformerImputer",
    "InvertedEmbedding",
    "InvertedEncoder",
    "InvertedEncoderLayer",
    "LSHAttention",
    "ProbSparseAttention",
    "TemporalReformer",
    "TemporalTransformer",
]
