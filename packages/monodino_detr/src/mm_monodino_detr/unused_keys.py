"""Parameters that the official code has and never uses: left out of our files, and made again on the way back.

The official code loads strictly, so its files need them. Their values have no effect, and here they are zeros.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial

from torch import Tensor

State = Mapping[str, Tensor]
DECODER = "depthaware_transformer.decoder"
_LAYER = re.compile(re.escape(DECODER) + r"\.layers\.\d+\.sa_qpos_proj\.(weight|bias)")


def unused_rules(dab: bool) -> dict[str, Callable[[State], dict[str, Tensor]]]:
    """Return the patterns of never-used names, and what makes their entries from the official state dict without them.

    Args:
        dab: whether queries are anchor boxes. If not, what makes positions of boxes is without use as well.
    """
    rules: dict[str, Callable[[State], dict[str, Tensor]]] = {
        f"{DECODER}.layers.{{i}}.sa_v_proj.*": _value_projections,
        "label_enc.weight": _label_encoding,
    }
    if dab:
        return rules | {f"{DECODER}.query_scale_bbox.*": partial(_perceptron, name="query_scale_bbox", out=2, hidden=2)}
    return rules | {
        f"{DECODER}.query_scale.*": partial(_perceptron, name="query_scale"),
        f"{DECODER}.ref_point_head.*": partial(_perceptron, name="ref_point_head", out=2),
    }


def _value_projections(state: State) -> dict[str, Tensor]:
    """Return them like the other projections of each layer's self-attention."""
    return {
        key.replace("sa_qpos_proj", "sa_v_proj"): tensor.new_zeros(tensor.shape)
        for key, tensor in state.items()
        if _LAYER.fullmatch(key)
    }


def _perceptron(state: State, name: str, hidden: int | None = None, out: int | None = None) -> dict[str, Tensor]:
    """Return a perceptron of two layers on the queries; None stands for their width."""
    norm = state.get(f"{DECODER}.layers.0.norm1.weight")
    if norm is None:
        return {}
    width, prefix = len(norm), f"{DECODER}.{name}.layers"
    hidden, out = hidden or width, out or width
    return {
        f"{prefix}.0.weight": norm.new_zeros(hidden, width),
        f"{prefix}.0.bias": norm.new_zeros(hidden),
        f"{prefix}.1.weight": norm.new_zeros(out, hidden),
        f"{prefix}.1.bias": norm.new_zeros(out),
    }


def _label_encoding(state: State) -> dict[str, Tensor]:
    """Return the embedding of labels for a denoising that does not run: one row more than classes, one column fewer."""
    scores = state.get("class_embed.0.weight")
    if scores is None:
        return {}
    rows, width = scores.shape
    return {"label_enc.weight": scores.new_zeros(rows + 1, width - 1)}
