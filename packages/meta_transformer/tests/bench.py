"""Speed and memory beside plain transcriptions of the official code, with the same weights.

The shared encoder at the numbers of tokens of pictures, dense pictures and clips; its last block where one token is
read; the models of nine modalities; training steps with a frozen and with a tuned encoder; and epochs with and without
kept features. On the CPU.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch import Tensor, nn

import mm_meta_transformer  # noqa: F401  registers everything
from mm_meta_transformer.checkpoints import audio, encoder, graph, hyper, point_cloud, tabular, timeseries, video, vit
from mmrepro import papers
from mmrepro.testing.bench import Table

Make = Callable[[], Callable[[], object]]
HERE = Path(__file__).resolve().parent
ARCH: str | dict[str, int] = "base"
SIDE, FRAMES, BINS, BANDS, STEPS = 224, 16, 224, 200, 96
POINTS, ROOM, NEIGHBOURS = 1024, 24_000, 32
TOKENS = {"a picture": 197, "a dense picture": 1025, "a clip": 1568}
BATCH = 4
TRAINED = 8  # pictures of a training step
CACHED = "meta-transformer_frozen-features_digits.py"
CACHED_ENCODERS: dict[str, dict[str, Any]] = {
    "192 channels, four blocks, 1,437 digits": {},
    "base, 400 digits": {
        "model.encoder.arch": "base",
        "model.head.in_channels": 17 * 768,
        "train_dataloader.dataset.dataset.count": 400,
    },
}


class Subject(NamedTuple):
    """A model, what it reads, and its transcription.

    Attributes:
        config: of our model.
        kind: of official checkpoints, whose names the transcription's weights have.
        plain: the transcription's file and function.
        inputs: what both sides read.
        given: what ours is called with, where that is something else.
        settings: what the transcription is told besides.
    """

    config: dict[str, Any]
    kind: ModuleType
    plain: tuple[str, str]
    inputs: Any
    given: Callable[[nn.Module, Any], Tensor] = lambda model, inputs: model(inputs)
    settings: dict[str, Any] | None = None


def groups() -> dict[str, dict[str, dict[str, dict[str, Make]]]]:
    """Return all lines, ours beside the transcription."""
    encoders = {f"{count:,} tokens of {what}": tokens(count) for what, count in TOKENS.items()}
    one = f"last block, one of {TOKENS['a picture']} tokens read, {TRAINED} pictures"
    ways = {"encoder frozen": True, "encoder tuned": False}
    return {
        "CPU: the shared encoder, base": {
            name: {"forward": both(forward, make)} for name, make in (encoders | {one: last_block}).items()
        },
        "CPU: models of modalities, base": {
            name: {"forward": both(forward, make)} for name, make in subjects().items()
        },
        "CPU: training steps, base": {
            name: {way: both(training_step, make, frozen=frozen) for way, frozen in ways.items()}
            for name, make in trained().items()
        },
    }


def steps() -> dict[str, dict[str, Make]]:
    """Return training steps whose memory is measured; ``reference`` is the transcription."""
    return {
        f"a training step of {TRAINED} pictures, encoder {'frozen' if frozen else 'tuned'}": {
            "reference": partial(training_step, pictures, frozen=frozen, ours=False),
            "ours": partial(training_step, pictures, frozen=frozen, ours=True),
            "ours, with_cp=True": partial(training_step, partial(pictures, with_cp=True), frozen=frozen, ours=True),
        }
        for frozen in (True, False)
    }


def tables() -> dict[str, Callable[[], Table]]:
    """Return the time of epochs with and without kept features."""
    return {"Epochs of a head on frozen features": epochs}


def both(measured: Callable[..., Callable[[], object]], *given: Any, **settings: Any) -> dict[str, Make]:
    """Return the two sides of a line."""
    return {side: partial(measured, *given, **settings, ours=ours) for side, ours in (("ours", True), ("plain", False))}


# ----------------------------------------------------------------------------------------------------------------------
# What is measured


def forward(make: Callable[[], Subject], *, ours: bool) -> Callable[[], Tensor]:
    """Return what a model computes of its inputs."""
    subject = make()
    call = side(subject, built(subject, frozen=True).eval(), ours=ours)

    def run() -> Tensor:
        with torch.no_grad():
            return call()

    return run


def training_step(make: Callable[[], Subject], *, frozen: bool, ours: bool) -> Callable[[], dict[str, Tensor]]:
    """Return the gradients of a training step without its optimiser; the transcription's weights are our parameters.

    The loss is the mean square of what the model computes. The models have no dropout and no batch norm.
    """
    subject = make()
    model = built(subject, frozen=frozen).train()
    call = side(subject, model, ours=ours)

    def step() -> dict[str, Tensor]:
        model.zero_grad()
        call().square().mean().backward()
        return {name: one.grad for name, one in model.named_parameters() if one.requires_grad}

    return step


def side(subject: Subject, model: nn.Module, *, ours: bool) -> Callable[[], Tensor]:
    """Return one side's function of no arguments."""
    if ours:
        return partial(subject.given, model, subject.inputs)
    file, name = subject.plain
    heads = (model if subject.kind is encoder else model.encoder).num_heads
    plain = getattr(transcription(file), name)
    return partial(plain, official(subject, model), subject.inputs, heads, **(subject.settings or {}))


