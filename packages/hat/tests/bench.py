"""Speed and memory beside the official network as the PyPI package ``spandrel`` has it, and what tiles change.

HAT and HAT-S with the same weights on both sides: pictures on the CPU, and on CUDA in bfloat16 where there is a device;
a training step and a picture in strips with their memory; what bounds a picture's time; and the quickstart's network,
trained here, on pictures whole and in tiles.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from mm_hat import quickstart
from mm_hat.evaluation.tile_table import cells, samples_of, tile_effects
from mm_hat.inferencer import HATInferencer
from mm_hat.models import HAT
from mm_hat.models.strips import restore_in_strips
from mmrepro import papers
from mmrepro.datasets.generated.textures import texture_folder
from mmrepro.reproduction import runs
from mmrepro.testing.bench import Table

Make = Callable[[], Callable[[], object]]
NETWORKS = {"HAT x4": "hat_8xb4-250k_df2k-x4_from-x2", "HAT-S x2": "hat-s_8xb4-500k_df2k-x2"}  # by their configs
ON_CPU = (("HAT x4", 64), ("HAT x4", 128), ("HAT-S x2", 64))
ON_CUDA = (("HAT x4", 64), ("HAT x4", 256), ("HAT x4", 512))
STRIPPED = 128  # side of the picture that is restored in strips too
ROWS = 16  # of a strip, the fewest
PATCH = 64  # of training, the official one
SEED = 2023  # of the training before the tiles
TILES, OVERLAPS = (32, 64, 96, 128), (0, 8, 16, 32)
# Parts of the operators' names; only the biases are gathered by index_select.
KINDS = {
    "convolutions and linear layers": ("convolution", "::linear", "::addmm", "::mm"),
    "fused attention": ("scaled_dot_product",),
    "gathering of biases": ("::index_select",),
}
REST = "the rest: normalisation, GELU, residuals, moving of tokens"
PICTURES = "Set5"
NO_PICTURES = {"count": 4, "size": 320, "seed": 2000}  # textures instead, where the set is not there


def groups() -> dict[str, dict[str, dict[str, dict[str, Make]]]]:
    """Return the pictures to restore, ours beside spandrel's."""
    found = {"CPU: ours beside the official network from spandrel": _group(ON_CPU, "cpu")}
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name()
        found[f"{name}, bfloat16: ours beside the official network from spandrel"] = _group(ON_CUDA, "cuda")
    return found


def steps() -> dict[str, dict[str, Make]]:
    """Return the steps whose memory is measured too; ``reference`` is spandrel's network."""
    config = sizes("HAT x4")
    trained = {"reference": theirs, "ours": ours, "ours, with_cp=True": partial(ours, with_cp=True)}
    restored = {"reference": theirs, "ours": ours, "ours, tile='exact'": in_strips}
    return {
        f"HAT x4, a training step on a patch of {PATCH}x{PATCH}": {
            label: partial(training_step, partial(build, config), PATCH) for label, build in trained.items()
        },
        f"HAT x4, {STRIPPED}x{STRIPPED} input, restored": {
            label: partial(picture, partial(build, config), STRIPPED, "cpu") for label, build in restored.items()
        },
    }


def tables() -> dict[str, Callable[[], Table]]:
    """Return what a picture's time goes to, and what tiles change in the results of the quickstart's network."""
    return {f"What bounds HAT x4 at {PATCH}x{PATCH}": bounds, "What tiles change: a small HAT x2": tiles}


def _group(cases: Sequence[tuple[str, int]], device: str) -> dict[str, dict[str, dict[str, Make]]]:
    return {
        f"{name}, {side}x{side} input": {
            "forward": {
                label: partial(picture, partial(build, sizes(name)), side, device)
                for label, build in (("ours", ours), ("spandrel", theirs))
            }
        }
        for name, side in cases
    }


def sizes(name: str) -> dict:
    """Return the arguments of a network that both sides know."""
    generator = Config.fromfile(papers.find_config("hat", NETWORKS[name])).model.generator
    return {key: value for key, value in generator.items() if key not in ("type", "with_cp")}


def ours(config: dict, **more: object) -> nn.Module:
    """Return our network."""
    return fill(HAT(**config, **more))


