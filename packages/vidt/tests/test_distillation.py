"""Distillation: the distance of tokens, and a detector with a teacher that is no part of it."""

import copy
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from mm_vidt.checkpoint import to_official
from mm_vidt.models import distiller as module
from mm_vidt.models.distillation import token_matching_loss
from mm_vidt.models.distiller import ViDTDistiller, load_teacher
from mm_vidt.models.tokens import ViDTTokens
from mm_vidt.models.vidt import padding_mask
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, save
from mmrepro.testing import load_config

DIMS, SIDE = 32, 96
DISTILLATIONS = sorted(
    path.stem for path in (Path(__file__).parents[1] / "configs" / "vidt").glob("*_distill-swin-base_8xb2*.py")
)


def settings(width: int = 16, queries: int = 6, layers: int = 2, classes: int = 5, neck: str = "EPFF") -> dict:
    channels = [2 * width, 4 * width, 8 * width, DIMS]
    necks = {
        "EPFF": dict(type="EPFF", in_channels=channels, out_channels=DIMS),
        "ChannelMapper": dict(
            type="ChannelMapper",
            in_channels=channels,
            kernel_size=1,
            out_channels=DIMS,
            norm_cfg=dict(type="GN", num_groups=32),
            bias=True,
            act_cfg=None,
            num_outs=4,
        ),
    }
    body = dict(
        type="ViDTSwinTransformer",
        arch=dict(embed_dims=width, depths=(1, 1, 1, 1), num_heads=(1, 2, 4, 8), drop_path_rate=0.0),
        num_det_tokens=queries,
        det_pos_dims=DIMS,
    )
    decoder = dict(num_layers=layers, embed_dims=DIMS, num_heads=4, feedforward_channels=48, dropout=0.0)
    return dict(
        type="ViDT",
        backbone=body,
        neck=necks[neck],
        decoder=decoder,
        bbox_head=dict(type="ViDTHead", num_classes=classes),
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[dict, Path]:
    """The settings and weights of a wider teacher of other classes."""
    torch.manual_seed(0)
    config = settings(width=24, classes=7)
    with DefaultScope.overwrite_default_scope("mmdet"):  # fixtures of a module come before that of conftest
        teacher = MODELS.build(copy.deepcopy(config))
    teacher.init_weights()
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save(path, teacher.state_dict(), {})
    return config, path


def distiller(saved: tuple[dict, Path], loaded: bool = True, **changes: object) -> ViDTDistiller:
    config, path = saved
    torch.manual_seed(1)
    student = settings(**changes) | dict(type="ViDTDistiller")
    model = MODELS.build(student | dict(teacher_config=copy.deepcopy(config), teacher_checkpoint=path))
    if loaded:
        model.init_weights()
    return model


def batch() -> tuple[torch.Tensor, list[DetDataSample]]:
    random = torch.Generator().manual_seed(0)
    samples = [DetDataSample(metainfo=dict(img_shape=(SIDE, SIDE), batch_input_shape=(SIDE, SIDE)))]
    samples[0].gt_instances = InstanceData(bboxes=torch.tensor([[4.0, 6.0, 30.0, 40.0]]), labels=torch.tensor([2]))
    return torch.randn(1, 3, SIDE, SIDE, generator=random), samples


def tokens(queries: int = 5, levels: int = 3, channels: int = 8, sizes=((2, 3), (4, 6))) -> ViDTTokens:
    random = torch.Generator().manual_seed(queries * 10 + levels)
    states = torch.randn(levels, 2, queries, channels, generator=random)
    memory = tuple(torch.randn(2, channels, *size, generator=random) for size in sizes)
    return ViDTTokens(memory, (), states[0], None, None, states, None)


def test_a_student_that_has_its_teachers_tokens_has_finite_gradients():
    student, teacher = tokens(), tokens()
    student.hidden.requires_grad_()
    loss = token_matching_loss(student, teacher)
    loss.backward()
    assert loss < 1e-5
    assert torch.equal(student.hidden.grad, torch.zeros_like(student.hidden))


def test_no_gradient_reaches_the_teacher_and_half_precision_counts_as_float32():
    student, teacher = tokens(), tokens(levels=3)
    teacher = teacher._replace(hidden=(teacher.hidden + 1).requires_grad_())
    student.hidden.requires_grad_()
    loss = token_matching_loss(student, teacher)
    loss.backward()
    assert teacher.hidden.grad is None
    assert student.hidden.grad.any()
    half = student._replace(hidden=student.hidden.detach().bfloat16())
    assert token_matching_loss(half, teacher).dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(queries=6), r"\[DET\] tokens: 5, the teacher's 6 \(num_det_tokens"),
        (dict(levels=4), r"levels of states \(L \+ 1\): 3, the teacher's 4 \(num_layers"),
        (dict(channels=16), r"channels: 8, the teacher's 16 \(embed_dims\)"),
        (dict(sizes=((4, 6), (2, 3))), r"maps in this order: \[\(2, 3\), \(4, 6\)\], .* \(the neck"),
    ],
)
def test_tokens_without_a_match_are_named(changes, named):
    with pytest.raises(ValueError, match=rf"no match in the teacher: {named}"):
        token_matching_loss(tokens(), tokens(**changes))


