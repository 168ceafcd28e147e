"""The parity adapter's part for the models over time tokens: Transformer and its kin, and Reformer."""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch

from mm_itransformer.baseline_checkpoint import infer_config, rules_of
from mm_itransformer.models.temporal import TemporalReformer, TemporalTransformer

OFFICIAL = {
    "model/Transformer.py:": "FullAttention",
    "model/Informer.py:": "ProbSparseAttention",
    "model/Flowformer.py:": "FlowAttention",
    "model/Flashformer.py:": "FlashAttention",
    "model/Reformer.py:": "LSHAttention",
}


def build(entry: str, config: dict, state: dict[str, np.ndarray]) -> TemporalTransformer | TemporalReformer:
    """Build our model from the official constructor arguments and load official weights into it."""
    attention = {"type": next(kind for file, kind in OFFICIAL.items() if entry.startswith(file))}
    if attention["type"] == "ProbSparseAttention":
        attention["factor"] = config["factor"]
    official = {key: torch.from_numpy(value) for key, value in state.items()}
    arguments = {key: config[key] for key in ("seq_len", "pred_len", "label_len", "n_heads", "dropout", "freq")}
    model = (TemporalReformer if attention["type"] == "LSHAttention" else TemporalTransformer)(
        **({"n_marks": 5} | infer_config(official)["model"] | arguments),
        activation="relu" if config["activation"] == "relu" else "gelu",  # as the official code reads it
        attention=attention,
        channel_independence=bool(config.get("channel_independence", False)),
    )
    model.load_state_dict(rules_of(official).forward(official), strict=True)
    return model


def run_baseline(manifest: dict, state: dict, inputs: dict) -> dict:
    """Return the forecast for the case's own decoder input, with the draws stored in it."""
    config = manifest["config"]
    model = build(manifest["entry"], config, state).eval()
    arrays = {name: torch.from_numpy(value) for name, value in inputs.items()}
    if "marks minus float32(0.5)" in manifest["notes"]["inputs"]:
        arrays |= {name: arrays[name] - 0.5 for name in ("x_mark", "y_mark") if name in arrays}
    arrays["x_dec"][:, config["label_len"] :] = 0
    draws = {
        name: [arrays[key] for key in sorted(arrays, key=lambda key: (len(key), key)) if key.startswith(name)]
        for name in ("sample_index", "rotations")
    }
    with (
        torch.no_grad(),
        mock.patch("torch.randint", side_effect=[index.long() for index in draws["sample_index"]]),
        mock.patch("torch.randn", side_effect=draws["rotations"]),
    ):
        forecast = model.decode(arrays["x_enc"], arrays.get("x_mark"), arrays["x_dec"], arrays.get("y_mark"))
    return {"output": forecast.numpy()}


KINDS = {"baseline": (run_baseline, tuple(OFFICIAL))}
