"""The models that iTransformer is compared with: their tokens are time steps, each of which holds all variates."""

from mm_itransformer.models.temporal.reformer import TemporalReformer
from mm_itransformer.models.temporal.transformer import TemporalTransformer

__all__ = ["TemporalReformer", "TemporalTransformer"]
