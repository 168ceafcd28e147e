"""The cases of the shared encoder, and of images, clips and X-rays."""

from __future__ import annotations

import re

import numpy as np
import torch
from mmpretrain.registry import MODELS
from torch import Tensor

from mm_meta_transformer.checkpoint import from_official, infer_config
from mm_meta_transformer.tokenizers.video import number_sinusoids


def encoder_base_forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return the encoder's output and those of its blocks.

    Raises:
        ValueError: the norm or the activation is another one than the encoder's.
    """
    config = manifest["config"]
    norm, act = config.get("norm", "LayerNorm eps 1e-5"), config.get("act", "exact GELU")
    eps = re.fullmatch(r"LayerNorm eps (\S+)", norm)
    if eps is None or act != "exact GELU":
        raise ValueError(f"norm={norm!r}, act={act!r}: served are 'LayerNorm eps 1e-5' (or another) and 'exact GELU'")
    official = {key: torch.from_numpy(value) for key, value in state.items()}
    settings = infer_config(official)["model"]
    settings |= dict(num_heads=config["num_heads"], norm_eps=float(eps.group(1)))
    with torch.device("meta"):  # no weights are drawn to be overwritten
        encoder = MODELS.build(settings)
    encoder.load_state_dict(from_official(official, encoder), assign=True)
    outputs: dict[str, Tensor] = {}
    for number, block in enumerate(encoder.blocks):
        block.register_forward_hook(
            lambda _block, _inputs, output, name=f"block{number}": outputs.__setitem__(name, output)
        )
    with torch.no_grad():
        outputs["output"] = encoder(torch.from_numpy(inputs["tokens"]))
    return outputs


encoder_large_forward = encoder_base_forward


def data2seq_image(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return the tokens of a picture, without class token and positions."""
    config = manifest["config"]
    tokenizer = MODELS.build(
        dict(
            type="ImageTokenizer",
            embed_dims=config["embed_dim"],
            img_size=config["img_size"],
            patch_size=config["patch_size"],
            in_channels=config["in_c"],
            class_token=False,
            position=False,
        )
    )
    return _tokens(tokenizer, state, inputs["image"])


def data2seq_video(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return the tokens of a clip, without positions."""
    config = manifest["config"]
    tokenizer = MODELS.build(
        dict(
            type="VideoTokenizer",
            embed_dims=config["embed_dim"],
            num_frames=inputs["video"].shape[2],
            img_size=config["img_size"],
            patch_size=config["patch_size"],
            tubelet_size=config["tubelet_size"],
            in_channels=config["in_c"],
            position=False,
        )
    )
    return _tokens(tokenizer, state, inputs["video"])


def video_vit_forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return what the case stores of the video model."""
    config = manifest["config"]
    model = _filled(state, num_frames=config["all_frames"], img_size=config["img_size"])
    clips = torch.from_numpy(inputs["video"])
    with torch.no_grad():
        tokens = model.extract_tokens(clips)
        feature, table = model.pooled(tokens), model.tokenizer.positions[0]
        return {
            "tokens": tokens.tokens,
            "sinusoid": table if "sinusoid" in manifest["expected_slice"] else table[::5, ::16],
            "pooled": feature,
            "logits": model.head(feature),
        }


def xray_vit_forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Return what the case stores of the X-ray model."""
    model = _filled(state)
    pictures = torch.from_numpy(inputs["image"])
    with torch.no_grad():
        features = model.encode(model.extract_tokens(pictures))
        return {"features": features, "logits": model(pictures)}


def _filled(state: dict[str, np.ndarray], **sizes: int) -> torch.nn.Module:
    """Return the model of an official state dict with its weights; ``sizes`` of the tokenizer show in no weight."""
    official = {key: torch.from_numpy(value) for key, value in state.items()}
    config = infer_config(official)["model"]
    config["tokenizer"] |= sizes
    with torch.device("meta"):  # no weights are drawn to be overwritten
        model = MODELS.build(config).eval()
    model.load_state_dict(from_official(official, model), assign=True)
    if "positions" in dict(model.tokenizer.named_buffers()):  # computed, so no part of the weights
        model.tokenizer.positions = number_sinusoids(*model.tokenizer.positions.shape[1:])
    return model


def _tokens(tokenizer: torch.nn.Module, state: dict[str, np.ndarray], values: np.ndarray) -> dict[str, Tensor]:
    tokenizer.patch_embed.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    with torch.no_grad():
        return {"tokens": tokenizer(torch.from_numpy(values)).tokens}
