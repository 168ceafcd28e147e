"""The hook that loads checkpoints: what differs is named, and left out or drawn anew where the config says so."""

from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.registry import MODELS
from mmengine.registry import HOOKS
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from mm_vidt import checkpoint
from mm_vidt.checkpoint import from_official, to_official
from mm_vidt.class_rows import is_class_row
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.detection.class_space import COCO_IDS, UNUSED

DIMS = 32
ALL = dict(with_vector=True, iou_aware=True, token_label=True)
NAMES = ("disc", "square", "triangle")


def detector(
    layers: int = 2, seed: int = 0, classes: int = 91, width: int = 8, backbone=None, decoder=None, **head
) -> nn.Module:
    arch = dict(embed_dims=width, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), drop_path_rate=0.0)
    body = dict(type="ViDTSwinTransformer", arch=arch, num_det_tokens=4, det_pos_dims=DIMS) | (backbone or {})
    model = MODELS.build(
        dict(
            type="ViDT",
            backbone=body,
            neck=dict(type="EPFF", in_channels=[2 * width, 4 * width, 8 * width, DIMS], out_channels=DIMS),
            decoder=dict(num_layers=layers, embed_dims=DIMS, feedforward_channels=16) | (decoder or {}),
            bbox_head=dict(type="ViDTHead", num_classes=classes, n_keep=5) | head,
        )
    )
    random = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.detach().normal_(generator=random)
    return model


def neck_free(classes: int = 91, seed: int = 0) -> nn.Module:
    arch = dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), drop_path_rate=0.0)
    body = dict(type="ViDTSwinTransformer", arch=arch, num_det_tokens=4, det_pos_dims=DIMS, last_merging=False)
    head = dict(type="ViDTNeckFreeHead", num_classes=classes, embed_dims=DIMS)
    torch.manual_seed(seed)
    return MODELS.build(dict(type="ViDTNeckFree", backbone=body, bbox_head=head))


def runner(model: nn.Module, training: bool = True, classes: tuple[str, ...] = NAMES, iteration: int = 0):
    """Return what hooks see of a runner that has just been started."""
    loop = mock.Mock(spec=BaseLoop)
    loop.dataloader = SimpleNamespace(dataset=SimpleNamespace(metainfo=dict(classes=classes)))
    loops = dict(_train_loop=loop if training else {}, _val_loop=None, _test_loop=None if training else loop)
    return SimpleNamespace(model=model, _resume=False, iter=iteration, logger=mock.Mock(), **loops)


def load(one, checkpoint: dict, **options) -> dict[str, torch.Tensor]:
    """Run the hook and the strict one after it; return what the model gets."""
    HOOKS.build(dict(type="ViDTCheckpointHook", **options)).after_load_checkpoint(one, checkpoint)
    HOOKS.build(dict(type="StrictLoadHook", paper="vidt")).after_load_checkpoint(one, checkpoint)
    return checkpoint["state_dict"]


def refusal(one, checkpoint: dict, **options) -> str:
    with pytest.raises(CheckpointMismatchError) as refused:
        load(one, checkpoint, **options)
    return str(refused.value)


def said(one, level: str = "info") -> str:
    return "\n".join(call.args[0] for call in getattr(one.logger, level).call_args_list)


def same(found: dict, state: dict, but=()) -> bool:
    return all(torch.equal(found[key], state[key]) for key in found if key not in but)


@pytest.mark.parametrize("official", [True, False])
def test_a_file_of_the_same_detector_is_loaded(official):
    state = detector(labels="raw", **ALL).state_dict()
    file = {"model": to_official(state)} if official else {"state_dict": dict(state)}
    one = runner(detector(labels="raw", seed=1, **ALL), training=False)
    assert same(load(one, file), state)
    assert not said(one)


def test_it_runs_before_the_hook_that_lists_keys():
    priorities = [HOOKS.build(dict(type=name)).priority for name in ("ViDTCheckpointHook", "StrictLoadHook")]
    assert priorities == ["HIGHEST", "VERY_HIGH"]


