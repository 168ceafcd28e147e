"""The stored cases of the position relation and of deformable attention."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mm_relation_detr.models.position_relation import PositionRelationEmbedding, box_relation, sine_features
from mmrepro.ops import MultiScaleDeformableAttention


def position_relation(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """The module, its two steps before the linear map, and the gradients of its parameters."""
    config = manifest["config"]
    module, prefix = load(PositionRelationEmbedding(**config), state)
    src, tgt, cotangent = (torch.from_numpy(inputs[name]) for name in ("src", "tgt", "cotangent"))
    encoding = box_relation(src, tgt)
    relation = module(src, tgt)
    sine = sine_features(encoding, config["embed_dim"], config["temperature"], config["scale"])
    found = {"encoding": encoding, "sine": sine, "relation": relation, "relation_self": module(src)}
    return arrays(found) | gradient_norms(module, prefix, (relation * cotangent).sum())


def ms_deform_attn(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """The core's attention alone, for points and for boxes as references, and the gradients of its parameters."""
    config = manifest["config"]
    attention = MultiScaleDeformableAttention(
        config["embed_dim"], config["num_heads"], config["num_levels"], config["num_points"], dropout=0.0
    )
    module, prefix = load(attention, state)
    given = {name: torch.from_numpy(value) for name, value in inputs.items()}
    shapes = torch.tensor(manifest["given"]["spatial_shapes"])
    starts = torch.cat([shapes.new_zeros(1), shapes.prod(1).cumsum(0)[:-1]])
    found = {
        f"out{coordinates}": module.attend(
            given["query"], given["value"], given[f"ref{coordinates}"], shapes, starts, given["padding_mask"]
        )
        for coordinates in (2, 4)
    }
    total = (sum(found.values()) * given["cotangent"]).sum()
    return arrays(found) | gradient_norms(module, prefix, total)


def load(module: nn.Module, state: dict[str, np.ndarray]) -> tuple[nn.Module, str]:
    """Load a module's official parameters and return it with what stands before its names in a checkpoint."""
    first = next(iter(module.state_dict()))
    prefix = next(key for key in state if key.endswith(first)).removesuffix(first)
    module.load_state_dict({key.removeprefix(prefix): torch.from_numpy(value) for key, value in state.items()})
    return module, prefix


def arrays(found: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Turn tensors into arrays."""
    return {name: tensor.detach().numpy() for name, tensor in found.items()}


def gradient_norms(module: nn.Module, prefix: str, total: Tensor) -> dict[str, float]:
    """Return the norm of each parameter's gradient, by the names of the case."""
    total.backward()
    return {f"grad_norms/{prefix}{name}": float(one.grad.norm()) for name, one in module.named_parameters()}
