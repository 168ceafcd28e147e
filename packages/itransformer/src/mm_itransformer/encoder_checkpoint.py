"""What every checkpoint of an inverted encoder has in common, whatever its head: the keys, and where a size shows.

Official layouts: thuml/iTransformer @ c2426e6 and thuml/Time-Series-Library @ 4e938a1, which name these keys alike.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from mmrepro.checkpoint import Join, Rename, Squeeze

_OFFICIAL, _OURS = "encoder.attn_layers.{i}", "backbone.layers.{i}"

ENCODER_RULES = (
    Rename("enc_embedding.value_embedding.*", "embedding.proj.*"),
    Join(
        tuple(f"{_OFFICIAL}.attention.{name}_projection.*" for name in ("query", "key", "value")),
        f"{_OURS}.attn.qkv.*",
    ),
    Rename(f"{_OFFICIAL}.attention.out_projection.*", f"{_OURS}.attn.proj.*"),
    Squeeze(f"{_OFFICIAL}.conv1.weight", f"{_OURS}.ffn.fc1.weight"),
    Squeeze(f"{_OFFICIAL}.conv2.weight", f"{_OURS}.ffn.fc2.weight"),
    Rename(f"{_OFFICIAL}.conv1.bias", f"{_OURS}.ffn.fc1.bias"),
    Rename(f"{_OFFICIAL}.conv2.bias", f"{_OURS}.ffn.fc2.bias"),
    Rename(f"{_OFFICIAL}.norm1.*", f"{_OURS}.norm1.*"),
    Rename(f"{_OFFICIAL}.norm2.*", f"{_OURS}.norm2.*"),
    Rename("encoder.norm.*", "backbone.norm.*"),
)

# Our keys, and the axis on which a size shows.
Witnesses = Mapping[str, Mapping[str, int]]
ENCODER_WITNESSES: Witnesses = {
    "seq_len": {"embedding.proj.weight": 1},
    "d_model": {
        "embedding.proj.weight": 0,
        "embedding.proj.bias": 0,
        "backbone.norm.weight": 0,
        "backbone.norm.bias": 0,
    },
    "d_ff": {"layer.ffn.fc1.weight": 0, "layer.ffn.fc1.bias": 0, "layer.ffn.fc2.weight": 1},
    "inner": {"layer.attn.proj.weight": 1},
}
_LAYER = re.compile(r"backbone\.layers\.(\d+)\.")


def sizes(ours: Mapping[str, Tensor], witnesses: Witnesses) -> dict[str, int]:
    """Return what the shapes of our state dict say, however incomplete, and ``e_layers``.

    What most witnesses of a size say counts, so that an error names the odd one out. ``inner`` is the heads' width
    together, which differs from ``d_model`` where the number of heads does not divide it.
    """
    found = {}
    for name, axes in witnesses.items():
        seen = [
            tensor.shape[axes[key]]
            for full, tensor in ours.items()
            if (key := _LAYER.sub("layer.", full, count=1)) in axes and axes[key] < tensor.ndim
        ]
        if any(seen):  # no size is 0
            found[name] = Counter(size for size in seen if size).most_common(1)[0][0]
    layers = [int(match.group(1)) for key in ours if (match := _LAYER.match(key))]
    if layers:  # a stray index must not cost a model of that many layers
        found["e_layers"] = min(max(layers) + 1, len(ours))
    return found


def heads_of(width: int, inner: int | None) -> int:
    """Return the least number of heads that makes tokens of ``width`` as wide as ``inner`` inside the attention."""
    return next((n for n in range(1, width + 1) if width // n * n == inner), 1)


def require_positive(**numbers: int | None) -> None:
    """Raise a ValueError that names the first of the given numbers that is not positive; None is not given."""
    for name, value in numbers.items():
        if value is not None and value < 1:
            raise ValueError(f"{name}={value} is not positive")
