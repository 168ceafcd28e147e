"""The paper's own loading hook: a checkpoint of another network is refused by what differs, not by a list of keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from torch import nn

from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.models.frozen_features import FrozenFeatureClassifier
from mm_meta_transformer.models.meta_classifier import MetaTransformerClassifier
from mm_meta_transformer.models.multi_view_classifier import MultiViewClassifier
from mm_meta_transformer.models.unified import MetaTransformerUnified
from mmrepro.engine.model_settings_hook import ModelSettingsHook
from mmrepro.forecasting.forecaster import TemporalForecaster
from mmrepro.model_settings import require_same_settings, stored_settings
from mmrepro.safe_loading import source_of

_SAME_NETWORK = (FrozenFeatureClassifier, MultiViewClassifier)  # as MetaTransformerClassifier's, used otherwise


@HOOKS.register_module()
class MetaTransformerCheckpointHook(ModelSettingsHook):
    """Name the settings that differ when a checkpoint does not belong to the config's network.

    Heads, the norms' epsilon and the pooling show in no shape, so a wrong one would give other numbers without an
    error: checkpoints of ours carry them, and this hook compares. Official files do not say; the config's count then.

    Args:
        ignore: settings that may differ.
    """

    def settings(self, model: nn.Module) -> dict[str, Any]:
        """Return what no weight shows; see :func:`settings_of`."""
        return settings_of(model)

    def compare(self, model: nn.Module, checkpoint: Mapping[str, Any]) -> None:
        """Compare a checkpoint's settings with the model's.

        Raises:
            CheckpointMismatchError: one differs.
        """
        here = settings_of(model)
        meta = checkpoint.get("meta")
        there = {part: stored_settings(meta, part, names) for part, names in here.items()}
        require_same_settings(
            _flat(there),
            _flat(here),
            source_of(checkpoint),
            ("of another network", "not"),
            lambda name, file, config: f"{name}: {file!r} in the file, {config!r} in the config",
            lambda name: name in self.ignore,
        )


def settings_of(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the settings that no weight shows, by part: the classes, the pooling, those of each encoder.

    A forecaster has lengths, heads and the reading of time besides, and a unified model what each of its models has.
    Tokenizers, heads and backbones whose weights do not show everything say the rest in ``invisible_settings``, models
    too.
    """
    found: dict[str, dict[str, Any]] = {"network": {"type": _type_of(model)}}
    if hasattr(model, "pooling"):
        found["network"]["pooling"] = model.pooling
    found["network"] |= getattr(model, "invisible_settings", {})
    if isinstance(model, TemporalForecaster):
        found["forecaster"] = dict(model.settings)
    if isinstance(getattr(model, "tokenizer", None), nn.Module):
        found["network"]["tokenizer"] = type(model.tokenizer).__name__
    if isinstance(model, MetaTransformerUnified):
        found["network"]["fusion"] = "mean of features" if model.fusion is None else f"tokens, {model.fusion.pooling}"
        for task, own in model.models.items():
            found |= {f"models.{task}.{part}": settings for part, settings in settings_of(own).items()}
    for name, module in model.named_modules():
        if isinstance(module, MetaTransformerEncoder):
            found[name or "encoder"] = {"num_heads": module.num_heads, "norm_eps": module.blocks[0].norm1.eps}
        elif hasattr(module, "invisible_settings") and not isinstance(module, BaseModel):  # models are dealt with above
            found[name or "backbone"] = dict(module.invisible_settings)
    return found


def _type_of(model: nn.Module) -> str:
    return (MetaTransformerClassifier if isinstance(model, _SAME_NETWORK) else type(model)).__name__


def _flat(settings: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{part}.{name}": value for part, names in settings.items() for name, value in names.items()}
