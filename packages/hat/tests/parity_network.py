"""The part of the parity adapter that runs the networks: outputs, gradients, tables and the discriminator."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_hat.checkpoint import from_official
from mm_hat.models import HAT, UNetDiscriminatorWithSpectralNorm
from mm_hat.models.relative_position import overlap_index
from mm_hat.models.windows import shift_mask
from mmrepro.ops.windows import relative_position_index

GAN_WEIGHT = 0.1  # of the generator's adversarial loss in the official options
MASKED_MAPS = ((16, 24), (8, 32))  # in the case of the tables, with windows of 8


def tensors(arrays: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """Return arrays as tensors."""
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def loaded(build: type[nn.Module], state: dict[str, Tensor], **config) -> nn.Module:
    """Build a network around weights, without drawing any before, in eval mode."""
    with torch.device("meta"):
        network = build(**config)
    network.load_state_dict(state, strict=True, assign=True)
    return network.requires_grad_().eval()


def build_hat(manifest: dict, state: dict[str, np.ndarray], **options) -> HAT:
    """Build our network from the official constructor arguments and the official weights."""
    converted = from_official(tensors(state))
    weights = {key.removeprefix("generator."): value for key, value in converted.items()}
    return loaded(HAT, weights, **manifest["config"], **options)


def forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Run the network and return its output and those of its parts, by their official names.

    The parts are those of a pass with gradients: without them, the head sees one strip of the maps after the other.
    """
    network, outputs, hooks = build_hat(manifest, state), {}, []
    image = torch.from_numpy(inputs["image"])
    for name in _parts(network):
        # "layers.0.blocks.1" in a case is layers.0.residual_group.blocks.1
        path = name.replace(".blocks", ".residual_group.blocks").replace(".overlap", ".residual_group.overlap")
        hook = network.get_submodule(path).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.__setitem__(name, output.detach().numpy())
        )
        hooks.append(hook)
    network(image)
    for hook in hooks:
        hook.remove()
    with torch.inference_mode():
        outputs["output"] = network(image).numpy()
    return outputs


def _parts(network: HAT) -> list[str]:
    first = ["layers.0.blocks.0", "layers.0.blocks.1.conv_block", "layers.0.blocks.1", "layers.0.overlap_attn"]
    groups = [f"layers.{i}" for i in range(len(network.layers))]
    head = ["norm", "conv_after_body", "conv_before_upsample", "upsample"]
    return ["conv_first", "patch_embed", *first, *groups, *head]


def gradients(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return the gradients of sum(output * cotangent)."""
    network = build_hat(manifest, state)
    image = torch.from_numpy(inputs["image"]).requires_grad_()
    output = network(image)
    (output * torch.from_numpy(inputs["cotangent"])).sum().backward()
    table = "relative_position_bias_table"
    return {
        "output": output.detach().numpy(),
        "grad_input": image.grad.numpy(),
        "grad_norms": _norms(network, manifest["given"]["grad_norm_names"]),
        "grad_sa_table_layer0_block0": _gradient(network, f"layers.0.residual_group.blocks.0.attn.{table}"),
        "grad_oca_table_layer1": _gradient(network, f"layers.1.residual_group.overlap_attn.{table}"),
    }


def _gradient(network: nn.Module, name: str) -> np.ndarray:
    return network.get_parameter(name).grad.numpy()


def _norms(network: nn.Module, names: list[str]) -> np.ndarray:
    return np.array([np.linalg.norm(_gradient(network, name).astype(np.float64)) for name in names])


def relative_index_and_mask(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return the index tables, with hashes of the whole of them, and the masks."""
    outputs, info = {}, {}
    for window, ratio in manifest["config"]["window_and_overlap"]:
        own = relative_position_index(window).numpy()
        outputs |= {f"sa_{window}_row0": own[0], f"sa_{window}_col1": own[:, 1]}
        info[f"sa_{window}"] = {
            "shape": list(own.shape),
            "min": int(own.min()),
            "max": int(own.max()),
            "sha256_int64_raw": _sha256(own),
        }
        larger = window + int(window * ratio)
        name, rows = f"oca_{window}_{int(100 * ratio)}", (window + larger - 1) ** 2
        around = overlap_index(window, larger).numpy()
        raw = _as_official(around, window, larger)
        outputs |= {f"{name}_row0": raw[0], f"{name}_rowlast": raw[-1], f"{name}_col0": raw[:, 0]}
        info[name] = {
            "shape": list(around.shape),
            "min": int(raw.min()),
            "max": int(raw.max()),
            "table_rows": rows,
            "distinct_mod_table": len(np.unique(around)),
            "sha256_int64_wrapped_mod_table": _sha256(around),
            "sha256_int64_raw": _sha256(raw),
        }
    for height, width in MASKED_MAPS:
        mask = shift_mask(height, width, 8).numpy()
        outputs[f"mask8_{height}x{width}"] = mask != 0
        info[f"mask8_{height}x{width}"] = {"shape": list(mask.shape), "values": np.unique(mask).tolist()}
    return outputs | {f"info/{name}/{key}": value for name, facts in info.items() for key, value in facts.items()}


def _as_official(index: np.ndarray, window: int, larger: int) -> np.ndarray:
    """Return the index with the negative values of the official code: those that count from the table's end."""
    row_length = window + larger - 1
    greatest = window * row_length + window  # of the first query and the last key
    return np.where(index > greatest, index - row_length**2, index)


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array, "<i8").tobytes()).hexdigest()


def unet_discriminator_sn(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return logits in both modes and the gradients of the generator's loss in training."""
    # In float64: a feature 3e-8 below zero is above it on some processors in float32, and leaky ReLU's slope with it.
    weights = {name: tensor.double() for name, tensor in tensors(state).items()}
    network = loaded(UNetDiscriminatorWithSpectralNorm, weights, **manifest["config"])
    image = torch.from_numpy(inputs["image"]).double().requires_grad_()
    with torch.no_grad():
        logits = network(image)
    trained = network.train()(image)
    loss = GAN_WEIGHT * F.softplus(-trained).mean()
    loss.backward()
    return {
        "logits_eval": logits.numpy(),
        "logits_train": trained.detach().numpy(),
        "g_loss_train": loss.item(),
        "grad_input": image.grad.numpy(),
        "grad_norms": _norms(network, manifest["given"]["grad_norm_names"]),
        "conv3_u_after_train_forward": network.conv3.weight_u.numpy(),
    }
