"""The forecaster: its published sizes, what a frozen encoder leaves to train, and its official checkpoints."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoint import from_official, target, to_official
from mm_meta_transformer.checkpoint_hook import MetaTransformerCheckpointHook, settings_of
from mm_meta_transformer.models.meta_forecaster import MetaTransformerForecaster
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.forecasting import ForecastMetric
from mmrepro.testing import load_config

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs" / "meta_transformer"
# Million parameters, of all and of those that are trained (specification, section 3; counted in the official model)
SIZES = {
    "10e_etth1": (92.978, 7.923),
    "10e_exchange": (92.983, 7.929),
    "3e_weather": (93.053, 7.998),
    "3e_traffic": (97.575, 12.521),
}


def small(**changes) -> MetaTransformerForecaster:
    torch.manual_seed(0)
    settings = dict(seq_len=12, pred_len=4, label_len=6, enc_in=3, n_heads=2, d_ff=16)
    encoder = dict(type="MetaTransformerEncoder", arch=dict(embed_dims=16, depth=2, num_heads=2))
    return MODELS.build(dict(type="MetaTransformerForecaster", encoder=encoder) | settings | changes)


def batch(size: int = 2) -> dict:
    torch.manual_seed(1)
    return dict(
        inputs=torch.randn(size, 12, 3),
        marks=torch.randn(size, 12, 4),
        targets=torch.randn(size, 4, 3),
        future_marks=torch.randn(size, 4, 4),
    )


@pytest.mark.parametrize("name", SIZES)
def test_the_published_sizes(name):
    config = load_config(CONFIGS / f"meta-transformer_base_frozen_1xb32-{name}-96to96.py")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    sizes = [parameter.numel() for parameter in model.parameters()]
    trained = [parameter.numel() for parameter in model.parameters() if parameter.requires_grad]
    assert (round(sum(sizes) / 1e6, 3), round(sum(trained) / 1e6, 3)) == SIZES[name]


@pytest.mark.parametrize(
    "time",
    [
        dict(n_marks=3),
        dict(n_marks=0),
        dict(n_marks=4, embed="fixed"),
        dict(n_marks=4, embed="learned"),
        dict(n_marks=5, embed="learned", freq="t"),
    ],
    ids=str,
)
def test_every_reading_of_time_goes_to_the_official_layout_and_back(time):
    ours = small(**time).state_dict()
    official = to_official(ours)
    back = from_official(official, target(official))
    assert all(torch.equal(back[key], ours[key]) for key in ours)


def test_a_frozen_encoder_passes_gradients_to_the_tokenizer_and_gets_none():
    model = small().train()
    model(**batch(), mode="loss")["loss_mse"].backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradients[name] is None for name in gradients if name.startswith("encoder."))
    others = {name: value for name, value in gradients.items() if not name.startswith("encoder.")}
    assert [name for name, value in others.items() if value is None or not value.any()] == []


def test_predictions_are_what_the_metric_reads():
    model, metric, data = small().eval(), ForecastMetric(), batch()
    with torch.no_grad():
        metric.process(None, model(**data, mode="predict"))
        forecast = model(**(data | {"targets": None}))
    found = metric.evaluate(2)
    assert found["mse"] == pytest.approx((forecast - data["targets"]).square().mean().item(), rel=1e-6)
    repeated = data["inputs"][:, -1:] - data["targets"]
    assert found["baseline_mse"] == pytest.approx(repeated.square().mean().item(), rel=1e-6)


def test_windows_of_a_batch_do_not_see_each_other():
    model, data = small().eval(), batch()
    alone = {name: value[:1] for name, value in data.items()}
    torch.testing.assert_close(model(**data)[:1], model(**alone))


def test_a_checkpoint_with_another_start_of_the_decoder_is_refused():
    hook, stored = MetaTransformerCheckpointHook(), settings_of(small(label_len=4))
    with pytest.raises(CheckpointMismatchError, match=r"forecaster\.label_len: 4 in the file, 6 in the config"):
        hook.compare(small(), {"meta": {"model": stored}})
    hook.compare(small(label_len=4), {"meta": {"model": stored}})


def test_wrong_settings_and_windows_name_the_fix():
    with pytest.raises(ValueError, match=r"n_heads=3 do not divide the encoder's 16 channels\. Fix"):
        small(n_heads=3)
    data = batch()
    with pytest.raises(ValueError, match=r"the model reads enc_in=3 variates, inputs have 2"):
        small()(**(data | {"inputs": data["inputs"][..., :2]}))
    with pytest.raises(ValueError, match=r"marks are given without future_marks.*future_marks=True in the"):
        small()(**(data | {"future_marks": None}))
