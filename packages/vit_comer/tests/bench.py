"""Speed and memory of the backbone beside a plain transcription of the official one, with the same weights.

The segmentation variant's tiny size and the detection variant's small size: a forward of one image and a training step
of two, on the CPU, and on CUDA where there is a device; a forward of the segmentation variant's base size, whose MRFP
is not computed in parts; and a training step that keeps activations or computes them again.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from mm_vit_comer.models.vit_comer import ViTCoMer

Make = Callable[[], Callable[[], object]]
TRANSCRIPTION = Path(__file__).with_name("plain_official.py")
# Stochastic depth is left out: it draws numbers, and both sides shall compute the same.
NETWORKS = {
    "seg-T": {"arch": "tiny", "variant": "seg", "drop_path_rate": 0.0},
    "det-S": {"arch": "small", "variant": "det", "drop_path_rate": 0.0},
    "seg-B": {"arch": "base", "variant": "seg", "drop_path_rate": 0.0},
}
PLAIN = {
    "seg-T": dict(embed_dim=192, num_heads=3, windows=[None] * 12, pretrain_size=224, mrfp_hidden=1152, stages=True),
    "det-S": dict(
        embed_dim=384, num_heads=6, windows=[14, 14, None] * 4, pretrain_size=592, mrfp_hidden=192, stages=False
    ),
    "seg-B": dict(
        embed_dim=768,
        num_heads=12,
        windows=[None] * 12,
        pretrain_size=224,
        mrfp_hidden=768,
        stages=True,
        deform_heads=12,
        deform_ratio=0.5,
    ),
}
SIZES = {"seg-T": (512, 512), "det-S": (512, 672), "seg-B": (512, 512)}
TRAINED = ("seg-T", "det-S")  # the plain base size's step takes the better part of a minute
RECOMPUTED = "seg-T"
BATCH = 2  # in training


def groups() -> dict[str, dict[str, dict[str, dict[str, Make]]]]:
    """Return the networks on each device, ours beside the transcription."""
    devices = {"CPU": "cpu"}
    if torch.cuda.is_available():
        devices[torch.cuda.get_device_name()] = "cuda"
    return {
        f"{device_name}: the backbone, ours beside a plain transcription": {
            f"{name}, {SIZES[name][0]}x{SIZES[name][1]}": {
                what: {
                    "ours": partial(make, partial(ours, name), SIZES[name], device),
                    "plain": partial(make, partial(plain, name), SIZES[name], device),
                }
                for what, make in (("forward", forward), ("training step", training_step))
                if what == "forward" or name in TRAINED
            }
            for name in NETWORKS
        }
        for device_name, device in devices.items()
    }


def steps() -> dict[str, dict[str, Make]]:
    """Return training steps that keep activations or compute them again; ``reference`` is the transcription."""
    height, width = SIZES[RECOMPUTED]
    builds = {"reference": partial(plain, RECOMPUTED), "ours": partial(ours, RECOMPUTED)}
    for given in ({"with_cp": True}, {"cti_with_cp": True}, {"with_cp": True, "cti_with_cp": True}):
        label = ", ".join(f"{key}={value}" for key, value in given.items())
        builds[f"ours, {label}"] = partial(ours, RECOMPUTED, **given)
    return {
        f"{RECOMPUTED}, a training step of {BATCH} images of {height}x{width}": {
            label: partial(training_step, build, (height, width), "cpu") for label, build in builds.items()
        }
    }


def ours(name: str, **more: object) -> nn.Module:
    """Return our backbone."""
    return fill(ViTCoMer(**NETWORKS[name], **more))


def plain(name: str) -> nn.Module:
    """Return the transcription of the official backbone."""
    return fill(transcription().PlainViTCoMer(**PLAIN[name]))


def transcription() -> ModuleType:
    """Import the transcription, which lies in no package."""
    spec = importlib.util.spec_from_file_location("mm_vit_comer_plain_official", TRANSCRIPTION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def fill(network: nn.Module) -> nn.Module:
    """Give every parameter the values that those of its name always get; both sides have the official names.

    Layers keep the size of what goes through them, so that every part shows in the result, and samples of the
    deformable attention lie a few pixels away, as they do from its initialisation on.
    """
    generator = torch.Generator().manual_seed(0)
    for name, parameter in sorted(network.named_parameters()):
        mean, std = 0.0, 0.1
        if name.endswith("sampling_offsets.bias"):
            std = 2.0
        elif parameter.ndim > 1 and not name.endswith("_embed"):
            std = parameter[0].numel() ** -0.5
        elif parameter.ndim == 1 and name.endswith("weight"):  # of a norm
            mean = 1.0
        nn.init.normal_(parameter, mean, std, generator=generator)
    return network


def forward(build: Callable[[], nn.Module], size: tuple[int, int], device: str) -> Callable[[], tuple[Tensor, ...]]:
    """Return the maps of one random image."""
    network = build().to(device).eval()
    images = random_images(1, size, device)

    def call() -> tuple[Tensor, ...]:
        with torch.no_grad():
            maps = network(images)
        wait(device)
        return maps

    return call


def training_step(build: Callable[[], nn.Module], size: tuple[int, int], device: str) -> Callable[[], None]:
    """Return a training step without its optimiser on two random images.

    On two, since a map of one image that was made by transposing tokens gets wrong gradients from PyTorch's batch norm
    on the CPU: its strides can be read both as channels first and as channels last. The transcription has such maps, as
    the official code has them, and its step would not be the same work.

    The loss is the maps' mean cube: their mean square hardly changes after a batch norm, and would leave no gradients.
    """
    network = build().to(device).train()
    images = random_images(BATCH, size, device)

    def step() -> None:
        network.zero_grad()
        sum(maps.pow(3).mean() for maps in network(images)).backward()
        wait(device)

    return step


def random_images(count: int, size: tuple[int, int], device: str) -> Tensor:
    """Return random images (count, 3, h, w)."""
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(0)).to(device)


def wait(device: str) -> None:
    """Wait for what CUDA was given to do."""
    if device == "cuda":
        torch.cuda.synchronize()
