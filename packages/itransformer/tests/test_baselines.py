"""Properties of the models over time tokens, whatever their weights are, and their official checkpoints."""

from pathlib import Path

import pytest
import torch

from mm_itransformer.baseline_checkpoint import infer_config, is_baseline, rules_of, target
from mm_itransformer.checkpoint import require_same_model
from mm_itransformer.models import FlowAttention
from mm_itransformer.models.temporal import TemporalReformer, TemporalTransformer
from mm_itransformer.models.temporal.encoder import Distilling
from mmrepro.checkpoint import CheckpointMismatchError, convert, differences, save
from mmrepro.forecasting.time_tokens import TemporalEmbedding, sinusoids
from mmrepro.safe_loading import load
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
SMALL = {"seq_len": 24, "pred_len": 8, "label_len": 12, "enc_in": 5, "d_model": 16, "n_heads": 2, "d_ff": 32}
INFORMER = {"attention": {"type": "ProbSparseAttention", "factor": 3}, "distil": True}
KINDS = {
    "transformer": {},
    "informer": INFORMER,
    "flowformer": {"attention": {"type": "FlowAttention"}},
    "flashformer": {"attention": {"type": "FlashAttention"}},
    "reformer": {},
}


def build(name: str = "transformer", **changes) -> TemporalTransformer | TemporalReformer:
    torch.manual_seed(0)
    kind = TemporalReformer if name == "reformer" else TemporalTransformer
    return kind(**(SMALL | KINDS[name] | changes)).eval()


def windows(variates: int = 5, marks: int = 4, batch: int = 3) -> dict:
    generator = torch.Generator().manual_seed(1)
    batch_of = {"inputs": torch.randn(batch, 24, variates, generator=generator)}
    for name, steps in (("marks", 24), ("future_marks", 8)) if marks else ():
        batch_of[name] = torch.rand(batch, steps, marks, generator=generator) - 0.5
    return batch_of


def seeded(model, batch: dict, **options):
    torch.manual_seed(7)  # ProbSparse and LSH attention draw in evaluation too
    return model(**batch, **options)


@pytest.mark.parametrize("name", KINDS)
def test_every_parameter_gets_a_finite_gradient(name):
    model = build(name).train()
    model(**windows(), targets=torch.ones(3, 8, 5), mode="loss")["loss_mse"].backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()] == []
    # What batch norm subtracts or softmax ignores has none but rounding.
    idle = ("k.bias", "conv.bias")
    assert [n for n, p in model.named_parameters() if not n.endswith(idle) and not p.grad.any()] == []


@pytest.mark.parametrize("name", KINDS)
def test_activation_checkpointing_changes_nothing(name):
    results = []
    for with_cp in (False, True):
        model = build(name, dropout=0.3, with_cp=with_cp).train()
        loss = seeded(model, windows(), targets=torch.ones(3, 8, 5), mode="loss")["loss_mse"]
        loss.backward()
        results.append([loss.detach(), *(p.grad for p in model.parameters()), *model.buffers()])
    for plain, checkpointed in zip(*results, strict=True):
        torch.testing.assert_close(checkpointed, plain, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_save_and_load_is_the_identity(name, tmp_path):
    model, batch = build(name), windows()
    save(tmp_path / "model.safetensors", model.state_dict(), {"model": model.settings})
    stored = load(tmp_path / "model.safetensors")
    other = build(name)
    for value in other.state_dict().values():  # every weight and buffer is another one
        value += 1
    other.load_state_dict(stored["state_dict"])
    assert stored["meta"]["model"] == model.settings
    assert torch.equal(seeded(other, batch), seeded(model, batch))


@pytest.mark.parametrize("name", KINDS)
def test_bfloat16_autocast_trains_and_stays_close(name):
    model, batch, targets = build(name, dropout=0.0).train(), windows(), torch.ones(3, 8, 5)
    exact = seeded(model, batch, targets=targets, mode="loss")["loss_mse"]
    with torch.autocast("cpu", torch.bfloat16):
        loss = seeded(model, batch, targets=targets, mode="loss")["loss_mse"]
    loss.backward()
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, exact, atol=0, rtol=0.03)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_windows_of_a_batch_do_not_see_each_other():
    model, batch = build(), windows()
    alone = torch.cat([model(**{name: part[i : i + 1] for name, part in batch.items()}) for i in range(3)])
    torch.testing.assert_close(model(**batch), alone, atol=1e-6, rtol=1e-5)


