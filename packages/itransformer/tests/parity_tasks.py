"""The parity adapter's part for the Time-Series-Library's model in each of its tasks; ``parity.py`` takes ``KINDS``."""

from __future__ import annotations

import re

import numpy as np
import torch
from mmengine.model import BaseModel

from mm_itransformer.checkpoint import from_official
from mm_itransformer.models import ITransformer
from mm_itransformer.models.tasks import ITransformerAnomalyDetector, ITransformerClassifier, ITransformerImputer


def formed(manifest: dict, inputs: dict[str, np.ndarray]) -> dict[str, torch.Tensor | None]:
    """Return windows, marks and mask, formed from the case's inputs as its notes say; None for what is not there."""
    notes = manifest.get("notes", {}).get("inputs", "")

    def number(pattern: str, default: float) -> np.float32:
        found = re.search(pattern, notes)
        return np.float32(found[1] if found else default)

    windows = inputs["x_enc"] + number(r"x_enc \+ float32\(([\d.]+)\)", 0.5)
    marks, mask = inputs.get("x_mark"), inputs.get("mask")
    return {
        "inputs": torch.from_numpy(windows),
        "marks": None if marks is None else torch.from_numpy(marks - number(r"x_mark - float32\(([\d.]+)\)", 0.5)),
        "mask": None if mask is None else torch.from_numpy(mask > number(r"mask > ([\d.]+)", 0.3)),
    }


def build(model: type[BaseModel], config: dict, state: dict[str, np.ndarray], **sizes: int) -> BaseModel:
    """Build one of our models from the official constructor arguments and load official weights into it."""
    widths = {key: config[key] for key in ("seq_len", "d_model", "n_heads", "e_layers", "d_ff", "dropout")}
    activation = "relu" if config["activation"] == "relu" else "gelu"  # as the official code reads it
    built = model(**widths, **sizes, activation=activation)
    converted = from_official({key: torch.from_numpy(value) for key, value in state.items()})
    built.load_state_dict(converted, strict=True)
    return built.eval()


@torch.no_grad()
def run_long_term_forecast(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the forecast; marks are read. This model always normalises its windows."""
    model = build(ITransformer, manifest["config"], state, pred_len=manifest["config"]["pred_len"])
    given = formed(manifest, inputs)
    return {"output": model(given["inputs"], given["marks"]).numpy()}


@torch.no_grad()
def run_imputation(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the imputed series; marks are read."""
    model = build(ITransformerImputer, manifest["config"], state)
    return {"output": model(**formed(manifest, inputs)).numpy()}


@torch.no_grad()
def run_anomaly_detection(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the reconstruction."""
    model = build(ITransformerAnomalyDetector, manifest["config"], state)
    return {"output": model(formed(manifest, inputs)["inputs"]).numpy()}


@torch.no_grad()
def run_classification(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the logits."""
    config = manifest["config"]
    model = build(ITransformerClassifier, config, state, n_variates=config["enc_in"], num_class=config["num_class"])
    return {"output": model(formed(manifest, inputs)["inputs"]).numpy()}


TSLIB = ("models/iTransformer.py",)
KINDS = {
    "tslib_long_term_forecast": (run_long_term_forecast, TSLIB),
    "tslib_imputation": (run_imputation, TSLIB),
    "tslib_anomaly_detection": (run_anomaly_detection, TSLIB),
    "tslib_classification": (run_classification, TSLIB),
}
