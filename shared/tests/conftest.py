"""What the core's tests share: a small paper, installed for the length of one test."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from mmrepro import papers

ROW = """
  - Name: {name}
    In Collection: Fake
    Config: configs/fake/{name}.py
    Metadata: {{Parameters: 15, Official Keys: "keys_fake.json#only", Epochs: 1}}
    Results:
      - Task: Time Series Forecasting
        Dataset: Lorenz-96
        Metrics: {{MSE: {mse}, MAE: 0.4}}
        Source: table 1
        Tolerance: {{MSE: 0.008, MAE: 0.1}}
        Measured By: {{MSE: mse, MAE: {{Key: mae_percent, Scale: 0.01}}}}
        Better: lower
        Cost: a second
        Seeds: [1, 2]
"""
# Writes what mmengine's Runner would: a best checkpoint, the pointer to the last one, scalars.
TRAIN = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("--work-dir")
parser.add_argument("--seed", type=int)
parser.add_argument("--resume", action="store_true")
parser.add_argument("--data-root")
options = parser.parse_args()
work_dir = pathlib.Path(options.work_dir)
if "broken" in options.config:
    raise ValueError("the loss is not finite at step 3")
runs = work_dir / "runs.txt"
runs.write_text((runs.read_text() if runs.exists() else "") + f"resume={options.resume}\\n")
(work_dir / "best_mse_epoch_1.pth").write_text(json.dumps(dict(seed=options.seed)))
(work_dir / "last_checkpoint").write_text("epoch_1.pth")
scalars = work_dir / "20260101_000000" / "vis_data" / "scalars.json"
scalars.parent.mkdir(parents=True, exist_ok=True)
scalars.write_text('{"loss": 1.0, "step": 1}\\n{"loss": 0.5, "step": 2}\\n{"mse": 0.6, "step": 1}\\n{"torn')
"""
TEST = """
import argparse, json, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("config")
parser.add_argument("checkpoint")
parser.add_argument("--work-dir")
parser.add_argument("--out")
parser.add_argument("--data-root")
options = parser.parse_args()
seed = json.loads(pathlib.Path(options.checkpoint).read_text())["seed"]
metrics = dict(mse=0.38 + seed / 1000, mae_percent=41.0, baseline_mse=1.25, windows=10, classes=["a"])
pathlib.Path(options.out).write_text(json.dumps(metrics))
"""
MODULE = """
from mmengine.registry import MODELS
from torch import nn

@MODELS.register_module(force=True)
class FakeNet(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.proj = nn.Linear(width, 3)

    def forward(self, inputs, mode="tensor"):
        return self.proj(inputs)
"""
CHECKPOINT = """
def from_official(state):
    return {key.replace("head.", "proj."): value for key, value in state.items()}
"""
QUICKSTART = """
import base64
CONFIG = "fake_quick"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

def draw(config, checkpoint, out_dir):
    out_dir.mkdir(parents=True, exist_ok=True)
    figure = out_dir / "forecast.png"
    figure.write_bytes(base64.b64decode(PIXEL))
    return [figure]
"""
ADAPTER = """
def run(manifest, state, inputs):
    if manifest["kind"] != "linear":
        raise ValueError(f"kind {manifest['kind']!r} is not served")
    if manifest["config"].get("crash"):
        raise KeyError("head.weight")
    return dict(y=inputs["x"] @ state["head.weight"].T + manifest["config"].get("fault", 0))
"""
README = """# fake

<!-- generated: results -->
<!-- end generated -->

<!-- generated: parity -->
<!-- end generated -->

<!-- generated: benchmarks -->
<!-- end generated -->
"""


@dataclass(frozen=True)
class FakePaper:
    """The small paper: its name and its root, laid out like a package of this repository."""

    name: str
    root: Path

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return file

    def write_case(self, name: str, kind: str = "linear", **config: object) -> None:
        """Write a parity case whose expected output is what the adapter computes for an empty config."""
        from mmrepro.testing.cases import draw_input, draw_weight

        manifest = {
            "kind": kind,
            "config": config,
            "state_dict": {"head.weight": [3, 4], "head.bias": [3]},
            "inputs": {"x": {"shape": [2, 4]}},
            "seed": 1,
            "tolerance": 1e-3,
        }
        self.write(f"tests/parity/{name}.json", json.dumps(manifest))
        expected = draw_input("x", [2, 4], seed=1) @ draw_weight("head.weight", [3, 4], 1).T
        np.savez(self.root / f"tests/parity/{name}.npz", **{"expected:y": expected * (1 + 1e-4)})


@pytest.fixture
def fake_paper(tmp_path, monkeypatch) -> FakePaper:
    """A paper `fake` with the rows fake_a and fake_b, tools that train in milliseconds, and one parity case."""
    fake = FakePaper("fake", tmp_path / "packages" / "fake")
    fake.write("pyproject.toml", "[project]\n")
    fake.write("README.md", README)
    fake.write("model-index.yml", "Import:\n  - configs/fake/metafile.yml\n")
    fake.write(
        "configs/fake/metafile.yml",
        "Collections:\n  - Name: Fake\nModels:"
        + ROW.format(name="fake_a", mse=0.386)
        + ROW.format(name="fake_b", mse=0.3),
    )
    for name in ("fake_a", "fake_b", "fake_quick"):
        fake.write(
            f"configs/fake/{name}.py",
            """
            custom_imports = dict(imports=["mm_fake"], allow_failed_imports=False)
            model = dict(type="FakeNet", width=4)
            test_dataloader = dict(batch_size=1)
            """,
        )
    fake.write("tools/train.py", TRAIN)
    fake.write("tools/test.py", TEST)
    fake.write("src/mm_fake/__init__.py", MODULE)
    fake.write("src/mm_fake/checkpoint.py", CHECKPOINT)
    fake.write("src/mm_fake/quickstart.py", QUICKSTART)
    fake.write(
        "src/mmrepro_fake-0.1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: mmrepro-fake\nVersion: 0.1.0\n"
    )
    fake.write("src/mmrepro_fake-0.1.0.dist-info/entry_points.txt", "[mmrepro.papers]\nfake = mm_fake\n")
    fake.write("tests/parity.py", ADAPTER)
    keys = {"state_dict": {"head.weight": [3, 4], "head.bias": [3]}, "aliases": {}, "integer_buffers": []}
    fake.write("tests/parity/keys_fake.json", json.dumps({"variants": {"only": keys}}))
    fake.write_case("linear_1")
    monkeypatch.syspath_prepend(str(fake.root / "src"))
    papers.metafiles.cache_clear()
    yield fake
    papers.metafiles.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "mm_fake"]:
        del sys.modules[name]
