"""Properties of the model that hold whatever its weights are."""

import pytest
import torch

from mm_itransformer.models import ITransformer
from mmrepro.checkpoint import save
from mmrepro.safe_loading import load

SMALL = {"seq_len": 24, "pred_len": 12, "d_model": 32, "n_heads": 4, "e_layers": 2, "d_ff": 48}


def build(**changes) -> ITransformer:
    torch.manual_seed(0)
    return ITransformer(**(SMALL | changes)).eval()


def windows(variates: int = 5, marks: int = 4, batch: int = 3) -> dict:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(batch, 24, variates, generator=generator)
    return {"inputs": inputs, "marks": torch.rand(batch, 24, marks, generator=generator) - 0.5 if marks else None}


@pytest.mark.parametrize("marks", [0, 4])
@pytest.mark.parametrize("use_norm", [True, False])
def test_permuting_variates_permutes_the_forecast(use_norm, marks):
    model, batch, order = build(use_norm=use_norm), windows(marks=marks), torch.tensor([3, 0, 4, 1, 2])
    permuted = model(batch["inputs"][..., order], batch["marks"])
    torch.testing.assert_close(permuted, model(**batch)[..., order], atol=1e-5, rtol=1e-5)


def test_scaled_and_shifted_windows_give_scaled_and_shifted_forecasts():
    model, batch = build(), windows()
    scale, shift = torch.tensor([2.0, 0.5, 3.0, 1.0, 7.0]), torch.tensor([1.0, -4.0, 0.0, 20.0, 3.0])
    moved = model(batch["inputs"] * scale + shift, batch["marks"])
    torch.testing.assert_close(moved, model(**batch) * scale + shift, atol=2e-4, rtol=2e-4)  # eps in the deviation


def test_without_use_norm_the_level_of_a_window_matters():
    model, batch = build(use_norm=False), windows()
    moved = model(batch["inputs"] + 3, batch["marks"])
    assert (moved - model(**batch) - 3).abs().max() > 0.1


def test_covariates_take_part_but_are_not_forecast():
    model, batch = build(), windows()
    forecast = model(**batch)
    assert forecast.shape == (3, 12, 5)
    assert (forecast - model(batch["inputs"])).abs().max() > 1e-4


def test_number_of_variates_is_free():
    model = build()
    assert [model(**windows(v, batch=1)).shape[-1] for v in (1, 2, 17)] == [1, 2, 17]


