"""The Time-Series-Library's tasks beside forecasting; importing this module registers them in mmengine's ``MODELS``."""

from mm_itransformer.models.tasks.anomaly_detection import ITransformerAnomalyDetector
from mm_itransformer.models.tasks.classification import ClassificationHead, ITransformerClassifier
from mm_itransformer.models.tasks.imputation import ITransformerImputer

__all__ = ["ClassificationHead", "ITransformerAnomalyDetector", "ITransformerClassifier", "ITransformerImputer"]
