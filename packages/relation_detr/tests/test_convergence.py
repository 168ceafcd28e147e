"""The tool that draws a training's logs."""

import importlib.util
import json
from pathlib import Path

import pytest
from PIL import Image

TOOL = Path(__file__).resolve().parents[1] / "tools" / "convergence.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("mm_relation_detr_convergence", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def log(run: Path, *lines: dict) -> Path:
    folder = run / "20250101_000000" / "vis_data"
    folder.mkdir(parents=True)
    (folder / "scalars.json").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return run


def test_it_draws_the_loss_and_the_measure_asked_for(tool, tmp_path, capsys):
    losses = [dict(loss=9.0 / step, step=step) for step in range(1, 5)]
    run = log(tmp_path / "run", *losses, {"coco/bbox_mAP": 0.1, "step": 1}, {"coco/bbox_mAP": 0.3, "step": 2})
    out = tmp_path / "a.png"
    tool.main([str(run), "--out", str(out)])
    assert capsys.readouterr().out == f"{out}\n"
    Image.open(out).verify()
    tool.main([str(run), "--out", str(tmp_path / "b.png"), "--measure", "pascal_voc/mAP"])
    assert (tmp_path / "b.png").read_bytes() != out.read_bytes()


def test_a_folder_without_logs_is_named_in_one_line(tool, tmp_path):
    with pytest.raises(SystemExit, match=r"error: .*nothing has no logs"):
        tool.main([str(tmp_path / "nothing"), "--out", str(tmp_path / "a.png")])
    with pytest.raises(SystemExit, match=r"error: the logs of .*empty hold no loss yet"):
        tool.main([str(log(tmp_path / "empty")), "--out", str(tmp_path / "a.png")])