@pytest.mark.parametrize(
    ("there", "line"),
    [
        (
            dict(backbone=dict(num_det_tokens=6)),
            "backbone.num_det_tokens: 6 in the file, 4 in the config. Fix: set",
        ),
        (dict(width=16), "(1):\n    backbone.arch: {'embed_dims': 16, 'depths"),
        (dict(layers=1), "decoder.num_layers: 1 in the file, 2 in the config. Fix: set model.decoder.num_layers=1"),
        (dict(layers=3), "num_layers=3, or num_layers=2 of ViDTCheckpointHook, which drops the last layers"),
        (dict(classes=7), "bbox_head.num_classes: 7 in the file, 91 in the config. Fix: set model.bbox_head.num_cl"),
        (dict(classes=7), "to train on other classes new_classes=True of ViDTCheckpointHook"),
        (dict(iou_aware=True), "bbox_head.iou_aware: True in the file, False in the config"),
        (
            dict(iou_aware=True),
            "bbox_head.iou_aware=True, or drop_heads=True of ViDTCheckpointHook leaves it out",
        ),
        (
            dict(with_vector=True),
            "bbox_head.with_vector=True, or drop_heads=True of ViDTCheckpointHook or ViDTInferencer leaves it out",
        ),
        (dict(with_box_refine=False), "bbox_head.with_box_refine: False in the file, True in the config"),
    ],
)
@pytest.mark.parametrize("official", [True, False])
def test_another_detector_is_refused_by_what_differs(there, line, official):
    state = detector(labels="raw", **there).state_dict()
    file = {"model": to_official(state)} if official else {"state_dict": state}
    text = refusal(runner(detector(labels="raw")), file)
    assert line in text
    assert "the file is ViDT+ (Swin " in text
    assert "in the model" not in text, "keys are listed"


def test_a_detector_of_another_kind_is_one_difference():
    text = refusal(runner(detector(labels="raw")), {"state_dict": neck_free().state_dict()})
    assert "the file is neck-free ViDT (Swin of its own sizes, 4 [DET] tokens), the config ViDT+ (Swin of its" in text
    assert text.count("Fix: ") == 1


def test_what_shows_in_no_weight_is_carried_and_compared(tmp_path):
    hook, there = HOOKS.build(dict(type="ViDTCheckpointHook")), detector(with_vector=True, gt_mask_len=64)
    checkpoint = {"state_dict": there.state_dict()}
    hook.before_save_checkpoint(runner(there), checkpoint)
    torch.save(checkpoint, tmp_path / "ours.pth")
    loaded = torch.load(tmp_path / "ours.pth", weights_only=True)
    hook.after_load_checkpoint(runner(there), dict(loaded))
    here = detector(
        backbone=dict(cross_stages=(1, 3)), decoder=dict(num_heads=4, num_points=8), with_vector=True, labels="raw"
    )
    text = refusal(runner(here), dict(loaded))
    for line in (
        "backbone.cross_stages: [3] in the file, [1, 3] in the config",
        "decoder.num_heads: 8 in the file, 4 in the config",
        "decoder.num_points: 4 in the file, 8 in the config",
        "bbox_head.labels: 'contiguous' in the file, 'raw' in the config",
        "bbox_head.gt_mask_len: 64 in the file, 128 in the config",
    ):
        assert line in text
    ignored = ["backbone.cross_stages", "decoder.num_heads", "decoder.num_points"]
    ignored += ["bbox_head.labels", "bbox_head.gt_mask_len"]
    assert same(load(runner(here), dict(loaded), ignore=ignored), there.state_dict())
    assert load(runner(here), {"state_dict": there.state_dict()})  # without a meta it is not known
    assert load(runner(there), {"state_dict": here.state_dict()})


def test_stages_of_a_coat_are_carried():
    model = detector(labels="raw")
    arch = dict(embed_dims=(32, 32, 32, 64), depths=(1, 1, 1, 1), mlp_ratios=(1, 1, 1, 1))
    model.backbone = MODELS.build(dict(type="ViDTCoaT", arch=arch, cross_stages=(3, 1)))
    assert HOOKS.build(dict(type="ViDTCheckpointHook")).settings(model)["backbone"]["cross_stages"] == [1, 3]


@pytest.mark.parametrize("official", [True, False])
def test_layers_and_heads_are_left_out_when_asked_to_and_listed(official):
    state = detector(layers=3, labels="raw", **ALL).state_dict()
    file = {"model": to_official(state)} if official else {"state_dict": state}
    one = runner(detector(labels="raw"), training=False)
    found = load(one, file, num_layers=2, drop_heads=True)
    assert found.keys() == one.model.state_dict().keys()
    assert same(found, state)
    left = state.keys() - found.keys()
    assert f"{len(left)} weights are left out" in said(one)
    assert all(key in said(one) for key in left)


@pytest.mark.parametrize("there", [(), *ALL, tuple(ALL)])
def test_only_heads_that_the_detector_lacks_are_left_out(there):
    """A training that began without them goes on with what it has saved, and tests it."""
    here = dict.fromkeys([there] if isinstance(there, str) else there, True)
    official, model = to_official(detector(labels="raw", **ALL).state_dict()), detector(labels="raw", seed=1, **here)
    options = dict(new_classes=True, new_heads=True, drop_heads=True)
    one, own = runner(model), model.state_dict()
    assert load(one, {"model": official}, **options).keys() == own.keys()
    assert ("left out" in said(one)) == (len(here) < 3)
    resumed = runner(model, iteration=7)
    resumed._resume = True
    for again in (resumed, runner(model, iteration=7), runner(model, training=False)):
        saved = {"state_dict": dict(own), "meta": dict(epoch=1, iter=7)}
        assert same(load(again, saved, **options), own)
        assert not said(again)


