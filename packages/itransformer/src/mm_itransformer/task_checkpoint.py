"""Checkpoints of the Time-Series-Library's tasks beside forecasting: which task and which sizes they show.

Official files: a bare state dict, ``checkpoints/<setting>/checkpoint.pth`` of thuml/Time-Series-Library @ 4e938a1. Its
last layer, ``projection``, is (L, E) for imputation and anomaly detection, with L the window's length and E the width,
and (num_class, E*V) for classification of V series. Only the latter shows in the shapes, where V > 1; the other two
look like each other, and like a forecaster of as many steps as it reads, so their files need the option ``task``. The
keys are a forecaster's: :mod:`.checkpoint` converts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mm_itransformer.encoder_checkpoint import ENCODER_RULES, ENCODER_WITNESSES, heads_of, require_positive, sizes
from mm_itransformer.models.tasks import ITransformerAnomalyDetector, ITransformerClassifier, ITransformerImputer
from mmrepro.checkpoint import KeyRules, Rename

Task = Literal["imputation", "anomaly_detection", "classification"]

RULES = KeyRules((*ENCODER_RULES, Rename("projection.*", "head.proj.*")))

_MODELS = {model.task: model for model in (ITransformerImputer, ITransformerAnomalyDetector, ITransformerClassifier)}
_HEAD = "head.proj.weight"
_RECONSTRUCTION_WITNESSES = ENCODER_WITNESSES | {
    "d_model": ENCODER_WITNESSES["d_model"] | {_HEAD: 1},
    "steps": {_HEAD: 0, "head.proj.bias": 0},
}
_CLASSIFICATION_WITNESSES = ENCODER_WITNESSES | {"num_class": {_HEAD: 0, "head.proj.bias": 0}, "flat": {_HEAD: 1}}


def is_task_state(state: Mapping[str, Tensor]) -> bool:
    """Return whether the shapes show a classifier: in either layout, the head reads several tokens at once."""
    found = sizes(_ours(state), _CLASSIFICATION_WITNESSES)
    width, flat = found.get("d_model", 0), found.get("flat", 0)
    return width > 0 and flat > width and flat % width == 0


def infer_config(
    state: Mapping[str, Tensor], *, task: Task | None = None, n_heads: int | None = None
) -> dict[str, dict[str, Any]]:
    """Return ``{"model": settings}``: what the shapes say of the model, in either layout, however incomplete.

    Args:
        state: a state dict.
        task: the model's task; only classification shows in the shapes.
        n_heads: how the model was trained; no weight shows it, so it is left out unless given.

    Raises:
        ValueError: the task is unknown, or ``n_heads`` is not positive.
    """
    require_positive(n_heads=n_heads)
    settings = _settings(state, task)
    settings.pop("inner", None)
    return {"model": settings | ({} if n_heads is None else {"n_heads": n_heads})}


def target(state: Mapping[str, Tensor], *, task: Task | None = None, n_heads: int | None = None) -> nn.Module:
    """Return the task's model, on the meta device, that has the sizes of a state dict in either layout.

    A complete file fills it; of an incomplete or misshapen one, the keys that do not fit are those at fault.

    Args:
        state: a state dict.
        task: the model's task; only classification shows in the shapes.
        n_heads: the number of heads, for widths that it does not divide.

    Raises:
        ValueError: the task is unknown, or ``n_heads`` is not positive.
    """
    settings = infer_config(state, task=task, n_heads=n_heads)["model"]
    model = _MODELS[settings.pop("task")]
    if n_heads is None:
        settings["n_heads"] = heads_of(settings.get("d_model", 1), _settings(state, task).get("inner"))
    if model is ITransformerClassifier:
        settings = {"n_variates": 1, "num_class": 1} | settings  # for a file without its head
    with torch.device("meta"):
        return model(**settings)


def _settings(state: Mapping[str, Tensor], task: str | None) -> dict[str, Any]:
    """Return the task and its sizes; ``inner`` too."""
    if task is None:
        if not is_task_state(state):
            raise ValueError(
                "imputation, anomaly detection and forecasting do not show in the shapes. "
                f"Fix: give task, one of {', '.join(map(repr, _MODELS))}"
            )
        task = ITransformerClassifier.task
    if task not in _MODELS:
        raise ValueError(f"task={task!r} is not one of {', '.join(map(repr, _MODELS))}")
    if task != ITransformerClassifier.task:
        found = sizes(_ours(state), _RECONSTRUCTION_WITNESSES)
        steps = found.pop("steps", None)
        if steps is not None:
            found.setdefault("seq_len", steps)  # the embedding's length goes first
        return {"task": task} | found
    found = sizes(_ours(state), _CLASSIFICATION_WITNESSES)
    flat = found.pop("flat", None)
    if flat is not None and "d_model" in found:
        found["n_variates"] = max(flat // found["d_model"], 1)
    return {"task": task} | found


def _ours(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    official = any(key.startswith(("enc_embedding.", "encoder.")) for key in state)
    return RULES.known(state) if official else state