def epochs(count: int = 4, **changes: Any) -> Table:
    """Return the time of the first epoch, all before it included, and of later ones.

    Args:
        count: epochs of each run.
        changes: of the config, in place of both encoders.
    """
    rows = []
    for label, settings in {"changed": changes}.items() if changes else CACHED_ENCODERS.items():
        times = []
        for keep in (False, True):
            with tempfile.TemporaryDirectory(prefix="mmrepro-bench-") as folder:
                times.append(epoch_times(Path(folder), keep, count, settings))
        (first, slow), (start, fast) = times
        cells = (f"{seconds:.3g} s" for seconds in (first, slow, start, fast))
        rows.append([label, *cells, f"{slow / fast:.1f} x"])
    return Table(
        columns=["encoder", "first epoch", "a later one", "first epoch, features kept", "a later one, kept", "ratio"],
        rows=rows,
        note=f"`{CACHED}`: a head on the features of a frozen random encoder, {count} epochs without validation; first "
        "epochs with all that comes before them, of later ones the median. That both ways end with the same weights is "
        "tested (`test_feature_cache.py`).",
    )


class EpochClock(Hook):
    """Notes when training starts and when each epoch ends."""

    priority = "VERY_HIGH"  # before what fills the cache

    def before_train(self, runner: Runner) -> None:
        """Start."""
        self.times = [time.perf_counter()]

    def after_train_epoch(self, runner: Runner) -> None:
        """Note an epoch's end."""
        self.times.append(time.perf_counter())