@pytest.mark.parametrize(("resume", "iteration"), [(True, 0), (False, 7)])
def test_heads_are_not_left_out_of_a_training_that_goes_on(resume, iteration):
    one = runner(detector(), iteration=iteration)
    one._resume = resume
    for setting in ALL:
        there = {"state_dict": detector(**{setting: True}).state_dict()}
        assert f"bbox_head.{setting}: True in the file, False in the config" in refusal(one, there, drop_heads=True)


@pytest.mark.parametrize("setting", ["iou_aware", "token_label"])
@pytest.mark.parametrize("official", [True, False])
def test_weights_are_tested_without_the_heads_of_training_which_is_said(setting, official):
    whole, without = (detector(labels="raw", seed=seed, **heads) for seed, heads in ((0, {setting: True}), (1, {})))
    for there, here, words in ((whole, without, "weights are left out"), (without, whole, "no prediction uses them")):
        state, own = there.state_dict(), here.state_dict()
        one, file = runner(here, training=False), {"model": to_official(state)} if official else {"state_dict": state}
        apart = state.keys() ^ own.keys()
        assert same(load(one, dict(file)), state | {key: own[key] for key in apart if key in own})
        assert words in said(one)
        assert all(key in said(one) for key in apart)
        assert f"bbox_head.{setting}" in refusal(runner(here), dict(file)), "it is trained without being asked to"


@pytest.mark.parametrize("official", [True, False])
def test_masks_are_tested_by_no_detector_that_lacks_them_unless_asked(official):
    whole, without = detector(labels="raw", with_vector=True), detector(labels="raw", seed=1)
    files = [
        {"model": to_official(one.state_dict())} if official else {"state_dict": one.state_dict()}
        for one in (whole, without)
    ]
    line = "bbox_head.with_vector: {} in the file, {} in the config"
    assert line.format(True, False) in refusal(runner(without, training=False), dict(files[0]))
    assert line.format(False, True) in refusal(runner(whole, training=False), dict(files[1]), new_heads=True)
    assert same(load(runner(without, training=False), dict(files[0]), drop_heads=True), whole.state_dict())


def test_official_classes_become_contiguous_when_asked_to():
    official = to_official(detector(labels="raw", **ALL).state_dict())
    one = runner(detector(classes=80, **ALL))
    assert "contiguous=True of ViDTCheckpointHook for COCO's 80" in refusal(one, {"model": official})
    assert same(load(one, {"model": official}, contiguous=True), from_official(official, contiguous=True))
    hook, ours = HOOKS.build(dict(type="ViDTCheckpointHook")), {"state_dict": detector(classes=80, **ALL).state_dict()}
    hook.before_save_checkpoint(one, ours)
    assert load(one, ours, contiguous=True)  # what this training has saved is loaded by the same config


@pytest.mark.parametrize("new_classes", [True, False])
def test_raw_rows_of_ours_become_contiguous_too(new_classes):
    there, names = detector(labels="raw"), tuple(CocoDataset.METAINFO["classes"])
    file = {"state_dict": there.state_dict()}
    HOOKS.build(dict(type="ViDTCheckpointHook")).before_save_checkpoint(runner(there), file)
    of_id = dict(zip(COCO_IDS, names, strict=True))
    file["meta"]["dataset_meta"] = {"classes": [of_id.get(number, UNUSED) for number in range(91)]}
    found = load(runner(detector(classes=80, seed=1), classes=names), file, contiguous=True, new_classes=new_classes)
    assert same(found, from_official(to_official(there.state_dict()), contiguous=True))


@pytest.mark.parametrize("kind", ["plus", "neck-free"])
def test_other_classes_are_drawn_anew_when_asked_to_and_listed(kind):
    there = detector(labels="raw", **ALL) if kind == "plus" else neck_free()
    here = detector(classes=3, seed=1, **ALL) if kind == "plus" else neck_free(3, seed=1)
    one, own = runner(here), here.state_dict()
    found = load(one, {"model": to_official(there.state_dict())}, new_classes=True)
    drawn = [key for key in own if is_class_row(key)]
    assert len(drawn) == (8 if kind == "plus" else 2)
    assert all(torch.equal(found[key], own[key]) for key in drawn)
    assert same(found, there.state_dict(), drawn)
    assert f"{len(drawn)} weights are drawn anew: {', '.join(drawn)}" in said(one)