def test_windows_of_a_batch_do_not_see_each_other():
    model, batch = build(), windows()
    alone = torch.cat([model(batch["inputs"][i : i + 1], batch["marks"][i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model(**batch), alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("features", ["M", "MS"])
def test_every_parameter_gets_a_gradient(features):
    model, batch = build(features=features).train(), windows()
    loss = model(**batch, targets=torch.randn(3, 12, 1 if features == "MS" else 5), mode="loss")["loss_mse"]
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_activation_checkpointing_changes_nothing(dropout):
    gradients = []
    for with_cp in (False, True):
        model = build(dropout=dropout, with_cp=with_cp).train()
        torch.manual_seed(5)
        model(**windows(), targets=torch.ones(3, 12, 5), mode="loss")["loss_mse"].backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain, atol=1e-7, rtol=1e-5)


def test_bfloat16_autocast_trains_and_stays_close():
    model, batch, targets = build(dropout=0.0).train(), windows(), torch.ones(3, 12, 5)
    exact = model(**batch, targets=targets, mode="loss")["loss_mse"]
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**batch, targets=targets, mode="loss")["loss_mse"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() != exact.item()
    torch.testing.assert_close(loss, exact, atol=0, rtol=0.02)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_bfloat16_autocast_forecasts_stay_close():
    model, batch = build(), windows()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        low = model(**batch).float()
    exact = model(**batch)
    assert not torch.equal(low, exact)
    assert (low - exact).norm() < 0.02 * exact.norm()


def test_dropout_acts_in_training_only():
    model, batch = build(dropout=0.5), windows()
    torch.testing.assert_close(model(**batch), model(**batch), atol=0, rtol=0)
    model.train()
    assert (model(**batch) - model(**batch)).abs().max() > 1e-3


def test_save_and_load_is_the_identity(tmp_path):
    model, batch = build(), windows()
    save(tmp_path / "model.safetensors", model.state_dict(), {"model": model.settings})
    other = ITransformer(**SMALL).eval()
    stored = load(tmp_path / "model.safetensors")
    other.load_state_dict(stored["state_dict"])
    assert stored["meta"]["model"] == model.settings
    torch.testing.assert_close(other(**batch), model(**batch), atol=0, rtol=0)


def test_attention_maps_are_probabilities_and_asking_for_them_changes_no_forecast():
    model, batch = build(), windows()
    samples = model.predict(**batch, with_attention=True)
    maps = torch.stack([sample["attention"] for sample in samples])
    assert maps.shape == (3, 2, 4, 9, 9)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 2, 4, 9), atol=1e-5, rtol=0)
    forecasts = torch.stack([sample["forecast"] for sample in samples])
    torch.testing.assert_close(forecasts, model(**batch), atol=1e-6, rtol=1e-5)


def test_predict_returns_what_the_metric_needs():
    model, batch = build(features="MS"), windows()
    sample = model(**batch, targets=torch.zeros(3, 12, 1), mode="predict")[1]
    assert {key: tuple(value.shape) for key, value in sample.items()} == {
        "forecast": (12, 1),
        "target": (12, 1),
        "last": (1,),
    }
    assert sample["last"] == batch["inputs"][1, -1, -1]


def test_a_head_width_that_does_not_divide_keeps_the_official_inner_width_and_warns():
    with pytest.warns(UserWarning, match="d_model=32 is no multiple of n_heads=5: the heads are 6 wide, 30 together"):
        model = build(d_model=32, n_heads=5)
    assert model.backbone.layers[0].attn.proj.weight.shape == (32, 30)
    assert model(**windows()).shape == (3, 12, 5)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"inputs": torch.zeros(1, 30, 5)}, "seq_len=24"),
        ({"inputs": torch.zeros(1, 24, 5), "targets": torch.zeros(1, 13, 5), "mode": "loss"}, "pred_len=12"),
        ({"inputs": torch.zeros(1, 24, 5), "targets": torch.zeros(1, 12, 1), "mode": "loss"}, "the same features"),
        ({"inputs": torch.zeros(1, 24, 5), "mode": "loss"}, "targets, but the batch has none"),
        ({"inputs": torch.zeros(1, 24, 5), "marks": torch.zeros(1, 30, 4)}, "^marks have shape .1, 30, 4"),
        ({"inputs": torch.zeros(3, 24, 5), "marks": torch.zeros(1, 24, 4)}, "^marks have shape .1, 24, 4"),
        ({"inputs": torch.zeros(1, 24, 5), "marks": torch.zeros(1, 24)}, "^marks have shape .1, 24"),
        ({"inputs": torch.zeros(1, 24, 5), "mode": "test"}, "mode='test'"),
    ],
)
def test_wrong_calls_name_the_cause(batch, message):
    with pytest.raises(ValueError, match=message):
        build()(**batch)


@pytest.mark.parametrize("wrong", [{"activation": "swish"}, {"features": "SM"}, {"d_model": 4, "n_heads": 8}])
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(ValueError, match="|".join(wrong)):
        build(**wrong)


@pytest.mark.parametrize("attention", [{"type": "NoAttention"}, {"factor": 3}])
def test_an_unknown_attention_is_named_with_the_known_ones(attention):
    with pytest.raises(
        ValueError, match=r"attention type=.* is not known\. Fix: set attention\.type to one of Full.*LSH"
    ):
        build(attention=attention)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_without_windows_gives_none(training):
    model, batch = build(dropout=0.3, use_norm=False).train(training), windows(batch=0)
    forecast = model(**batch)
    assert forecast.shape == (0, 12, 5)
    forecast.sum().backward()
    assert not any(parameter.grad.any() for parameter in model.parameters())


def test_an_encoder_without_layers_is_refused_by_name():
    with pytest.raises(ValueError, match="e_layers=0: the encoder needs at least one layer"):
        ITransformer(e_layers=0)
