"""The benchmark compares like with like: both sides of each line compute the same, and each with its own code."""

import importlib.util
from pathlib import Path

import pytest
import torch

from mm_monodino_detr.models.criterion import MonoDETRCriterion
from mm_monodino_detr.models.depth_aware_decoder import DepthAwareDecoder
from mm_monodino_detr.models.depth_predictor import DepthPredictor
from mm_monodino_detr.models.dinov2_vit import Block, DINOv2ViT
from mm_monodino_detr.models.dpt_head import DPTDepthHead
from mm_monodino_detr.models.feature_fusion import HierarchicalFeatureFusion
from mm_monodino_detr.models.group_matching import GroupHungarian3DAssigner
from mm_monodino_detr.models.mono3d_head import MonoDETRHead
from mm_monodino_detr.models.monodino_detr import MonoDINODETR
from mm_monodino_detr.models.queries import BoxQueries
from mm_monodino_detr.models.visual_encoder import VisualEncoder
from mmrepro.detection.level_tables import KeptTables
from mmrepro.ops import MultiScaleDeformableAttention

DIMS = 32
SIZES = {
    "PICTURE": (40, 120),
    "SIDE": 56,
    "TOKENS": 336,
    "QUERIES": 6,
    "GROUPS": 3,
    "OBJECTS": 3,
    "LOSS_IMAGES": 2,
}
SMALLER = {
    "backbone": {"arch": dict(embed_dims=16, depth=4, num_heads=2, out_indices=(0, 1, 2, 3))},
    "depth_head": {"arch": dict(embed_dims=16, features=8, out_channels=(4, 4, 8, 8))},
    "neck": dict(in_channels=16, mid_channels=(8, 16), out_channels=DIMS, num_groups=8),
    "depth_predictor": dict(embed_dims=DIMS, num_heads=4),
    "encoder": dict(embed_dims=DIMS, num_heads=4),
    "decoder": dict(embed_dims=DIMS, num_heads=4),
}
OURS = {
    MonoDINODETR: ("extract_feat", "decode"),
    DINOv2ViT: ("forward", "levels"),
    Block: ("forward",),
    DPTDepthHead: ("forward", "sampled"),
    HierarchicalFeatureFusion: ("forward",),
    KeptTables: ("__call__",),
    DepthPredictor: ("forward", "embed"),
    VisualEncoder: ("forward",),
    BoxQueries: ("forward",),
    DepthAwareDecoder: ("forward",),
    MultiScaleDeformableAttention: ("forward", "attend"),
    MonoDETRHead: ("forward", "loss", "predict"),
    GroupHungarian3DAssigner: ("match",),
    MonoDETRCriterion: ("forward",),
}


def benchmark(name):
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("bench.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(monkeypatch):
    """The benchmark with a small picture and networks of the same kind; ``built`` has these."""
    module = benchmark("mm_monodino_detr_test_bench")
    for name, value in SIZES.items():
        monkeypatch.setattr(module, name, value)
    build, module.built = module.build, []

    def smaller(settings):
        for part, changes in SMALLER.items():
            settings[part].update(changes)
        model = build(settings)
        for name, parameter in model.named_parameters():
            if "sampling_offsets" in name or "attention_weights" in name or name.endswith("gamma"):
                torch.nn.init.normal_(parameter, std=0.5)  # as they begin, they are the same for every token
            elif "output_conv2.2" in name:
                torch.nn.init.uniform_(parameter, 0.5, 1.0)  # as it begins, the depth may be zero everywhere
        module.built.append(model)
        return model

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
    values = [result[name] for name in sorted(result)] if isinstance(result, dict) else result
    return [one for value in values for one in tensors(value)]


def test_both_sides_compute_the_same(bench):
    compared = 0
    for line, sides in lines(bench).items():
        if "bfloat16" in line[1]:
            continue
        ours, plain = (tensors(make()()) for make in sides.values())
        for mine, theirs in zip(ours, plain, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4, msg=lambda text, line=line: f"{line} {text}")
            compared += mine.numel()
        assert ours, line
    assert compared > 20_000


def test_both_steps_have_the_same_gradients(bench):
    for ours in (True, False):
        bench.training_step(ours=ours)()
    one, other = (dict(model.named_parameters()) for model in bench.built)
    trained = [name for name, parameter in one.items() if parameter.grad is not None]
    assert len(trained) > 150
    assert not any(name.startswith(("backbone.", "depth_head.")) for name in trained)
    scales = {}
    for name in trained:  # biases before a norm, or of keys, have no gradient but rounding: that of their layer counts
        layer = name.rpartition(".")[0]
        scales[layer] = max(scales.get(layer, 0), one[name].grad.abs().max().item())
    for name in trained:
        torch.testing.assert_close(
            one[name].grad,
            other[name].grad,
            atol=1e-4 * scales[name.rpartition(".")[0]],
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
    for function in functions.values():
        function()


def test_frozen_parts_in_bfloat16_see_nearly_the_same(bench):
    (whole,) = (sides for line, sides in lines(bench).items() if "bfloat16" in line[1])
    mine, theirs = whole["ours"](), whole["plain"]()
    assert [model.backbone.bf16 for model in bench.built] == [True, False]
    mine, theirs = (sorted(result()[1].tolist()) for result in (mine, theirs))
    torch.testing.assert_close(torch.tensor(mine), torch.tensor(theirs), atol=0.02, rtol=0.05)


def test_objects_are_inside_and_their_boxes_agree(bench):
    images, samples = bench.batch(2)
    assert images.shape == (2, 3, *SIZES["PICTURE"])
    for sample in samples:
        objects = sample.gt_instances
        assert len(objects) == SIZES["OBJECTS"]
        centres, sides = objects.boxes_3d.split([2, 4], 1)
        starts, ends = centres - sides[:, ::2], centres + sides[:, 1::2]
        torch.testing.assert_close(objects.boxes, torch.cat([(starts + ends) / 2, ends - starts], 1))
        assert (starts > 0).all()
        assert (ends < 1).all()


def test_every_line_has_both_sides_and_the_published_sizes():
    bench = benchmark("mm_monodino_detr_whole_bench")
    assert all(list(sides) == ["ours", "plain"] for sides in lines(bench).values())
    assert next(iter(lines(bench))) == ("MonoDINO-DETR, ViT-B, 1x3x384x1280", "prediction")
    assert sum((scale * bench.SIDE // 14) ** 2 for scale in (4, 2, 1)) == bench.TOKENS
    model = bench.detector()
    assert (model["backbone"]["arch"], model["target_size"]) == ("base", 518)
    assert (model["num_queries"], model["group_num"]) == (50, 11)


def test_the_metric_is_timed_from_files_and_from_memory(bench):
    (measure,) = bench.tables().values()
    table = measure(frames=2, detections=3)
    assert len(table.rows) == 2
    assert table.note.startswith("2 generated frames")