def in_strips(config: dict) -> nn.Module:
    """Return our network in strips, as ``tile='exact'`` uses it where memory is short."""
    network = ours(config)
    network.forward = partial(restore_in_strips, network, rows=ROWS)
    return network


def theirs(config: dict) -> nn.Module:
    """Return the official network as spandrel has it."""
    from spandrel.architectures.HAT.__arch.HAT import HAT as OfficialHAT

    return fill(OfficialHAT(**config))


def fill(network: nn.Module) -> nn.Module:
    """Give every parameter the values that those of its name always get; both sides have the official names.

    Layers keep the size of what goes through them, so that every part shows in the result.
    """
    generator = torch.Generator().manual_seed(0)
    for name, parameter in sorted(network.named_parameters()):
        mean, std = 0.0, 0.1
        if name.endswith("bias_table"):
            std = 1.0
        elif parameter.ndim > 1:
            std = parameter[0].numel() ** -0.5
        elif "norm" in name and name.endswith("weight"):
            mean = 1.0
        nn.init.normal_(parameter, mean, std, generator=generator)
    return network


def picture(build: Callable[[], nn.Module], side: int, device: str) -> Callable[[], Tensor]:
    """Return the restoration of one random picture; on CUDA in bfloat16."""
    network = build().to(device).eval()
    image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)

    def restore() -> Tensor:
        with torch.no_grad(), torch.autocast("cuda", torch.bfloat16) if device == "cuda" else nullcontext():
            restored = network(image)
        if device == "cuda":
            torch.cuda.synchronize()
        return restored

    return restore


def training_step(build: Callable[[], nn.Module], side: int) -> Callable[[], None]:
    """Return a training step without its optimiser, on one random patch."""
    network = build().train()
    generator = torch.Generator().manual_seed(0)
    low = torch.rand(1, 3, side, side, generator=generator)
    truth = torch.rand(1, 3, side * network.upscale, side * network.upscale, generator=generator)

    def step() -> None:
        network.zero_grad()
        F.l1_loss(network(low), truth).backward()

    return step


def bounds() -> Table:
    """Profile the restoration of a small picture on the CPU, by what its operators do."""
    restore = picture(partial(ours, sizes("HAT x4")), PATCH, "cpu")
    restore()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        restore()
    times = dict.fromkeys([*KINDS, REST], 0.0)
    for event in profiled.key_averages():
        kind = next((kind for kind, parts in KINDS.items() if any(part in event.key for part in parts)), REST)
        times[kind] += event.self_cpu_time_total
    total = sum(times.values())
    note = (
        f"Shares of the operators' own time in restoring a picture of {PATCH}x{PATCH} px on the CPU, by torch.profiler."
    )
    return Table(["what", "share"], [[kind, f"{100 * time / total:.1f} %"] for kind, time in times.items()], note)


def tiles() -> Table:
    """Train the quickstart's network and compare its results in tiles with those of whole pictures."""
    config = papers.find_config("hat", quickstart.CONFIG)
    settings = Config.fromfile(config)
    trained = settings.train_cfg.max_iters * settings.train_dataloader.batch_size
    with tempfile.TemporaryDirectory(prefix="mmrepro-bench-") as folder:
        best = runs.train("hat", config, Path(folder), seed=SEED, resume=False)
        restorer = HATInferencer(str(config), best, "cpu").model
    try:
        samples, what = samples_of(PICTURES, restorer.scale), PICTURES
    except FileNotFoundError:
        samples, what = samples_of(texture_folder(**NO_PICTURES), restorer.scale), "generated textures"
    columns, rows = cells(tile_effects(restorer, samples, TILES, OVERLAPS))
    note = (
        f"The network of `mmrepro quickstart hat`, trained on {trained} patches, on {len(samples)} pictures ({what}). "
        "Tile and overlap are pixels of the input. Only pictures larger than a tile count, `pictures` of them; `pixels "
        "seen` is the network's work, by that on whole pictures. Change: PSNR against the truth, tiled minus whole; "
        "likeness: PSNR of the tiled against the whole picture; both in dB on the luma. Feathered seams are as wide as "
        "the overlap."
    )
    return Table(columns, rows, note)
