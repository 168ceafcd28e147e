"""Testing in mixed precision and with augmentation: what the test tool's options change in a run."""

import itertools
import json

import pytest
import torch
from mmengine.model import BaseTTAModel
from mmengine.registry import DATASETS, MODELS
from mmengine.structures import BaseDataElement, InstanceData

from mmrepro.engine import test
from mmrepro.engine.float32_predictions_hook import in_float32
from mmrepro.testing import toy

_names = itertools.count()
SHIFTS = (0.0, 1.0, 5.0)


@DATASETS.register_module()
class ToyViews(toy.ToyDataset):
    """The toy's vectors without noise, as they are or, with a pipeline, in shifted views."""

    def __init__(self, pipeline=()):
        super().__init__(length=6, noise=0.0)
        self.shifts = [step["shift"] for step in pipeline]

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if not self.shifts:
            return sample
        return {
            "inputs": [sample["inputs"] + shift for shift in self.shifts],
            "targets": [sample["targets"]] * len(self.shifts),
        }


@DATASETS.register_module()
class ToyAround(torch.utils.data.Dataset):
    def __init__(self, dataset):
        self.inner = DATASETS.build(dataset)

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        return self.inner[index]


@MODELS.register_module()
class ToyMean(BaseTTAModel):
    def merge_preds(self, views):
        return [dict(one[0], output=torch.stack([view["output"] for view in one]).mean(0)) for one in views]


@pytest.fixture
def measured(tmp_path):
    """Return a function that tests the toy with options and returns its mean squared error."""
    model = toy.ToyModel()
    torch.manual_seed(0)
    for weight in model.parameters():
        torch.nn.init.normal_(weight)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "toy.pth")

    def run(*options: str, dataset: dict | None = None, **changes) -> float:
        config = toy.config(**changes)
        config.test_dataloader.dataset = dataset or dict(type="ToyViews")
        config.custom_hooks = [dict(type="StrictLoadHook")]
        config.dump(tmp_path / "toy_config.py")
        out = tmp_path / "metrics.json"
        arguments = [tmp_path / "toy_config.py", tmp_path / "toy.pth", "--out", out, *options]
        name = f"experiment_name=option_{next(_names)}"
        test.main(argv=[*map(str, arguments), "--cfg-options", name])
        return json.loads(out.read_text())["mse"]

    run.model = model
    return run


def expected(model, shifts) -> float:
    inputs = toy.ToyDataset(length=6).inputs
    with torch.no_grad():
        outputs = torch.stack([model.eval()(inputs + shift, None) for shift in shifts]).mean(0)
    return (outputs[:, 0] - inputs.sum(1)).square().mean().item()


def test_amp_runs_the_model_under_autocast_and_measures_in_float32(measured, monkeypatch):
    under, given = [], []
    forward, process = toy.ToyModel.forward, toy.ToyMetric.process

    def noted(self, batch, samples):
        given.extend(sample["output"].dtype for sample in samples)
        process(self, batch, samples)

    monkeypatch.setattr(toy.ToyMetric, "process", noted)
    monkeypatch.setattr(
        toy.ToyModel, "forward", lambda *a, **k: under.append(torch.is_autocast_enabled("cpu")) or forward(*a, **k)
    )
    full, half = measured(), measured("--amp")
    assert under == [False, True]
    assert set(given) == {torch.float32}
    assert full == pytest.approx(expected(measured.model, [0.0]), rel=1e-5)
    assert half == pytest.approx(full, rel=0.02)
    assert half != full


def test_tta_merges_the_views_of_the_configs_own_pipeline(measured):
    settings = dict(tta_model=dict(type="ToyMean"), tta_pipeline=[dict(shift=shift) for shift in SHIFTS])
    assert measured(**settings) == pytest.approx(expected(measured.model, [0.0]), rel=1e-5)
    assert measured("--tta", **settings) == pytest.approx(expected(measured.model, SHIFTS), rel=1e-5)
    around = dict(type="ToyAround", dataset=dict(type="ToyViews"))
    assert measured("--tta", dataset=around, **settings) == pytest.approx(expected(measured.model, SHIFTS), rel=1e-5)


def test_views_are_merged_in_float32(measured, monkeypatch):
    given, merge = [], ToyMean.merge_preds
    monkeypatch.setattr(
        ToyMean,
        "merge_preds",
        lambda self, views: given.extend(view["output"].dtype for one in views for view in one) or merge(self, views),
    )
    settings = dict(tta_model=dict(type="ToyMean"), tta_pipeline=[dict(shift=shift) for shift in SHIFTS])
    merged = measured("--tta", "--amp", **settings)
    assert set(given) == {torch.float32}
    assert merged == pytest.approx(expected(measured.model, SHIFTS), rel=0.02)


@pytest.mark.parametrize("lacking", ["tta_model", "tta_pipeline"])
def test_a_config_without_augmentation_is_named(measured, lacking):
    settings = dict(tta_model=dict(type="ToyMean"), tta_pipeline=[dict(shift=0.0)])
    del settings[lacking]
    with pytest.raises(SystemExit, match=rf"error: --tta: .*toy_config\.py has no {lacking}\. Fix: "):
        measured("--tta", **settings)


def test_predictions_become_float32_at_any_depth():
    sample = BaseDataElement(pred=InstanceData(scores=torch.ones(2).bfloat16(), labels=torch.ones(2).long()))
    found = in_float32({"a": [sample], "b": (torch.ones(1).half(), "text")})
    assert found["a"][0].pred.scores.dtype == found["b"][0].dtype == torch.float32
    assert (found["a"][0].pred.labels.dtype, found["b"][1]) == (torch.int64, "text")
