"""The parity adapter's part for audio: filter bank, patch embedding, the whole model."""

from __future__ import annotations

import numpy as np
import torch
from mmpretrain.registry import MODELS, TRANSFORMS
from mmpretrain.structures import DataSample

from mm_meta_transformer.checkpoints.audio import infer_config, rules
from mm_meta_transformer.datasets.filter_bank import filter_bank


def audio_fbank(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute the filter bank of a noisy tone, and the spectrogram that the pipeline makes of it."""
    config = manifest["config"]
    rate = config["sample_rate"]
    # in float32 as the case was made: late in the clip the tone's phase is inexact, which shows in silent bands
    time = torch.arange(inputs["wav"].shape[1]) / rate
    waveform = (0.1 * torch.from_numpy(inputs["wav"][0]) + 0.3 * torch.sin(2 * torch.pi * 440 * time)).numpy()
    results = dict(waveform=waveform, sample_rate=rate)
    for step in (
        dict(type="FilterBank", num_bins=config["num_mel_bins"], target_length=config["target_length"]),
        dict(type="NormalizeSpectrogram", mean=config["norm_mean"], std=config["norm_std"]),
    ):
        results = TRANSFORMS.build(step)(results)
    raw = filter_bank(waveform - waveform.mean(), rate, config["num_mel_bins"])
    return {"fbank_raw": raw, "fbank": results["spectrogram"]}


def data2seq_audio(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Cut a spectrogram ``(B, 1, bins, frames)`` into tokens."""
    config = manifest["config"]
    tokenizer = MODELS.build(
        dict(
            type="AudioTokenizer",
            embed_dims=config["embed_dim"],
            patch_size=config["patch_size"],
            stride=(config["fstride"], config["tstride"]),
            class_token=False,
            position=None,
        )
    )
    tokenizer.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    with torch.no_grad():
        return {"tokens": tokenizer(torch.from_numpy(inputs["spectrogram"])[:, 0].transpose(1, 2)).tokens.numpy()}


def audio_ast_forward(manifest: dict, state: dict[str, np.ndarray], inputs: dict[str, np.ndarray]) -> dict:
    """Compute tokens, logits, the loss against several labels and norms of its gradients."""
    official = {key: torch.from_numpy(value) for key, value in state.items()}
    given = manifest["config"]
    config = infer_config(official)
    config["tokenizer"] |= dict(
        stride=(given["fstride"], given["tstride"]), input_size=(given["input_fdim"], given["input_tdim"])
    )
    config["encoder"]["frozen"] = False  # the case has gradients of every part
    with torch.device("meta"):  # no weights are drawn to be overwritten
        model = MODELS.build(config).eval()
    model.load_state_dict(rules(official).forward(official), assign=True)
    fbank = torch.from_numpy(inputs["fbank"])
    samples = [DataSample().set_gt_score(row) for row in inputs["labels"]]
    with torch.no_grad():
        tokens = model.extract_tokens(fbank).tokens
    logits = model(fbank)
    loss = model.head.loss(model.extract_feat(fbank), samples)["loss"]
    loss.backward()
    found = {"tokens": tokens, "logits": logits.detach(), "bce": loss.detach()}
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    official_gradients = rules(official).backward(gradients)
    # norms of millions of values in float64: in float32 the sum alone would be off by more than the tolerance
    return found | {f"grad:{name}": gradient.double().norm() for name, gradient in official_gradients.items()}
