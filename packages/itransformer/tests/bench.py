"""Speed and memory beside a plain transcription of the official code (``plain_official.py``).

Single calls at the sizes of four rows, steps at Traffic's 862 variates with their memory, and the whole row ETTh1,
96 steps in and 96 out, through ``mim train`` and ``mim test``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_itransformer.models import ITransformer
from mmrepro import papers
from mmrepro.datasets import registry
from mmrepro.testing.bench import Program

ROW = "itransformer_e2-d256_1xb32-10e_etth1-96to96.py"
TRANSCRIPTION = Path(__file__).with_name("plain_official.py")
# name: (batch, variates, marks, seq_len, pred_len, d_model, d_ff, layers)
SIZES = {
    "etth1-96": (32, 7, 4, 96, 96, 256, 256, 2),
    "etth1-720": (32, 7, 4, 96, 720, 512, 512, 2),
    "weather-96": (32, 21, 4, 96, 96, 512, 512, 3),
    "ecl-96": (4, 321, 4, 96, 96, 512, 512, 3),
}
TRAFFIC = (16, 862, 4, 96, 96, 512, 512, 4)
PARTIAL = 172  # the variates of a batch in the paper's efficient training on Traffic


def cases() -> dict[str, tuple[Callable, Callable]]:
    """Return the pairs to measure: for each size the forecast and the training step."""
    pairs = {}
    for name, size in SIZES.items():
        for kind, training in (("training step", True), ("forecast", False)):
            ours, plain = (build(size, training) for build in (_ours, _plain))
            pairs[f"{name}: {kind}"] = (ours, plain)
    return pairs


def steps() -> dict[str, dict[str, Callable]]:
    """Return the training steps whose memory is measured too."""
    partial_size = (TRAFFIC[0], PARTIAL, *TRAFFIC[2:])
    return {
        "Traffic's 862 variates, a training step of 16 windows": {
            "reference": partial(_plain, TRAFFIC),
            "ours": partial(_ours, TRAFFIC),
            "ours, with_cp=True": partial(_ours, TRAFFIC, with_cp=True),
            "ours, 172 of the variates": partial(_ours, partial_size),
        }
    }


def programs() -> dict[str, dict[str, Program]]:
    """Return the whole row, ours and the official loop's."""
    return {
        "the row ETTh1 96 to 96, trained and tested": {
            "reference": Program(_transcription, _last_line),
            "ours": Program(_mim, _measured),
        }
    }


def _ours(size: tuple[int, ...], training: bool = True, with_cp: bool = False) -> Callable[[], object]:
    _, _, _, seq_len, pred_len, d_model, d_ff, layers = size
    return _call(ITransformer(seq_len, pred_len, d_model, 8, layers, d_ff, with_cp=with_cp), size, training)


def _plain(size: tuple[int, ...], training: bool = True) -> Callable[[], object]:
    _, _, _, seq_len, pred_len, d_model, d_ff, layers = size
    return _call(_official().Plain(seq_len, pred_len, d_model, d_ff, layers), size, training)


def _call(model: nn.Module, size: tuple[int, ...], training: bool) -> Callable[[], object]:
    """Return the model's training step without its optimiser, or its forecast, on random windows."""
    batch, variates, marks, seq_len, pred_len, *_ = size
    torch.manual_seed(0)
    data = torch.randn(batch, seq_len, variates), torch.rand(batch, seq_len, marks) - 0.5
    targets = torch.randn(batch, pred_len, variates)
    model.train(training)
    return partial(_step, model, *data, targets=targets) if training else partial(_forecast, model, *data)


def _forecast(model: nn.Module, *batch: Tensor) -> Tensor:
    """Run a model without gradients."""
    with torch.no_grad():
        return model(*batch)


def _step(model: nn.Module, *batch: Tensor, targets: Tensor) -> None:
    """Run a model forward and backward."""
    model.zero_grad()
    F.mse_loss(model(*batch), targets).backward()


def _official() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mm_itransformer_plain_official", TRANSCRIPTION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _transcription(folder: Path) -> list[list[str]]:
    (table,) = registry.locate("etth1").values()
    return [[sys.executable, str(TRANSCRIPTION), str(table), str(folder)]]


def _last_line(folder: Path, printed: str) -> dict[str, float]:
    return json.loads(printed.splitlines()[-1])


def _mim(folder: Path) -> Iterator[list[str]]:
    mim, config = [sys.executable, "-m", "mim"], str(papers.find_config("itransformer", ROW))
    yield [*mim, "train", "mmrepro-itransformer", config, "--work-dir", str(folder / "run")]
    (best,) = (folder / "run").glob("best_*.pth")
    where = ["--work-dir", str(folder / "test"), "--out", str(folder / "metrics.json")]
    yield [*mim, "test", "mmrepro-itransformer", config, "--checkpoint", str(best), *where]


def _measured(folder: Path, printed: str) -> dict[str, float]:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    epochs = max(int(file.stem.removeprefix("epoch_")) for file in (folder / "run").glob("epoch_*.pth"))
    return {"epochs": epochs, "mse": metrics["mse"], "mae": metrics["mae"]}