def epoch_times(folder: Path, keep: bool, count: int, changes: dict[str, Any]) -> tuple[float, float]:
    """Return the seconds of the first epoch and the median of the later ones."""
    cfg = Config.fromfile(papers.find_config("meta_transformer", CACHED))
    hooks = [dict(type="FeatureCacheHook", folder=str(folder / "features"))] if keep else []
    cfg.merge_from_dict(dict(work_dir=str(folder), log_level="ERROR", custom_hooks=hooks) | changes)
    for name in ("val_dataloader", "val_cfg", "val_evaluator", "test_dataloader", "test_cfg", "test_evaluator"):
        cfg[name] = None
    cfg.train_cfg = dict(cfg.train_cfg, max_epochs=count)
    cfg.default_hooks = dict(checkpoint=None, logger=None, timer=None)
    cfg.visualizer = None
    cfg.experiment_name = f"meta_bench_{folder.name}"
    clock = EpochClock()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(clock)
    runner.train()
    first, *later = (end - start for start, end in zip(clock.times, clock.times[1:], strict=False))
    return first, sorted(later)[len(later) // 2]


# ----------------------------------------------------------------------------------------------------------------------
# Models and data


def subjects() -> dict[str, Callable[[], Subject]]:
    """Return the models of modalities by what they read."""
    return {
        f"picture, {TRAINED} of {SIDE}x{SIDE}": pictures,
        f"video, a clip of {FRAMES}x{SIDE}x{SIDE}": clips,
        f"audio, {BATCH} spectrograms of {BINS}x{BINS}": spectrograms,
        f"hyperspectral, {BATCH} pixels of {BANDS} bands": pixels,
        f"table, {BATCH} rows of 12 categories": rows,
        f"time series, {BATCH} windows of {STEPS} steps": windows,
        f"graph, {BATCH} molecules, the official axes": molecules,
        f"point cloud, {BATCH} of {POINTS:,} points": clouds,
        f"point cloud, a room of {ROOM:,} points": rooms,
    }


def trained() -> dict[str, Callable[[], Subject]]:
    """Return those that are trained."""
    return {
        f"picture, {TRAINED} of {SIDE}x{SIDE}": pictures,
        f"hyperspectral, {BATCH} pixels of {BANDS} bands": pixels,
        f"time series, {BATCH} windows of {STEPS} steps": windows,
    }


def tokens(count: int) -> Callable[[], Subject]:
    """Return the bare encoder of drawn tokens."""

    def make() -> Subject:
        config = shared()
        return Subject(config, encoder, ("encoder", "bare"), drawn(1, count, width(config)))

    return make


def last_block() -> Subject:
    """Return one block of which one token is read."""
    config = shared()
    config["arch"] = dict(embed_dims=width(config), depth=1, num_heads=MODELS.build(config).num_heads)
    inputs = drawn(TRAINED, TOKENS["a picture"], width(config))
    return Subject(config, encoder, ("encoder", "one_token"), inputs, lambda model, inputs: model(inputs, last_only=1))


def pictures(with_cp: bool = False) -> Subject:
    """Return the X-ray model, which is that of pictures, too."""
    tokenizer = dict(type="ImageTokenizer", img_size=SIDE)
    config = classifier(tokenizer, classes=1000, encoder_norm=1e-6)
    config["encoder"]["with_cp"] = with_cp
    return Subject(config, vit, ("encoder", "picture"), drawn(TRAINED, 3, SIDE, SIDE))


def clips() -> Subject:
    """Return the video model."""
    tokenizer = dict(type="VideoTokenizer", num_frames=FRAMES, img_size=SIDE)
    config = classifier(tokenizer, 400, pooling="mean", pooled_norm=1e-6)
    config["encoder"] |= dict(norm_eps=1e-6, qkv="video")
    return Subject(config, video, ("encoder", "video"), drawn(1, 3, FRAMES, SIDE, SIDE))


def spectrograms() -> Subject:
    """Return the audio model."""
    tokenizer = dict(type="AudioTokenizer", patch_size=32, input_size=(BINS, BINS), class_token=False)
    config = classifier(tokenizer, 35, pooling="first2", encoder_norm=1e-6, pooled_norm=1e-5)
    config["encoder"]["norm_eps"] = 1e-6
    return Subject(config, audio, ("encoder", "audio"), drawn(BATCH, BINS, BINS))


def pixels() -> Subject:
    """Return the hyperspectral model."""
    tokenizer = dict(type="HyperspectralTokenizer", num_bands=BANDS, dropout=0.0)
    return Subject(
        classifier(tokenizer, 16, pooled_norm=1e-5), hyper, ("encoder", "hyperspectral"), drawn(BATCH, BANDS, 1)
    )


def rows() -> Subject:
    """Return the tabular model of Adult's columns."""
    tokenizer = dict(type="TabularTokenizer", num_codes=486, num_columns=12, num_continuous=1, dropout=0.0)
    config = classifier(tokenizer, 1, pooling="flatten")
    config["head"]["in_channels"] = 12 * width(config["encoder"]) + 1
    codes = torch.randint(1, 487, (BATCH, 12), generator=torch.Generator().manual_seed(0))
    return Subject(config, tabular, ("encoder", "tabular"), dict(codes=codes, values=drawn(BATCH, 1)))


def windows() -> Subject:
    """Return the forecaster of ETTh1's first row."""
    known, label = STEPS, STEPS // 2
    config = dict(
        type="MetaTransformerForecaster",
        seq_len=known,
        pred_len=STEPS,
        label_len=label,
        enc_in=7,
        dropout=0.0,
        encoder=shared(),
        n_heads=8,
    )
    series = drawn(BATCH, known, 7)
    inputs = dict(
        series=series,
        marks=drawn(BATCH, known, 4, seed=1),
        asked=nn.functional.pad(series[:, known - label :], (0, 0, 0, STEPS)),
        asked_marks=drawn(BATCH, label + STEPS, 4, seed=2),
    )
    return Subject(
        config,
        timeseries,
        ("series", "forecast"),
        inputs,
        lambda model, inputs: model.decode(*(inputs[name] for name in ("series", "marks", "asked", "asked_marks"))),
        dict(decoder_heads=8, steps=STEPS),
    )


def molecules() -> Subject:
    """Return the official graph model of rings with a tail, padded to one size."""
    config = dict(
        type="MetaTransformerGraphRegressor",
        tokenizer=dict(type="GraphTokenizer"),
        encoder=shared(),
        official_compat=True,
    )
    sizes = [12 + 3 * number for number in range(BATCH)]
    links = [[*((at, (at + 1) % (size - 2)) for at in range(size - 2)), (0, size - 2), (1, size - 1)] for size in sizes]
    ends = [torch.tensor([*one, *((end, start) for start, end in one)]) for one in links]
    random = torch.Generator().manual_seed(0)

    def codes(counts: list[int], columns: int) -> Tensor:
        offsets = 2 + 512 * torch.arange(columns)
        return padded([torch.randint(500, (count, columns), generator=random) + offsets for count in counts])

    inputs = dict(
        node_data=codes(sizes, 9),
        edge_data=codes([len(one) for one in ends], 3),
        edge_index=padded(ends),
        lap_eigvec=padded([drawn(size, 16, seed=size) for size in sizes]),
    )
    return Subject(config, graph, ("graph", "value"), inputs)


def clouds() -> Subject:
    """Return ModelNet40's model."""
    config = dict(
        type="MetaTransformerPointCls",
        tokenizer=dict(type="PointPatchTokenizer", group_size=NEIGHBOURS),
        encoder=shared(),
        head=dict(type="PointClsHead", num_classes=40),
    )
    inputs = dict(points=drawn(BATCH, POINTS, 3))
    return Subject(config, point_cloud, ("points", "classified"), inputs, settings=dict(neighbours=NEIGHBOURS))


def rooms() -> Subject:
    """Return S3DIS's model, of points in a box of 8 x 6 x 3 m."""
    config = dict(
        type="MetaTransformerPointSeg",
        tokenizer=dict(type="P3Tokenizer", in_channels=7, sample_ratio=1 / 16, norm="ln", group_size=NEIGHBOURS),
        encoder=shared(),
        decoder=dict(type="PointDecoder"),
        head=dict(type="PointSegHead", num_classes=13, norm="ln"),
    )
    box = torch.tensor([8.0, 6.0, 3.0])
    points = torch.rand(1, ROOM, 3, generator=torch.Generator().manual_seed(0)) * box
    inputs = dict(points=points, features=drawn(1, ROOM, 7))
    return Subject(config, point_cloud, ("points", "segmented"), inputs, settings=dict(neighbours=NEIGHBOURS))


def classifier(tokenizer: dict[str, Any], classes: int, **settings: Any) -> dict[str, Any]:
    """Return the config of a classifier."""
    head = dict(type="MetaLinearHead", num_classes=classes)
    return dict(type="MetaTransformerClassifier", tokenizer=tokenizer, encoder=shared(), head=head, **settings)


def shared() -> dict[str, Any]:
    """Return the config of the shared encoder."""
    return dict(type="MetaTransformerEncoder", arch=ARCH)


def width(config: dict[str, Any]) -> int:
    """Return the channels of an encoder's config."""
    with torch.device("meta"), DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(config).embed_dims


def built(subject: Subject, frozen: bool) -> nn.Module:
    """Return our model; every parameter has the values that those of its name always get."""
    config = dict(subject.config)
    if subject.kind is encoder:
        config["frozen"] = frozen
    else:
        config["encoder"] = dict(config["encoder"], frozen=frozen)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(config)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in sorted(model.named_parameters()):
        mean, std = 0.0, 0.1
        if parameter.ndim > 1:
            std = max(parameter[0].numel() ** -0.5, 0.02)
        elif name.endswith("weight"):  # of a norm
            mean = 1.0
        nn.init.normal_(parameter, mean, std, generator=generator)
    return model


def official(subject: Subject, model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of our model by their official names: the same parameters, or views of them."""
    state = model.state_dict(keep_vars=True)
    return subject.kind.rules(state).backward(state)


def padded(rows: list[Tensor]) -> Tensor:
    """Return rows of several lengths as one tensor, filled up with zeros."""
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Return normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def transcription(name: str) -> ModuleType:
    """Import a file beside this one, which lies in no package."""
    spec = importlib.util.spec_from_file_location(f"mm_meta_transformer_plain_{name}", HERE / f"plain_meta_{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
