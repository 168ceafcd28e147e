"""The detector: gradients, modes, images of other sizes, batches, settings that do not fit, mmdet's conventions."""

import copy
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.optim import OptimWrapper

from mm_monodino_detr.models.monodino_detr import fit_to_patches
from mmrepro.testing import SplitAdapter

small = SplitAdapter(Path(__file__).resolve().parent, {}).part("small_mono3d")
GROUPS, QUERIES, SIDE = small.GROUPS, small.QUERIES, small.SIDE
small_batch, small_detector, small_settings = small.small_batch, small.small_detector, small.small_settings

FROZEN = ("backbone.", "depth_head.")


def total(losses):
    return sum(value for name, value in losses.items() if "loss" in name)


@pytest.mark.parametrize("counts", [(2, 1), (0, 0)])
@pytest.mark.parametrize("use_dab", [True, False])
def test_every_parameter_but_the_frozen_gets_a_gradient(use_dab, counts):
    model = small_detector(use_dab).train()
    losses = model.loss(*small_batch(counts))
    assert all(value.isfinite().all() for value in losses.values())
    total(losses).backward()
    for name, parameter in model.named_parameters():
        if name.startswith(FROZEN):
            assert not parameter.requires_grad, name
            assert parameter.grad is None, name
        else:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_frozen_parts_stay_in_evaluation_mode_and_keep_nothing_for_a_backward_pass():
    model, kept = small_detector().train(), []
    assert model.training
    assert not model.backbone.training
    assert not model.depth_head.training

    def keep(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        tokens, grid = model.backbone(torch.randn(1, 3, SIDE, SIDE, requires_grad=True))
        model.depth_head.sampled(tokens, grid)
        assert kept == []
        model.neck(tokens[1:], grid)
        assert kept


def test_steps_of_a_runner_take_what_a_loader_gives():
    """Pictures BGR uint8 with their samples; a step trains, validates and tests alike by mmengine's names."""
    preprocessor = dict(type="DetDataPreprocessor", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
    model = small_detector(data_preprocessor=dict(preprocessor, bgr_to_rgb=True))
    model.bbox_head.test_cfg["score_thr"] = 0.0
    _, samples = small_batch()
    batch = dict(inputs=[torch.randint(256, (3, 40, 120), dtype=torch.uint8) for _ in samples], data_samples=samples)
    tested, validated = model.test_step(batch), model.val_step(batch)
    for one, other in zip(tested, validated, strict=True):
        assert len(one.pred_instances) > 0
        assert torch.equal(one.pred_instances.bboxes_3d, other.pred_instances.bboxes_3d)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    log = model.train().train_step(batch, OptimWrapper(torch.optim.SGD(weights, lr=1e-3)))
    assert log["loss"].isfinite()


def test_training_goes_on_after_inference_with_the_same_sizes():
    """Tables are kept from one to the other."""
    model, (images, samples) = small_detector(), small_batch()
    with torch.inference_mode():
        model(images, samples, mode="predict")
    total(model.train().loss(images, samples)).backward()
    assert model.encoder.level_embed.grad.isfinite().all()


def test_inference_in_bfloat16_stays_close():
    model, (images, samples) = small_detector(), small_batch()
    with torch.inference_mode():
        exact = model(images, samples, mode="tensor")
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(images, samples, mode="tensor")
    for one, other in zip(exact, rounded, strict=True):
        assert torch.cosine_similarity(one.flatten(), other.float().flatten(), dim=0) > 0.99


def test_a_copy_is_the_same_detector_and_apart_from_it():
    model, (images, samples) = small_detector(), small_batch()
    with torch.inference_mode():
        before = model(images, samples)
        again = copy.deepcopy(model)
        again.queries.tgt_embed.weight.add_(1)
        assert all(torch.equal(one, other) for one, other in zip(before, model(images, samples), strict=True))
        assert not torch.equal(before[0], again(images, samples)[0])


@pytest.mark.parametrize("use_dab", [True, False])
def test_an_image_is_seen_alike_alone_and_in_a_batch(use_dab):
    model = small_detector(use_dab).double()  # float32 rounds two images and one in other blocks
    images, samples = small_batch()
    with torch.inference_mode():
        together = model(images.double(), samples, mode="tensor")
        alone = model(images[1:].double(), samples[1:], mode="tensor")
    for both, one in zip(together[:5], alone[:5], strict=True):  # by layer and image
        torch.testing.assert_close(both[:, 1:], one)


def test_without_cameras_queries_and_depths_are_given():
    model = small_detector()
    with torch.inference_mode():
        hidden, boxes, logits, weighted = model(small_batch()[0], mode="tensor")
    assert hidden.shape[:3] == boxes.shape[:3] == (2, 2, QUERIES)
    assert logits.shape == (2, 81, 4, 4)
    assert weighted.shape == (2, 4, 4)


def test_detections_are_added_to_the_samples():
    model = small_detector()
    model.bbox_head.test_cfg["score_thr"] = 0.0
    images, samples = small_batch()
    with torch.inference_mode():
        found = model(images, samples, mode="predict")
    for sample in found:
        assert sample.pred_instances.bboxes_3d.shape == (QUERIES * 3, 7)
        assert sample.pred_instances.bboxes.shape == (QUERIES * 3, 4)


def test_images_are_padded_with_zeros_right_and_below_and_then_squeezed():
    image = torch.ones(1, 3, 27, 43)
    padded = fit_to_patches(image, (28, 56))
    assert torch.equal(padded[..., :27, :43], image)
    assert not padded[..., 27:, :].any()
    assert not padded[..., 43:].any()
    assert fit_to_patches(image, (14, 14)).shape == (1, 3, 14, 14)


@pytest.mark.parametrize("size", [SIDE, (28, 70)])
def test_any_image_fits_any_target_size(size):
    model = small_detector(target_size=size)
    with torch.inference_mode():
        features = model.extract_feat(torch.randn(1, 3, 45, 131))
    rows, columns = (side // 14 for side in model.target_size)
    assert features.relative_depth.shape == (1, 1, rows, columns)
    assert [tuple(one.shape[-2:]) for one in features.maps] == [(k * rows, k * columns) for k in (4, 2, 1)]


def test_training_matches_every_group():
    model = small_detector().train()
    decoded = model.decode(model.extract_feat(small_batch()[0]))
    assert decoded.hidden.size(2) == QUERIES * GROUPS


def test_bins_follow_the_predictor_everywhere():
    predictor = dict(type="DepthPredictor", embed_dims=32, num_heads=4, num_depth_bins=160, depth_max=120.0)
    model = small_detector(depth_predictor=predictor).train()
    images, samples = small_batch()
    samples[0].gt_instances.depth[:] = 100.0  # beyond the published bins
    assert model.decode(model.extract_feat(images)).depth.logits.size(1) == 161
    assert total(model.loss(images, samples)).isfinite()
    assert model.bbox_head.criterion.depth_max == 120.0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dict(target_size=500), "target_size=500 must be of multiples of 14"),
        (dict(bbox_head=dict(type="MonoDETRHead", depth_max=80.0)), "depth_max=80.0, the other parts have 60.0"),
        (dict(bbox_head=dict(type="MonoDETRHead", num_layers=3)), "num_layers=3, the other parts have 2"),
        (dict(encoder=dict(embed_dims=64, num_heads=4)), "encoder.embed_dims is 64 and decoder.embed_dims is 32"),
        (dict(depth_predictor=dict(type="DepthPredictor")), "depth_predictor.embed_dims is 256 and decoder"),
        (dict(neck=dict(type="HierarchicalFeatureFusion", in_channels=16)), "neck.out_channels is 256 and decoder"),
        (
            dict(depth_head=dict(type="DPTDepthHead", arch="small")),
            "depth_head takes 384 channels, the backbone gives 16",
        ),
        (dict(encoder=dict(embed_dims=32, num_levels=4)), "encoder.num_levels is 4, the neck gives 3 maps"),
        (dict(decoder=dict(embed_dims=32, num_levels=2)), "decoder.num_levels is 2, the neck gives 3 maps"),
        (
            dict(backbone=dict(type="DINOv2ViT", arch=small.BODY, img_size=SIDE, out_indices=(1, 2, 3))),
            "tokens of 3 blocks, the depth_head takes those of 4. Fix: 4 out_indices",
        ),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        MODELS.build(small_settings(**changes))


@pytest.mark.parametrize("use_dab", [True, False])
def test_a_saved_detector_is_the_same_detector(use_dab):
    model, other = small_detector(use_dab), small_detector(use_dab)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(model.state_dict())
    images, samples = small_batch()
    with torch.inference_mode():
        for one, same in zip(model(images, samples), other(images, samples), strict=True):
            assert torch.equal(one, same)