def test_the_loss_is_the_students_and_the_weighted_distance(saved):
    model, (images, samples) = distiller(saved).eval(), batch()
    assert model.distil_weight == 4  # as officially, where a config says nothing
    model.distil_weight = 2.5
    found = model.loss(images, samples)
    mask = padding_mask(images, samples)
    distance = token_matching_loss(model.forward_tokens(images, mask), model.teacher.forward_tokens(images, mask))
    torch.testing.assert_close(found.pop("loss_distil"), 2.5 * distance)
    assert set(found) == set(super(ViDTDistiller, model).loss(images, samples))
    distance.backward()
    assert model.backbone.det_token.grad.any()


def test_the_teacher_is_neither_saved_nor_optimised_nor_trained(saved):
    model = distiller(saved).train()
    plain = MODELS.build(settings())
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in plain.named_parameters()]
    assert model.training
    assert not any(part.training for part in model.teacher.modules())
    assert not any(parameter.requires_grad for parameter in model.teacher.parameters())
    before = copy.deepcopy(model.teacher.state_dict())
    model.init_weights()
    sum(model.loss(*batch()).values()).backward()
    assert all(torch.equal(value, model.teacher.state_dict()[key]) for key, value in before.items())
    assert all(parameter.grad is None for parameter in model.teacher.parameters())


@pytest.mark.parametrize("loaded", [True, False])
def test_the_teacher_has_the_students_precision_and_device(saved, loaded):
    model = distiller(saved, loaded).to(torch.float64)
    assert {parameter.dtype for parameter in model.teacher.parameters()} == {torch.float64}
    model = distiller(saved, loaded).to("meta")
    assert {parameter.device.type for parameter in model.teacher.parameters()} == {"meta"}


def test_a_student_is_built_and_predicts_without_its_teacher(saved):
    images, samples = batch()
    samples[0].set_metainfo(dict(ori_shape=(SIDE, SIDE)))
    model = distiller((saved[0], Path("gone.pth")), loaded=False).eval()
    with torch.no_grad():
        assert len(model.predict(images, samples)[0].pred_instances) == 6 * 5
    for begin in (model.init_weights, lambda: model.loss(images, samples)):
        with pytest.raises(FileNotFoundError, match=r"teacher_checkpoint gone\.pth does not exist"):
            begin()


@pytest.mark.parametrize("name", DISTILLATIONS)
def test_every_distillation_is_built_without_its_teacher_which_fits(name):
    settings = load_config(papers.find_config("vidt", name)).model
    with torch.device("meta"):
        model = MODELS.build(settings)
        teacher = MODELS.build(Config.fromfile(settings.teacher_config).model)
    with mock.patch.object(module, "load_teacher", return_value=teacher) as asked:
        assert model.teacher is teacher
    asked.assert_called_once_with(settings.teacher_config, settings.teacher_checkpoint)


def test_the_teachers_weights_are_those_of_the_file_but_for_heads_of_other_classes(saved):
    config, path = saved
    same, other = (load_teacher(settings(width=24, classes=classes), path).state_dict() for classes in (7, 3))
    assert len(other["bbox_head.cls_branches.0.weight"]) == 3
    for key, value in same.items():
        assert "cls_branches" in key or torch.equal(value, other[key]), key
    assert torch.equal(same["backbone.det_token"], load_teacher(config, path).state_dict()["backbone.det_token"])


def test_a_config_file_and_an_official_checkpoint_are_read(saved, tmp_path):
    config, path = saved
    Config(dict(model=config)).dump(tmp_path / "teacher.py")
    expected = load_teacher(config, path).state_dict()
    torch.save({"model": to_official(expected)}, tmp_path / "official.pth")
    teacher = load_teacher(tmp_path / "teacher.py", tmp_path / "official.pth")
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert not teacher.training


def test_a_teacher_that_is_not_there_or_does_not_fit_is_an_error(saved, tmp_path):
    config, path = saved
    with pytest.raises(FileNotFoundError, match=r"teacher_checkpoint .*gone\.pth does not exist: train the teacher"):
        load_teacher(config, tmp_path / "gone.pth")
    with pytest.raises(CheckpointMismatchError, match=r"teacher\.safetensors does not fit"):
        load_teacher(settings(width=16), path)
    head = dict(type="ViDTNeckFreeHead", num_classes=5, embed_dims=DIMS)
    neck_free = dict(type="ViDTNeckFree", backbone=settings()["backbone"] | dict(last_merging=False), bbox_head=head)
    with pytest.raises(ValueError, match=r"the teacher is a ViDTNeckFree, which has no tokens to match"):
        load_teacher(neck_free, path)


@pytest.mark.parametrize(
    ("changes", "named"),
    [(dict(queries=8), "num_det_tokens of the backbone is 8"), (dict(layers=3), "num_layers of the decoder is 3")],
)
def test_a_student_of_other_sizes_is_refused_before_the_first_step(saved, changes, named):
    with pytest.raises(ValueError, match=rf"tokens are matched one to one .* {named}, the teacher's is"):
        distiller(saved, **changes)


def test_maps_in_another_order_are_refused(saved):
    with pytest.raises(ValueError, match=r"maps in this order: .*EPFF gives the coarsest map first"):
        distiller(saved, neck="ChannelMapper").loss(*batch())