def decoded(model: TemporalTransformer, tokens: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model.decoder(tokens, memory)


@pytest.mark.parametrize("name", ["transformer", "flowformer", "flashformer"])
def test_a_step_of_the_decoder_sees_no_later_one(name):
    model, tokens, memory = build(name, d_layers=2), torch.randn(2, 20, 16), torch.randn(2, 24, 16)
    later = tokens.clone()
    later[:, 13:] += 1
    before, after = decoded(model, tokens, memory), decoded(model, later, memory)
    torch.testing.assert_close(after[:, :13], before[:, :13], atol=1e-6, rtol=1e-5)
    assert (after[:, 13:] - before[:, 13:]).abs().max() > 0.1
    assert (decoded(model, tokens, memory + 1) - before).abs().amax((0, 2)).min() > 1e-3


def test_a_step_of_informers_decoder_sees_no_later_value_once_heads_are_in_order():
    attention = {"type": "ProbSparseAttention", "factor": 99, "head_layout": "fixed"}  # no query is left out
    model, tokens, memory = build(attention=attention), torch.randn(2, 20, 16), torch.randn(2, 24, 16)
    later = tokens.clone()
    later[:, 13:] += 1
    change = (decoded(model, later, memory) - decoded(model, tokens, memory)).abs().amax((0, 2))
    assert change[:13].max() < 1e-5
    scrambled = build(attention=attention | {"head_layout": "reference"})
    change = (decoded(scrambled, later, memory) - decoded(scrambled, tokens, memory)).abs().amax((0, 2))
    assert change[:13].max() > 1e-3


def test_informer_with_all_queries_and_heads_in_order_is_the_transformer():
    attention = {"type": "ProbSparseAttention", "factor": 99, "head_layout": "fixed"}
    transformer, informer = build(), build(attention=attention)
    informer.load_state_dict(transformer.state_dict())
    torch.testing.assert_close(informer(**windows()), transformer(**windows()), atol=1e-5, rtol=1e-5)


def test_the_decoder_reads_the_last_known_steps_then_zeros_with_their_time_features():
    model, batch, seen = build(), windows(), {}
    model.decoder_embedding.register_forward_hook(lambda module, args, out: seen.update(inputs=args[0], marks=args[1]))
    model(**batch)
    assert torch.equal(seen["inputs"], torch.cat([batch["inputs"][:, 12:], torch.zeros(3, 8, 5)], 1))
    assert torch.equal(seen["marks"], torch.cat([batch["marks"][:, 12:], batch["future_marks"]], 1))
    without = build(label_len=0)
    assert without(**batch).shape == (3, 8, 5)


@pytest.mark.parametrize("name", KINDS)
def test_time_features_of_the_steps_to_forecast_matter(name):
    model, batch = build(name), windows()
    moved = seeded(model, batch | {"future_marks": batch["future_marks"] + 0.5})
    assert (moved - seeded(model, batch)).abs().max() > 1e-3


@pytest.mark.parametrize("name", ["transformer", "flowformer", "flashformer"])
@pytest.mark.parametrize("marks", [0, 4])
def test_channel_independence_is_each_variate_alone(name, marks):
    model = build(name, enc_in=1, channel_independence=True, marks_pairing="fixed", n_marks=marks)
    batch = windows(marks=marks)
    alone = [model(**(batch | {"inputs": batch["inputs"][..., i : i + 1]})) for i in range(5)]
    torch.testing.assert_close(model(**batch), torch.cat(alone, -1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pairing", ["reference", "fixed"])
def test_in_evaluation_a_variate_has_its_own_windows_time_features(pairing):
    model, batch = build(enc_in=1, channel_independence=True, marks_pairing=pairing), windows()
    alone = torch.cat([model(**{name: part[i : i + 1] for name, part in batch.items()}) for i in range(3)])
    torch.testing.assert_close(model(**batch), alone, atol=1e-6, rtol=1e-5)


def test_the_official_pairing_trains_variates_with_the_time_features_of_other_windows():
    model, batch = build(enc_in=1, channel_independence=True, dropout=0.0).train(), windows()
    fixed = build(enc_in=1, channel_independence=True, dropout=0.0, marks_pairing="fixed").train()
    # Series b0v0, b0v1, ... b1v0 ... meet time features b0, b1, b2, b0, ...
    forecast = model(**batch)
    window = torch.arange(3 * 5).reshape(3, 5) % 3
    for i in range(5):
        marks = {name: batch[name][window[:, i]] for name in ("marks", "future_marks")}
        alone = fixed(batch["inputs"][..., i : i + 1], **marks)
        torch.testing.assert_close(forecast[..., i : i + 1], alone, atol=1e-5, rtol=1e-5)
    assert (forecast - fixed(**batch)).abs().max() > 1e-3
    torch.testing.assert_close(model(**windows(batch=1)), fixed(**windows(batch=1)), atol=0, rtol=0)


@pytest.mark.parametrize("embed", ["fixed", "learned"])
def test_calendar_tables_are_looked_up_and_added(embed):
    embedding = TemporalEmbedding(5, 16, 24, n_marks=5, embed=embed, freq="15min").eval()
    marks = torch.stack([torch.randint(size, (3, 24)) for size in (13, 32, 7, 24, 4)], -1).float()
    added = embedding(torch.zeros(3, 24, 5), marks) - embedding(torch.zeros(3, 24, 5))
    tables = embedding.time.tables
    rows = {name: tables[name].weight if embed == "learned" else tables[name].rows for name in tables}
    expected = sum(rows[n][marks[..., i].long()] for i, n in enumerate(("month", "day", "weekday", "hour", "minute")))
    torch.testing.assert_close(added, expected, atol=1e-5, rtol=1e-5)
    assert sum(p.numel() for p in embedding.time.parameters()) == (16 * (13 + 32 + 7 + 24 + 4) * (embed == "learned"))


def test_positions_are_sines_and_cosines():
    table = sinusoids(50, 8)
    place, pair = torch.meshgrid(torch.arange(50), torch.arange(4), indexing="ij")
    angle = place / 10000 ** (2 * pair / 8)
    torch.testing.assert_close(table, torch.stack([angle.sin(), angle.cos()], -1).flatten(1), atol=1e-5, rtol=0)
    assert sinusoids(3, 5).shape == (3, 5)


@pytest.mark.parametrize(("steps", "left"), [(96, 49), (49, 26), (24, 13)])
def test_distilling_halves_a_sequence(steps, left):
    assert Distilling(8)(torch.randn(2, steps, 8)).shape == (2, left, 8)


@pytest.mark.parametrize("name", KINDS)
def test_predict_returns_what_the_metric_needs(name):
    batch = windows()
    sample = build(name, features="MS")(**batch, targets=torch.zeros(3, 8, 1), mode="predict")[1]
    assert {key: tuple(value.shape) for key, value in sample.items()} == {
        "forecast": (8, 1),
        "target": (8, 1),
        "last": (1,),
    }
    assert sample["last"] == batch["inputs"][1, -1, -1]


MARKS, FUTURE = torch.zeros(1, 24, 4), torch.zeros(1, 8, 4)


@pytest.mark.parametrize("name", ["transformer", "reformer"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": torch.zeros(1, 30, 5)}, "seq_len=24"),
        ({"inputs": torch.zeros(1, 24, 7)}, "enc_in=5 variates, inputs have 7: set model.enc_in"),
        ({"targets": torch.zeros(1, 13, 5), "mode": "loss"}, "pred_len=8"),
        ({"targets": torch.zeros(1, 8, 1), "mode": "loss"}, "the same features"),
        (
            {"marks": None, "future_marks": None},
            "n_marks=4 .* no marks. Fix: set model.n_marks=0 or the data",
        ),
        ({"targets": None, "mode": "loss"}, "targets, but the batch has none"),
        ({"future_marks": None}, "^marks are given without future_marks.*Fix: set future_marks=True in the data sets"),
        ({"marks": None}, "future_marks are given without marks"),
        ({"marks": MARKS[..., :3]}, "^marks have shape.*n_marks=4"),
        ({"future_marks": FUTURE[:, :5]}, "^future_marks have shape.*reads 8 steps"),
        ({"mode": "predict", "with_attention": True}, "has no attention between variates.*with_attention=False"),
        ({"mode": "test"}, "mode='test'"),
    ],
)
def test_wrong_calls_name_the_cause(name, changes, message):
    with pytest.raises(ValueError, match=message):
        build(name)(**({"inputs": torch.zeros(1, 24, 5), "marks": MARKS, "future_marks": FUTURE} | changes))


@pytest.mark.parametrize("name", ["transformer", "reformer"])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"activation": "swish"}, "activation"),
        ({"features": "SM"}, "features"),
        ({"marks_pairing": "right"}, "marks_pairing"),
        ({"embed": "timef"}, "embed"),
        ({"embed": "fixed", "n_marks": 3}, "set n_marks=4 and the data sets' time_features='calendar'"),
        ({"embed": "fixed", "n_marks": 4, "freq": "t"}, "set n_marks=5"),
        ({"label_len": 25}, "label_len=25.*seq_len=24.*set label_len to 24 at most"),
        ({"label_len": -1}, "label_len=-1"),
        ({"channel_independence": True}, "enc_in=5 and c_out=5. Fix: set both to 1"),
        ({"d_model": 4, "n_heads": 8}, "d_model=4 is smaller"),
    ],
)
def test_wrong_arguments_are_refused(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        build(name, **wrong)


def test_the_attention_of_another_model_is_refused():
    with pytest.raises(ValueError, match="type='LSHAttention' is not one of FullAttention, ProbSparse"):
        build(attention={"type": "LSHAttention"})
    with pytest.raises(ValueError, match="type='FullAttention' is not 'LSHAttention'"):
        build("reformer", attention={"type": "FullAttention"})
    for name in ("transformer", "reformer"):
        with pytest.raises(
            ValueError, match=r"type='NoAttention' is not known\. Fix: set attention.type to one of Full"
        ):
            build(name, attention={"type": "NoAttention"})


def test_an_attention_may_be_given_as_a_class():
    assert build(attention={"type": FlowAttention}).settings == build("flowformer").settings


# Official checkpoints

MILLIONS = {
    "transformer": [10.590, 11.666, 13.605],
    "flowformer": [10.590, 11.666, 13.605],
    "flashformer": [10.590, 11.666, 13.605],
    "informer": [11.378, 12.454, 14.393],
    "reformer": [5.824, 6.438, 7.547],
}


def meta_state(listed: dict) -> dict:
    return {key: torch.empty(shape, device="meta") for key, shape in listed["state_dict"].items()}


def shapes(state: dict) -> dict:
    return {key: list(value.shape) for key, value in state.items()}


@pytest.mark.parametrize("name", KINDS)
def test_every_official_key_is_converted_both_ways(name):
    sizes = []
    for listed in load_keys(KEYS / f"keys_{name}.json").values():
        official, config = meta_state(listed), listed["config"]
        lengths = {key: config[key] for key in ("seq_len", "pred_len", "label_len", "enc_in", "c_out")}
        widths = {key: config[key] for key in ("d_model", "n_heads", "e_layers", "d_ff")}
        with torch.device("meta"):
            model = build(name, **lengths, **widths)
        assert is_baseline(official)
        ours = rules_of(official).forward(official)
        assert is_baseline(ours)
        assert not any(differences(ours, model).values())
        assert shapes(rules_of(ours).backward(ours)) == listed["state_dict"]
        for layout in (official, ours):
            assert not any(differences(ours, target(layout)).values())
            assert infer_config(layout)["model"].items() <= model.settings.items()
        sizes.append(sum(p.numel() for p in model.parameters()))
        assert sizes[-1] == listed["n_parameters"]
    assert [round(size / 1e6, 3) for size in sizes] == MILLIONS[name]


@pytest.mark.parametrize("file", ["keys_itransformer_etth1.json", "keys_ireformer.json", "keys_iinformer.json"])
def test_inverted_models_are_no_baselines(file):
    assert not any(is_baseline(meta_state(listed)) for listed in load_keys(KEYS / file).values())


@pytest.mark.parametrize("time", [{"n_marks": 0}, {"embed": "fixed", "n_marks": 5, "freq": "t"}, {"embed": "learned"}])
@pytest.mark.parametrize("name", ["transformer", "informer", "reformer"])
def test_round_trip_is_exact(name, time):
    model = build(name, **time)
    ours = model.state_dict()
    official = rules_of(ours).backward(ours)
    back = rules_of(official).forward(official)
    assert back.keys() == ours.keys()
    assert all(torch.equal(back[key], ours[key]) for key in ours)
    assert official["enc_embedding.position_embedding.pe"].shape == (1, 5000, 16)
    assert torch.equal(official["enc_embedding.position_embedding.pe"][0, :24], model.embedding.positions[:24])
    assert not any(differences(ours, target(official)).values())
    assert infer_config(official, n_heads=2)["model"].items() <= model.settings.items()


@pytest.mark.parametrize("name", KINDS)
def test_a_checkpoint_of_another_setting_is_named_with_the_fix(name):
    model = build(name)
    require_same_model(model, {"state_dict": model.state_dict(), "meta": {"model": model.settings}})
    for setting, value in {"n_heads": 4, "seq_len": 12, "features": "MS", "embed": "learned"}.items():
        other = build(name, **{setting: value})
        checkpoint = {"state_dict": model.state_dict(), "meta": {"model": other.settings}}
        with pytest.raises(CheckpointMismatchError, match=f"Fix: set model.{setting}={value!r}"):
            require_same_model(model, checkpoint)


def test_a_checkpoint_of_another_attention_is_named_with_the_fix():
    transformer, flowformer = build("transformer"), build("flowformer")
    checkpoint = {"state_dict": flowformer.state_dict(), "meta": {"model": flowformer.settings}}
    with pytest.raises(CheckpointMismatchError, match=r"Fix: set model.attention=\{'type': 'FlowAttention'\}"):
        require_same_model(transformer, checkpoint)


def converted(official: dict) -> dict:
    return convert(official, rules_of(official), target(official))


STEP = 7  # of the keys to leave out; all of them take seconds


@pytest.mark.parametrize("name", ["informer", "reformer"])
def test_a_key_that_is_missing_or_misshapen_is_the_one_named(name):
    state = build(name).state_dict()
    official = rules_of(state).backward(state)
    # Positions are computed, and a Reformer's only embedding without time is that of a model without time features.
    needed = [key for key in official if "position" not in key and not (name == "reformer" and "temporal" in key)]
    for key in needed[::STEP]:
        with pytest.raises(CheckpointMismatchError) as caught:
            converted({other: value for other, value in official.items() if other != key})
        assert list(caught.value.problems) == ["not in the file"], key
        assert [line.split(" ")[-1] for line in caught.value.problems["not in the file"]] == [key]
        misshapen = official | {key: torch.zeros(3, *official[key].shape[1:])}
        with pytest.raises(CheckpointMismatchError) as caught:
            converted(misshapen)
        (line,) = caught.value.problems["wrong shape"]
        wrong = rules_of(official).forward(misshapen)
        (changed,) = (name for name in state if state[name].shape != wrong[name].shape)
        assert line.startswith(changed.rpartition(".")[0])  # of a weight and its bias either may be the wrong one


def test_a_layer_of_a_huge_number_costs_no_time():
    state = build().state_dict()
    official = rules_of(state).backward(state) | {"decoder.layers.999999999.norm1.bias": torch.zeros(16)}
    with pytest.raises(CheckpointMismatchError) as caught:
        converted(official)
    assert caught.value.problems["not in the model"] == ["decoder.layers.999999999.norm1.bias"]


def test_what_infer_config_cannot_know_is_left_out():
    state = build(e_layers=1).state_dict()
    assert set(infer_config(state)["model"]) == {
        "enc_in",
        "c_out",
        "d_model",
        "d_ff",
        "e_layers",
        "d_layers",
        "n_marks",
        "embed",
    }
    with pytest.raises(ValueError, match="n_heads=0 is not positive"):
        infer_config(state, n_heads=0)


@pytest.mark.filterwarnings("ignore:d_model=10 is no multiple")
@pytest.mark.parametrize("name", KINDS)
def test_the_target_has_the_width_of_the_heads(name):
    state = build(name, d_model=10, n_heads=4).state_dict()
    for layout in (state, rules_of(state).backward(state)):
        assert not any(differences(state, target(layout)).values())
