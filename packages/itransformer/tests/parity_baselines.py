"""The parity adapter's part for the models over time tokens: Transformer and its kin, and Reformer.

``parity.run`` hands over cases of the kind ``baseline``, and replays what they draw.
"""

from __future__ import annotations

import re

import numpy as np
import torch
import torch.nn.functional as F

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
    """Return the forecast for the case's own decoder input; without one, for the end of its windows."""
    config = manifest["config"]
    model = build(manifest["entry"], config, state).eval()
    arrays = {name: torch.from_numpy(value) for name, value in inputs.items()}
    shift = re.search(r"marks minus float32\(([\d.]+)\)", manifest.get("notes", {}).get("inputs", ""))
    if shift:
        arrays |= {name: arrays[name] - float(shift[1]) for name in ("x_mark", "y_mark") if name in arrays}
    label_len = config["label_len"]
    known = arrays["x_dec"][:, :label_len] if "x_dec" in arrays else arrays["x_enc"][:, config["seq_len"] - label_len :]
    placeholder = F.pad(known, (0, 0, 0, config["pred_len"]))
    with torch.no_grad():
        forecast = model.decode(arrays["x_enc"], arrays.get("x_mark"), placeholder, arrays.get("y_mark"))
    return {"output": forecast.numpy()}