@pytest.mark.parametrize(
    ("names", "labels", "kept"),
    [
        (NAMES, "contiguous", True),
        (("cat", *NAMES[1:]), "contiguous", False),
        (None, "contiguous", True),
        (None, "raw", False),
    ],
)
def test_as_many_classes_are_kept_unless_they_are_known_to_be_others(names, labels, kept):
    """Of a file that does not name them it is said."""
    there, here = detector(classes=3, labels=labels), detector(classes=3, seed=1)
    meta = {"dataset_meta": {"classes": names}} if names else {}
    meta["model"] = {"bbox_head": {"labels": labels}}
    one = runner(here)
    found = load(one, {"state_dict": there.state_dict(), "meta": meta}, new_classes=True)
    for key in filter(is_class_row, found):
        assert torch.equal(found[key], (there if kept else here).state_dict()[key])
    assert ("does not name its classes" in said(one, "warning")) == (names is None and kept)


def test_a_file_whose_dataset_meta_is_null_names_no_classes():
    one = runner(detector(classes=3, seed=1))
    file = {"state_dict": detector(classes=3).state_dict(), "meta": {"dataset_meta": None}}
    load(one, file, new_classes=True)
    assert "does not name its classes" in said(one, "warning")


@pytest.mark.parametrize(("options", "times"), [({}, 1), (dict(num_layers=2), 2)])
def test_a_file_is_converted_no_more_often_than_needed(monkeypatch, options, times):
    """Once more where layers are left out, for them to be listed."""
    calls, convert = [], checkpoint.from_official
    monkeypatch.setattr(checkpoint, "from_official", lambda *args, **given: calls.append(0) or convert(*args, **given))
    file = {"model": to_official(detector(labels="raw").state_dict())}
    load(runner(detector(labels="raw", seed=1)), file, **options)
    assert len(calls) == times


def test_raw_rows_of_an_official_file_are_no_contiguous_ones():
    there, here = detector(classes=3, labels="raw"), detector(classes=3, seed=1)
    found = load(runner(here), {"model": to_official(there.state_dict())}, new_classes=True)
    assert all(torch.equal(found[key], here.state_dict()[key]) for key in filter(is_class_row, found))


def test_heads_that_a_file_lacks_are_drawn_anew_when_asked_to():
    there, here = detector(labels="raw", iou_aware=True), detector(labels="raw", seed=1, **ALL)
    file = {"model": to_official(there.state_dict())}
    assert "or new_heads=True of ViDTCheckpointHook trains it anew" in refusal(runner(here), dict(file))
    one, own = runner(here), here.state_dict()
    found = load(one, dict(file), new_heads=True)
    drawn = own.keys() - there.state_dict().keys()
    assert {key.split(".")[1] for key in drawn} == {"enc_output", "enc_output_norm", "token_embed", "vector_branch"}
    assert all(torch.equal(found[key], own[key]) for key in drawn)
    assert same(found, there.state_dict(), drawn)
    assert f"{len(drawn)} weights are drawn anew" in said(one)


@pytest.mark.parametrize("how", [dict(training=False), dict(iteration=5)])
@pytest.mark.parametrize("option", ["new_classes", "new_heads"])
def test_what_no_one_trained_is_not_tested(how, option):
    """Nor is it put in the place of what a training has saved."""
    there = detector(classes=3) if option == "new_classes" else detector()
    one = runner(detector() if option == "new_classes" else detector(**ALL), **how)
    assert "Fix: " in refusal(one, {"state_dict": there.state_dict()}, **{option: True})


def test_a_resumed_training_takes_no_new_classes():
    one = runner(detector())
    one._resume = True
    assert "num_classes" in refusal(one, {"state_dict": detector(classes=3).state_dict()}, new_classes=True)


def test_new_classes_excuse_nothing_else():
    state = detector(classes=3).state_dict()
    del state["reference_points_fc.bias"]
    text = refusal(runner(detector()), {"state_dict": state}, new_classes=True)
    assert "not in the file (1):\n    reference_points_fc.bias" in text


def test_an_incomplete_file_is_refused_by_its_keys():
    state = {key: value for key, value in detector(classes=3).state_dict().items() if "cls_branches" not in key}
    text = refusal(runner(detector(classes=3)), {"state_dict": state})
    assert "not in the file (6):\n    bbox_head.cls_branches.0.bias" in text


@pytest.mark.parametrize("options", [dict(num_layers="4"), dict(contiguous=1)])
def test_a_wrong_option_is_refused(options):
    with pytest.raises(ValueError, match=rf"{next(iter(options))}=.* is not of its type"):
        HOOKS.build(dict(type="ViDTCheckpointHook", **options))
