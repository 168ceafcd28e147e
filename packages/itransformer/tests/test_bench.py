"""The benchmark's transcription is the same model, its loop runs, and all that is declared can be built."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mm_itransformer.checkpoint import from_official
from mm_itransformer.models import ITransformer

HERE = Path(__file__).parent
OFFICIAL_NAMES = {
    "embedding.": "enc_embedding.value_embedding.",
    "layers.": "encoder.attn_layers.",
    ".query.": ".attention.query_projection.",
    ".key.": ".attention.key_projection.",
    ".value.": ".attention.value_projection.",
    ".out.": ".attention.out_projection.",
    "head.": "projector.",
}


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"mm_itransformer_test_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def official():
    return load("plain_official")


def official_name(name: str) -> str:
    if name.startswith("norm."):
        return f"encoder.{name}"
    for ours, theirs in OFFICIAL_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def test_the_transcription_is_the_same_model(official):
    torch.manual_seed(0)
    plain = official.Plain(24, 8, 16, 32, 2).eval()
    model = ITransformer(24, 8, 16, 8, 2, 32).eval()
    model.load_state_dict(from_official({official_name(key): value for key, value in plain.state_dict().items()}))
    inputs, marks = torch.randn(3, 24, 5), torch.rand(3, 24, 4) - 0.5
    torch.testing.assert_close(model(inputs, marks), plain(inputs, marks), rtol=1e-5, atol=1e-5)


def test_the_transcribed_loop_trains_stops_and_tests(official, monkeypatch, tmp_path):
    monkeypatch.setattr(official, "D_MODEL", 16)
    monkeypatch.setattr(official, "D_FF", 16)
    monkeypatch.setattr(official, "EPOCHS", 2)
    rows = np.random.default_rng(0).normal(size=(260, 3))
    split = official.Windows(rows, rows[:, :2])
    found = official.train({"train": split, "val": split, "test": split}, tmp_path)
    assert found["epochs"] == 2
    assert all(math.isfinite(found[key]) for key in ("mse", "mae"))


def test_all_that_is_declared_can_be_called():
    bench = load("bench")
    assert len(bench.cases()) == 2 * len(bench.SIZES)
    assert {label for ways in bench.steps().values() for label in ways} >= {"ours", "reference"}
    assert {label for sides in bench.programs().values() for label in sides} == {"ours", "reference"}
