"""Cases of point clouds that differ from the stored ones: each setting is followed, or refused by its name."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from mm_meta_transformer import checkpoint
from mm_meta_transformer.models.point_heads import PointClsHead, PointSegHead
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.testing import Case, load_adapter, load_case
from mmrepro.testing.cases import draw_weight

ROOT = Path(__file__).resolve().parents[1]
ADAPTER = load_adapter(ROOT)
_SPEC = importlib.util.spec_from_file_location(
    "mm_meta_transformer_plain_points_of_parity", Path(__file__).with_name("plain_meta_points.py")
)
PLAIN = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(PLAIN)
COUNT = 48  # points


def shallow_cloud_case(name, depth=1, **encoder):
    """A stored case's manifest with fewer blocks and points, and other settings of its encoder."""
    manifest = load_case(ROOT / "tests" / "parity" / f"pointcloud_{name}_forward").manifest
    blocks = {f"encoder.blocks.{number}" for number in range(depth)}
    manifest["state_dict"] = {
        key: shape
        for key, shape in manifest["state_dict"].items()
        if not key.startswith("encoder.blocks.") or key.rsplit(".", 3)[0] in blocks or key.rsplit(".", 2)[0] in blocks
    }
    arguments = manifest["config"]["encoder_args"]
    arguments["embed_args"] |= encoder.pop("embed_args", {})
    arguments |= dict(depth=depth) | encoder
    arguments["embed_args"]["group_size"] = 2 if name in ("s3dis", "shapenetpart") else 5
    manifest["inputs"]["pos"]["shape"] = [1, COUNT, 3]
    if "x" in manifest["inputs"]:
        manifest["inputs"]["x"]["shape"] = [1, 7, COUNT]
    return manifest


@cache
def drawn_weight(*drawn):
    """A weight of its name, shape and seed: most cases have most in common."""
    return draw_weight(*drawn)


def cloud_outputs(manifest):
    """The adapter's outputs, and the weights and inputs that it was given, as tensors."""
    inputs = Case(manifest["kind"], manifest, {}).inputs
    state = {key: drawn_weight(key, tuple(shape), manifest["seed"]) for key, shape in manifest["state_dict"].items()}
    weights = {key: torch.from_numpy(value) for key, value in state.items()}
    return ADAPTER.run(manifest, state, inputs), weights, torch.from_numpy(inputs["pos"])


def test_positions_are_added_once_where_the_case_says_so():
    manifest = shallow_cloud_case("modelnet40", depth=2, add_pos_each_block=False)
    outputs, weights, points = cloud_outputs(manifest)
    _, centres, groups = PLAIN.embedded(weights, {"points": points}, 5)
    hidden = torch.nn.functional.gelu(PLAIN.linear(weights, "encoder.pos_embed.0.0", centres))
    position = torch.cat((weights["encoder.cls_pos"], PLAIN.linear(weights, "encoder.pos_embed.1", hidden)), 1)
    tokens = torch.cat((weights["encoder.cls_token"], groups.transpose(1, 2)), 1) + position
    expected = PLAIN.norm(weights, "encoder.norm", PLAIN.encoder(weights, "encoder.blocks.", tokens, 12), 1e-6)
    np.testing.assert_allclose(outputs["encoded"], expected, atol=2e-5 * float(expected.abs().max()))
    np.testing.assert_allclose(outputs["patch_tokens"], groups.transpose(1, 2), atol=2e-5 * float(groups.abs().max()))
    each, _, _ = cloud_outputs(manifest | dict(config=shallow_cloud_case("modelnet40", depth=2)["config"]))
    assert np.abs(each["encoded"] - outputs["encoded"]).max() > 0.05


