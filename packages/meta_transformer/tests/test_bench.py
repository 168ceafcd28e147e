"""The benchmark compares like with like, its transcriptions are the official code's, and all of it can be run."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from mm_meta_transformer.models.encoder import MetaTransformerEncoder, _Attention, _Block
from mm_meta_transformer.models.meta_classifier import MetaTransformerClassifier
from mm_meta_transformer.models.meta_forecaster import MetaTransformerForecaster
from mm_meta_transformer.models.meta_graph import MetaTransformerGraphRegressor
from mm_meta_transformer.models.meta_points import MetaTransformerPointSeg
from mmrepro.ops.cpu_layers import Linear
from mmrepro.testing import load_case
from mmrepro.testing.cases import compare, cut

HERE = Path(__file__).resolve().parent
SMALL = {
    "ARCH": dict(embed_dims=16, depth=2, num_heads=2),
    "SIDE": 32,
    "FRAMES": 4,
    "BINS": 52,
    "BANDS": 9,
    "STEPS": 8,
    "POINTS": 64,
    "ROOM": 128,
    "NEIGHBOURS": 8,
    "TOKENS": {"a picture": 5, "a dense picture": 7, "a clip": 9},
    "BATCH": 2,
    "TRAINED": 2,
}
OURS = {
    MetaTransformerEncoder: "forward",
    _Block: "forward",
    _Attention: "forward",
    Linear: "forward",
    MetaTransformerClassifier: "forward",
    MetaTransformerForecaster: "decode",
    MetaTransformerGraphRegressor: "forward",
    MetaTransformerPointSeg: "forward",
}


def benchmark(name):
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location(name, HERE / "bench.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(monkeypatch):
    """The benchmark with small models of the same kinds."""
    module = benchmark("mm_meta_transformer_test_bench")
    for name, value in SMALL.items():
        monkeypatch.setattr(module, name, value)
    return module


def lines(bench):
    """All lines, by their group, part and what is measured of it."""
    return {
        (group, part, what): sides
        for group, parts in bench.groups().items()
        for part, whats in parts.items()
        for what, sides in whats.items()
    }


def tensors(result):
    """The tensors of a result by name."""
    return result if isinstance(result, dict) else {"": result}


def test_both_sides_compute_the_same(bench):
    compared = 0
    for line, sides in lines(bench).items():
        ours, plain = (tensors(make()()) for make in sides.values())
        assert ours.keys() == plain.keys(), line
        scale = max(one.abs().max().item() for one in plain.values())
        assert scale > 1e-4, line
        for name, one in plain.items():
            # a key's bias has no gradient but rounding, so the largest of all is what counts
            assert (ours[name] - one).abs().max() < 1e-4 * scale, (line, name)
            compared += one.numel()
    assert compared > 20_000


def test_the_encoders_gradients_are_asked_for_only_where_it_is_tuned(bench):
    frozen, tuned = (bench.training_step(bench.pixels, frozen=frozen, ours=True)() for frozen in (True, False))
    assert not any(name.startswith("encoder.") for name in frozen)
    assert {name for name in tuned if not name.startswith("encoder.")} == set(frozen)
    assert sum(name.startswith("encoder.") for name in tuned) == 24


def test_the_plain_side_runs_nothing_of_ours(bench, monkeypatch):
    functions = [sides["plain"]() for sides in lines(bench).values()]

    def refuse(*_args, **_kwargs):
        raise AssertionError("this is ours")

    for owner, name in OURS.items():
        monkeypatch.setattr(owner, name, refuse)
    for function in functions:
        function()


@pytest.mark.parametrize(
    ("name", "file", "function", "settings"),
    [
        ("timeseries_forecast", "series", "forecast", {}),
        ("graph_tokengt_forward", "graph", "value", {}),
        ("pointcloud_shapenetpart_forward", "points", "segmented", dict(kinds="cls,max,avg")),
    ],
)
def test_transcriptions_are_the_official_code(bench, name, file, function, settings):
    case = load_case(HERE / "parity" / name)
    weights = {key: torch.from_numpy(value) for key, value in case.state_dict().items()}
    given = {key: torch.from_numpy(value) for key, value in case.inputs.items()}
    heads = 32 if file == "graph" else 12
    with torch.no_grad():
        found = getattr(bench.transcription(file), function)(weights, READ[file](given), heads, **settings)
    (output,) = {"forecast", "logits"} & case.expected.keys()
    compare(
        cut(found.numpy(), (case.manifest["expected_slice"] or {}).get(output)), case.expected[output], case.tolerance
    )


def graphs(given):
    """Official graphs, one after the other, as padded ones."""
    nodes, edges = given["node_num"].tolist(), given["edge_num"].tolist()
    parts = dict(node_data=nodes, lap_eigvec=nodes, edge_data=edges)
    rows = {name: given[name].split(sizes) for name, sizes in parts.items()} | {
        "edge_index": given["edge_index"].T.split(edges)
    }
    return {name: torch.nn.utils.rnn.pad_sequence(list(one), batch_first=True) for name, one in rows.items()}


READ = {
    "series": lambda given: dict(
        series=given["x_enc"], marks=given["x_mark_enc"], asked=given["x_dec"], asked_marks=given["x_mark_dec"]
    ),
    "graph": graphs,
    "points": lambda given: dict(
        points=given["pos"], features=given["x"].transpose(1, 2), category=given["cls"][:, 0].long()
    ),
}


def test_every_line_has_both_sides_and_the_published_sizes():
    bench = benchmark("mm_meta_transformer_whole_bench")
    assert all(list(sides) == ["ours", "plain"] for sides in lines(bench).values())
    assert {part for group, part, _ in lines(bench) if "steps" in group} == set(bench.trained())
    assert bench.ARCH == "base"
    assert list(bench.TOKENS.values()) == [14 * 14 + 1, 32 * 32 + 1, 8 * 14 * 14]
    assert all(list(ways)[:2] == ["reference", "ours"] for ways in bench.steps().values())


def test_epochs_are_timed_with_and_without_kept_features(bench):
    (measure,) = bench.tables().values()
    changes = {"train_dataloader.dataset.dataset.count": 16, "train_dataloader.batch_size": 8}
    (row,) = measure(count=2, **changes).rows
    assert row[0] == "changed"
    assert [cell.endswith(" s") for cell in row] == [False, True, True, True, True, False]
    assert np.isfinite(float(row[-1].removesuffix(" x")))
    config = bench.Config.fromfile(bench.papers.find_config("meta_transformer", bench.CACHED))
    assert config.model.head.in_channels == 17 * 192
    assert [settings.get("model.head.in_channels") for settings in bench.CACHED_ENCODERS.values()] == [None, 17 * 768]
