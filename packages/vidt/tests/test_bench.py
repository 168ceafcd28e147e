"""The benchmark compares like with like: both sides of each line compute the same, and each with its own code."""

import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData

from mm_vidt.models.criterion import ViDTCriterion
from mm_vidt.models.dct_mask_coder import DCTMaskCoder
from mm_vidt.models.decoder import ViDTDecoder
from mm_vidt.models.epff import EPFF
from mm_vidt.models.ram_swin import ViDTSwinTransformer
from mm_vidt.models.vidt_head import ViDTHead

SIZES = {
    "PICTURE": (64, 96),
    "BATCH": ((90, 132), (90, 132)),
    "STEP": ((64, 96), (64, 80)),
    "LEVELS": 3,
    "QUERIES": 20,
    "OBJECTS": (3, 2),
    "DETECTIONS": 10,
}
ARCH = dict(embed_dims=16, depths=(1, 2, 1, 2), num_heads=(1, 2, 4, 8), drop_path_rate=0.0)
OURS = {
    ViDTSwinTransformer: ("forward",),
    EPFF: ("forward",),
    ViDTDecoder: ("forward",),
    ViDTHead: ("forward", "predict", "token_logits"),
    ViDTCriterion: ("forward",),
    DCTMaskCoder: ("encode", "decode", "paste"),
}


@pytest.fixture
def bench(monkeypatch):
    """The benchmark with small pictures and networks of the same kind; ``built`` has these."""
    spec = importlib.util.spec_from_file_location("mm_vidt_test_bench", Path(__file__).with_name("bench.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, value in SIZES.items():
        monkeypatch.setattr(module, name, value)
    build, module.built = module.build, []

    def smaller(settings):
        settings.get("backbone", settings).update(arch=ARCH)
        if "neck" in settings:
            settings["neck"]["in_channels"] = [32, 64, 128, 256]
            settings["bbox_head"]["test_cfg"] = dict(max_per_img=module.DETECTIONS)
        module.built.append(build(settings))
        return module.built[-1]

    monkeypatch.setattr(module, "build", smaller)
    return module


def lines(bench):
    """All lines, by their part and what is measured of it."""
    (parts,) = bench.groups().values()
    return {(part, what): sides for part, whats in parts.items() for what, sides in whats.items()}


def tensors(result):
    """All tensors of a result, in order."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, InstanceData):
        result = {name: result[name] for name in sorted(result.keys())}
    values = [result[name] for name in sorted(result)] if isinstance(result, dict) else result
    return [one for value in values for one in tensors(value)]


def test_both_sides_compute_the_same(bench):
    compared = 0
    for line, sides in lines(bench).items():
        bench.built.clear()
        ours, plain = (tensors(make()()) for make in sides.values())
        for mine, theirs in zip(ours, plain, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4, msg=lambda text, line=line: f"{line} {text}")
            compared += mine.numel()
        assert ours, line
    assert compared > 10_000


def test_both_steps_have_the_same_gradients(bench):
    for ours in (True, False):
        bench.training_step(ours=ours)()
    one, other = (dict(model.named_parameters()) for model in bench.built)
    assert len(one) > 100
    for name, parameter in one.items():
        assert parameter.grad.any(), name
        scale = parameter.grad.abs().max().item()
        torch.testing.assert_close(
            parameter.grad,
            other[name].grad,
            atol=1e-4 * scale + 1e-6,
            rtol=0,
            msg=lambda text, name=name: f"{name} {text}",
        )


def test_the_plain_side_runs_nothing_of_ours(bench, monkeypatch):
    functions = {line: sides["plain"]() for line, sides in lines(bench).items()}

    def refuse(*_args, **_kwargs):
        raise AssertionError("this is ours")

    for owner, names in OURS.items():
        for name in names:
            monkeypatch.setattr(owner, name, refuse)
    for name in ("mask_crops", "token_label_targets", "token_label_losses"):
        monkeypatch.setattr(bench, name, refuse)
    for function in functions.values():
        function()


def test_each_depth_is_built_and_its_time_stands_beside_what_is_reported(bench, monkeypatch):
    assert bench.DEPTHS == (6, 5, 4, 3, 2)
    monkeypatch.setattr(bench, "DEPTHS", (6, 4, 3))
    monkeypatch.setattr(bench, "CALLS", 1)
    (measure,) = bench.tables().values()
    table = measure()
    assert [model.decoder.num_layers for model in bench.built] == [6, 4, 3]
    assert [(row[0], row[3]) for row in table.rows] == [("6", "47.6"), ("4", "47.0"), ("3", "-")]
    counts = [sum(parameter.numel() for parameter in model.parameters()) for model in bench.built]
    assert counts[0] > counts[1] > counts[2]
    assert [row[1] for row in table.rows] == [f"{count / 1e6:.2f} million" for count in counts]


def test_pictures_are_padded_and_objects_are_inside(bench):
    images, samples = bench.batch(bench.STEP)
    assert images.shape == (2, 3, 64, 96)
    assert images[0].any()
    assert not images[1, ..., 80:].any()
    for sample, count in zip(samples, bench.OBJECTS, strict=True):
        (height, width), objects = sample.img_shape, sample.gt_instances
        assert len(objects) == count
        assert objects.masks.masks.shape == (count, height, width)
        assert objects.masks.masks.any((1, 2)).all()
        assert (objects.bboxes[:, 2:] > objects.bboxes[:, :2]).all()
        assert (objects.bboxes >= 0).all()
        assert (objects.bboxes <= torch.tensor([width, height] * 2)).all()


def test_every_line_has_both_sides_and_the_published_sizes():
    spec = importlib.util.spec_from_file_location("mm_vidt_whole_bench", Path(__file__).with_name("bench.py"))
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    assert all(list(sides) == ["ours", "plain"] for sides in lines(bench).values())
    assert [what for _, what in lines(bench)][-2:] == ["training step, 2 images of 320x480", "prediction, 480x640"]
    model = bench.vidt_plus()
    assert (model["backbone"]["arch"], model["backbone"]["num_det_tokens"]) == ("nano", 300)
    assert model["decoder"]["num_layers"] == 6
    head = model["bbox_head"]
    assert all(head[name] for name in ("iou_aware", "with_vector", "token_label"))
