"""The stored cases of the official code, at their own tolerance."""

import copy
from pathlib import Path

import pytest
import torch

from mmrepro.testing import SplitAdapter, case_names, check, load_adapter, load_case

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "parity"
ADAPTER = load_adapter(ROOT)
PARTS = SplitAdapter(ROOT / "tests", {})
CAR = "Car 0.00 0 0.30 300.00 150.00 400.00 210.00 1.50 1.60 4.00 0.00 1.60 20.00 0.00"


@pytest.mark.parametrize("name", case_names(CASES))
def test_case(name):
    case = load_case(CASES / name)
    check(case, ADAPTER.run(case.public, case.state_dict(), case.inputs))


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(ValueError, match=r"kind 'backward' is not served; served are .*'tables'"):
        ADAPTER.run({"kind": "backward"}, {}, {})


@pytest.mark.parametrize(
    ("found", "angles"), [("", False), (f"{CAR.replace('0.30', '-10')} 0.9", False), (f"{CAR} 0.9", True)]
)
def test_a_protocol_without_angles_other_classes_and_flat_labels(found, angles):
    labels = "\n".join([CAR, CAR.replace("Car", "Bus"), CAR.replace("4.00", "0.00")])
    given = dict(labels={"000000": labels}, detections={"000000": found})
    public = dict(kind="kitti_ap", given=given, config=dict(classes=["Car"]))
    said = ADAPTER.run(public, {}, {})
    assert "ap/Car/Car_bev_moderate_R40" in said
    assert ("ap/Car/Car_aos_moderate_R40" in said) == ("Car_precision_aos" in said) == angles


def pipeline_case(**settings):
    config = dict(writelist=["Car"], aug_pd=False, aug_crop=True, random_flip=0, random_crop=1, scale=0.05, shift=0.05)
    given = dict(
        frames=[dict(width=64, height=32, a=number) for number in range(11)],
        labels=[CAR.replace("Car", "Bus")] * 11,
        calib_text="P2: 40 0 32 0 0 40 16 0 0 0 1 0",
    )
    names = ("train10_3_image", "val1_None_image")
    public = dict(kind="pipeline", given=given, expected_slice=names)
    return public | dict(config=config | dict(resolution=[64, 32]) | settings)


def test_a_pipeline_with_nothing_to_train_on_and_many_frames():
    said = ADAPTER.run(pipeline_case(), {}, {})
    assert said["train10_3_depth"].shape == (0, 1)
    assert said["val1_None_image"].shape == (3, 32, 64)
    assert (
        said["train10_3_image_mean"] != ADAPTER.run(pipeline_case(random_crop=0), {}, {})["train10_3_image_mean"]
    ).any()


def test_a_pipeline_of_settings_that_the_paper_does_not_use_is_refused():
    with pytest.raises(ValueError, match=r"'clip_2d': True. are not served"):
        ADAPTER.run(pipeline_case(clip_2d=True), {}, {})


def test_what_no_weight_shows_is_taken_from_the_configuration():
    case = load_case(CASES / "vits_dab_eval_small")
    manifest = copy.deepcopy(case.public)
    manifest["config"]["model"] |= {
        "nheads": 4,
        "enc_n_points": 8,
        "dec_n_points": 8,
        "num_queries": 110,
        "depth_min": "0.5",
        "depth_max": 60.5,
        "giou_loss_coef": 3,
        "set_cost_3dcenter": 7,
    }
    model = PARTS.part("parity_network").detector(manifest, case.state_dict())
    assert (model.queries.num_queries, model.group_num) == (110, 5)
    for attention in (model.encoder.layers[0].self_attn, model.decoder.layers[0].cross_attn):
        assert (attention.num_heads, attention.num_points) == (4, 8)
    assert (model.depth_predictor.depth_min, model.depth_predictor.depth_max) == (0.5, 60.5)
    criterion = model.bbox_head.criterion
    assert (criterion.weights["loss_iou"], criterion.assigner.center_weight) == (3, 7)
    assert criterion.official_depth_bins


def test_losses_are_given_without_weights_in_every_layer():
    losses = {"loss_bbox": 10.0, "d12.loss_bbox": 5.0, "d2.loss_iou": 3.0, "d2.cardinality_error": 4.0}
    losses = {name: torch.tensor(value) for name, value in losses.items()}
    found = PARTS.part("parity_losses").unweighted(losses, {"loss_bbox": 5})
    assert {name: value.item() for name, value in found.items()} == {
        "total": 15.0,  # a loss without a weight does not count
        "loss_bbox": 2.0,
        "loss_bbox_12": 1.0,
        "loss_giou_2": 3.0,
        "cardinality_error_2": 4.0,
    }


def test_another_focal_loss_is_refused():
    with pytest.raises(ValueError, match=r"focal_alpha=0.5 is not served: the criterion has 0.25 alone"):
        PARTS.part("parity_losses").criterion_settings({}, {}, 0.5)
