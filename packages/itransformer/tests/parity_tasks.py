"""The parity adapter's part for the Time-Series-Library's tasks beside forecasting; ``parity.py`` takes ``KINDS``."""

from __future__ import annotations

import re

import numpy as np
import torch

from mm_itransformer.checkpoint import from_official
from mm_itransformer.models.tasks import ITransformerAnomalyDetector, ITransformerClassifier, ITransformerImputer
from mm_itransformer.models.tasks.base import InvertedTask


def formed(manifest: dict, inputs: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """Return windows, marks and mask, formed from the case's inputs as its notes say."""
    notes = manifest["notes"]["inputs"]

    def number(pattern: str) -> np.float32:
        return np.float32(re.search(pattern, notes)[1])

    return {
        "inputs": torch.from_numpy(inputs["x_enc"] + number(r"x_enc \+ float32\(([\d.]+)\)")),
        "marks": torch.from_numpy(inputs["x_mark"] - number(r"x_mark - float32\(([\d.]+)\)")),
        "mask": torch.from_numpy(inputs["mask"] > number(r"mask > ([\d.]+)")),
    }


def build(model: type[InvertedTask], config: dict, state: dict[str, np.ndarray], **sizes: int) -> InvertedTask:
    """Build one of our models from the official constructor arguments and load official weights into it."""
    widths = {key: config[key] for key in ("seq_len", "d_model", "n_heads", "e_layers", "d_ff", "dropout")}
    activation = "relu" if config["activation"] == "relu" else "gelu"  # as the official code reads it
    built = model(**widths, **sizes, activation=activation)
    converted = from_official({key: torch.from_numpy(value) for key, value in state.items()})
    built.load_state_dict(converted, strict=True)
    return built.eval()


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
    "tslib_imputation": (run_imputation, TSLIB),
    "tslib_anomaly_detection": (run_anomaly_detection, TSLIB),
    "tslib_classification": (run_classification, TSLIB),
}