def test_groups_read_features_themselves_where_the_case_says_so():
    outputs, weights, points = cloud_outputs(shallow_cloud_case("scanobjectnn", embed_args=dict(feature_type="dp_fj")))
    chosen = PLAIN.farthest(points, COUNT // 4)
    centres = PLAIN.taken(points, chosen)
    own = PLAIN.taken(points, PLAIN.nearest(points, centres, 5)[1])
    groups = torch.cat((own - centres[:, :, None], own), -1).permute(0, 3, 1, 2)
    stage = f"{PLAIN.EMBED}.convs.0"
    expected = PLAIN.pooled(weights, f"{stage}.0", f"{stage}.1", groups, True).transpose(1, 2)
    np.testing.assert_allclose(outputs["patch_tokens"], expected, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize(
    ("part", "option"),
    [
        ("encoder_args", dict(act_args=dict(act="relu"))),
        ("embed_args", dict(normalize_dp=True)),
        ("embed_args", dict(reduction="mean")),
        ("embed_args", dict(group="ballquery")),
        ("embed_args", dict(subsample="random")),
        ("embed_args", dict(conv_args=dict(order="norm-act-conv"))),
        ("embed_args", dict(feature_type="df")),
        ("embed_args", dict(norm_args=dict(norm="bn", eps=1e-3))),
        ("cls_args", dict(act_args=dict(act="gelu"))),
    ],
)
def test_what_this_package_has_not_is_refused_by_name(part, option):
    manifest = shallow_cloud_case("modelnet40")
    config = manifest["config"]
    parts = config | config["encoder_args"]
    parts[part] |= option
    with pytest.raises(ValueError, match=rf"{part}\.{next(iter(option))}.* is .* alone"):
        cloud_outputs(manifest)


def test_a_group_that_is_not_said_is_the_official_default_which_is_refused():
    manifest = shallow_cloud_case("modelnet40")
    del manifest["config"]["encoder_args"]["embed_args"]["group"]
    with pytest.raises(ValueError, match=r"embed_args\.group is 'ballquery'"):
        cloud_outputs(manifest)


@pytest.mark.parametrize(("kind", "step"), [("ln", 2), ("bn", 1), (None, 1)])
def test_heads_of_other_norms_and_without_dropout(kind, step):
    manifest = shallow_cloud_case("modelnet40")
    shapes = {key: shape for key, shape in manifest["state_dict"].items() if not key.startswith("prediction.")}
    for number, before in ((0, 2304), (1, 256)):
        layer = f"prediction.head.{number * step}"
        shapes[f"{layer}.0.weight"] = [256, before]
        norm = ("weight", "bias", "running_mean", "running_var")[: {"ln": 2, "bn": 4, None: 0}[kind]]
        shapes |= {f"{layer}.1.{name}": [256] for name in norm}
        shapes |= {} if kind else {f"{layer}.0.bias": [256]}
    shapes |= {f"prediction.head.{2 * step}.0.weight": [40, 256], f"prediction.head.{2 * step}.0.bias": [40]}
    manifest["state_dict"] = shapes
    manifest["config"]["cls_args"] |= dict(dropout=0.5 if step == 2 else 0, norm_args=kind and dict(norm=kind))
    outputs, weights, _ = cloud_outputs(manifest)
    tokens = torch.from_numpy(outputs["encoded"])
    features = PLAIN.summaries(tokens[:, 1:].transpose(1, 2), "cls,max,avg", tokens[:, 0])
    for number in (0, step):
        features = PLAIN.convolved(weights, f"prediction.head.{number}", features, act=True)
    expected = PLAIN.convolved(weights, f"prediction.head.{2 * step}", features, act=False)
    np.testing.assert_allclose(outputs["logits"], expected, atol=2e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("head", [PointClsHead, PointSegHead])
def test_a_head_without_dropout_has_no_such_layer(head):
    kinds = [type(layer).__name__ for layer in head(3, 8, hidden=(8, 8), dropout=0.0).fc]
    assert kinds == ["Sequential"] * 3


def test_what_the_official_code_has_defaults_for_may_be_left_out():
    manifest = shallow_cloud_case("scanobjectnn")
    given, _, _ = cloud_outputs(manifest)
    encoder = manifest["config"]["encoder_args"]
    del encoder["norm_args"], encoder["global_feat"], encoder["embed_args"]["feature_type"]
    left_out, _, _ = cloud_outputs(manifest)
    assert np.array_equal(left_out["encoded"], given["encoded"])
    encoder["global_feat"] = "cls,max"  # the official default
    assert np.array_equal(cloud_outputs(manifest)[0]["logits"], left_out["logits"])
    encoder["norm_args"] = dict(norm="ln")  # whose epsilon is torch's then
    assert 0 < np.abs(cloud_outputs(manifest)[0]["encoded"] - given["encoded"]).max() < 1e-3


@pytest.mark.parametrize("name", ["pointcloud_scanobjectnn_forward", "image_segmentation_vit_adapter"])
def test_a_cases_state_goes_through_the_converter_as_one_of_0_batches(name):
    shapes = load_case(ROOT / "tests" / "parity" / name).manifest["state_dict"]
    official = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    model = checkpoint.target(official)
    ours = checkpoint.from_official(official, model)
    counts = {key for key in ours if key.endswith("num_batches_tracked")}
    assert counts
    assert counts == {key for key in model.state_dict() if key.endswith("num_batches_tracked")}
    assert {(ours[key].shape, ours[key].dtype) for key in counts} == {((), torch.int64)}
    assert set(checkpoint.to_official(ours)) - set(official) == {
        key.replace("running_mean", "num_batches_tracked") for key in official if key.endswith("running_mean")
    }
    for key in ("running_mean", "running_var"):
        broken = dict(official)
        del broken[next(one for one in broken if one.endswith(key))]
        with pytest.raises(CheckpointMismatchError, match=key):
            checkpoint.from_official(broken, model)


def test_a_count_that_is_in_the_file_is_kept():
    shapes = load_case(ROOT / "tests" / "parity" / "pointcloud_modelnet40_forward").manifest["state_dict"]
    official = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    stem = "encoder.patch_embed.conv1.0.1"
    ours = checkpoint.from_official(official | {f"{stem}.num_batches_tracked": torch.tensor(7)})
    assert ours["tokenizer.conv1.0.1.num_batches_tracked"] == 7
    assert ours["tokenizer.conv2.0.1.num_batches_tracked"].is_meta
