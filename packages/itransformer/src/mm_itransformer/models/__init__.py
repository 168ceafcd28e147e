"""The models of the paper; importing this module registers them in mmengine's ``MODELS``."""

from mm_itransformer.models.attention import FullAttention
from mm_itransformer.models.encoder import FeedForward, InvertedEncoder, InvertedEncoderLayer
from mm_itransformer.models.itransformer import ITransformer
from mm_itransformer.models.tokens import ForecastHead, InvertedEmbedding

__all__ = [
    "FeedForward",
    "ForecastHead",
    "FullAttention",
    "ITransformer",
    "InvertedEmbedding",
    "InvertedEncoder",
    "InvertedEncoderLayer",
]
