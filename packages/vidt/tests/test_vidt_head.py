"""The heads: shapes, what levels share, how branches start, token labels, detections and masks."""

import math

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mm_vidt.models.detections import best_pairs
from mm_vidt.models.tokens import ViDTTokens
from mm_vidt.models.vidt_head import ViDTHead, inside

DIMS, LEVELS, CLASSES, QUERIES = 16, 3, 5, 8
SIZES = ((3, 4), (6, 8))
ALL = dict(iou_aware=True, with_vector=True, token_label=True)


def build(**options):
    torch.manual_seed(0)
    head = ViDTHead(CLASSES, DIMS, LEVELS, n_keep=10, gt_mask_len=16, **options)
    head.init_weights()
    return head


def awake(head):
    """Give branches that start at zero other weights."""
    torch.manual_seed(3)
    for parameter in head.parameters():
        nn.init.normal_(parameter, std=0.5)
    return head


def make_tokens():
    torch.manual_seed(1)
    hidden = torch.randn(LEVELS, 2, QUERIES, DIMS)
    masks = [torch.zeros(2, *size, dtype=torch.bool) for size in SIZES]
    masks[0][1, :, 3:] = masks[1][1, :, 6:] = True
    return ViDTTokens(
        memory=tuple(torch.randn(2, DIMS, *size) for size in SIZES),
        masks=tuple(masks),
        det=hidden[0],
        query_pos=torch.randn(1, QUERIES, DIMS),
        reference=torch.rand(1, QUERIES, 2),
        hidden=hidden,
        boxes=torch.rand(LEVELS, 2, QUERIES, 4) * 0.5 + 0.2,
    )


def make_samples():
    """Two images that were resized to half their height, one of them to a third of its width."""
    shapes = (((40, 60), (20, 20)), ((30, 50), (15, 50)))
    samples = []
    for original, shape in shapes:
        scale = (shape[1] / original[1], shape[0] / original[0])
        metas = dict(ori_shape=original, img_shape=shape, scale_factor=scale, batch_input_shape=(20, 50))
        samples.append(DetDataSample(metainfo=metas))
    return samples


def test_each_level_has_its_predictions():
    tokens = make_tokens()
    found = build(**ALL)(tokens)
    assert found.logits.shape == (LEVELS, 2, QUERIES, CLASSES)
    assert found.boxes is tokens.boxes
    assert found.vectors.shape == (LEVELS, 2, QUERIES, 10)
    assert found.ious.shape == (LEVELS, 2, QUERIES, 1)
    assert [tuple(one.shape) for one in found.tokens] == [(2, *size, CLASSES + 1) for size in SIZES]
    plain = build()(tokens)
    assert plain.vectors is plain.ious is plain.tokens is None


def test_raw_labels_have_as_many_token_channels_as_classes():
    assert build(token_label=True, labels="raw")(make_tokens()).tokens[0].shape[-1] == CLASSES


def test_levels_share_branches_without_refinement_alone():
    for head, own in ((build(iou_aware=True), LEVELS), (build(iou_aware=True, with_box_refine=False), 1)):
        for branches in (head.cls_branches, head.reg_branches, head.iou_branches):
            assert len(branches) == LEVELS
            assert len({id(branch) for branch in branches}) == own


def test_levels_use_the_branch_of_their_own():
    head, tokens = awake(build(**ALL)), make_tokens()
    found = head(tokens)
    for level, state in enumerate(tokens.hidden):
        torch.testing.assert_close(found.logits[level], head.cls_branches[level](state))
        torch.testing.assert_close(found.ious[level], head.iou_branches[level](state))
        torch.testing.assert_close(found.vectors[level], head.vector_branch(state))


@pytest.mark.parametrize("refine", [True, False])
def test_branches_start_as_officially(refine):
    head = build(**ALL, with_box_refine=refine)
    prior = pytest.approx([-math.log(99)] * CLASSES)
    for level in range(LEVELS):
        classes, boxes, ious = head.cls_branches[level], head.reg_branches[level], head.iou_branches[level]
        assert classes.bias.tolist() == prior
        assert 0.8 / math.sqrt(DIMS) < classes.weight.abs().max() <= 1 / math.sqrt(DIMS)  # PyTorch's default
        assert not boxes[-1].weight.any()
        assert boxes[-1].bias.tolist() == [0, 0, *([-2, -2] if level == 0 or not refine else [0, 0])]
        assert boxes[0].bias.any()
        assert ious[-1].weight.any()
        assert classes.weight.equal(head.cls_branches[0].weight)
        assert boxes[0].weight.equal(head.reg_branches[0][0].weight)
        assert ious[-1].weight.equal(head.iou_branches[0][-1].weight)
    assert not head.vector_branch[-1].weight.any()
    assert head.vector_branch[-1].bias.tolist() == [0, 0] + [-2] * 8
    assert head.token_embed.bias.tolist() == pytest.approx([-math.log(99)] * (CLASSES + 1))
    for linear in (head.enc_output, head.token_embed):
        bound = math.sqrt(6 / sum(linear.weight.shape))
        assert 0.9 * bound < linear.weight.abs().max() <= bound


def test_token_labels_see_nothing_of_padding_and_margins():
    head, tokens = awake(build(token_label=True)), make_tokens()
    changed = []
    for one, mask in zip(tokens.memory, tokens.masks, strict=True):
        unseen = ~inside(mask)
        assert unseen[1].sum() >= mask[1].sum() > 0
        changed.append(one.masked_fill(unseen[:, None], 9.0))
    before, after = head.token_logits(tokens), head.token_logits(tokens._replace(memory=tuple(changed)))
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other)
    seen = head.token_logits(tokens._replace(memory=tuple(one + 1 for one in tokens.memory)))
    assert not torch.allclose(seen[1], before[1])


def test_token_logits_are_those_of_each_place():
    head, tokens = awake(build(token_label=True)), make_tokens()
    place = tokens.memory[1][0, :, 2, 5]
    expected = head.token_embed(head.enc_output_norm(head.enc_output(place)))
    torch.testing.assert_close(head.token_logits(tokens)[1][0, 2, 5], expected)


def test_places_nearer_to_the_border_than_a_hundredth_are_outside():
    mask = torch.zeros(1, 1, 60, dtype=torch.bool)
    # 0.5 / 60 is less than a hundredth; of half of them, padded, 0.5 / 30 is more
    assert inside(mask)[0, 0].tolist() == [False] + [True] * 58 + [False]
    mask[..., 30:] = True
    assert inside(mask)[0, 0].tolist() == [True] * 30 + [False] * 30
    # at 50 places the first is at a hundredth, as float32 has it, and not beyond it
    assert inside(torch.zeros(1, 1, 50, dtype=torch.bool))[0, 0].tolist() == [False] + [True] * 48 + [False]


def test_the_best_pairs_are_those_of_all_queries_and_classes():
    torch.manual_seed(4)
    logits = torch.randn(2, QUERIES, CLASSES)
    chosen = best_pairs(logits, 6)
    for image in range(2):
        pairs = [(logits[image, query, label].sigmoid(), query, label) for query in range(8) for label in range(5)]
        best = sorted(pairs, reverse=True)[:6]
        torch.testing.assert_close(chosen.scores[image], torch.stack([one[0] for one in best]))
        assert chosen.queries[image].tolist() == [one[1] for one in best]
        assert chosen.labels[image].tolist() == [one[2] for one in best]
    assert best_pairs(logits, 100).scores.shape == (2, QUERIES * CLASSES)


def detect(head, rescale=True):
    return head.predict(make_tokens(), make_samples(), rescale)


def test_detections_are_the_last_levels_in_pixels_of_the_original_image():
    head, tokens = awake(build(test_cfg=dict(max_per_img=7))), make_tokens()
    scores = head.cls_branches[-1](tokens.hidden[-1]).sigmoid()
    for image, (found, small) in enumerate(zip(detect(head), detect(head, rescale=False), strict=True)):
        best = scores[image].flatten().topk(7)
        torch.testing.assert_close(found.scores, best.values)
        assert found.labels.tolist() == [place % CLASSES for place in best.indices.tolist()]
        x, y, w, h = tokens.boxes[-1, image][best.indices // CLASSES].unbind(1)
        unit = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
        for one, name in ((found, "ori_shape"), (small, "img_shape")):
            height, width = make_samples()[image].metainfo[name]
            torch.testing.assert_close(one.bboxes, unit * torch.tensor([width, height, width, height]))
        assert "masks" not in found


def test_boxes_are_clipped_where_asked_alone():
    tokens = make_tokens()
    tokens.boxes[-1, :, :, 2:] = 0.9
    free, clipped = (
        awake(build(test_cfg=options)).predict(tokens, make_samples()) for options in (None, dict(clip=True))
    )
    assert free[0].bboxes.min() < 0
    assert free[0].bboxes[:, 2].max() > 60
    torch.testing.assert_close(
        clipped[0].bboxes, free[0].bboxes.clamp(min=0).minimum(torch.tensor([60.0, 40.0, 60.0, 40.0]))
    )


def test_masks_fill_the_boxes_as_predicted_whether_or_not_these_are_clipped():
    """In a clipped box a mask would be squeezed."""
    tokens = make_tokens()
    tokens.boxes[-1, :, :, 2:] = 0.9
    for free, clipped in zip(
        *(awake(build(with_vector=True, test_cfg=dict(clip=clip))).predict(tokens, make_samples()) for clip in (0, 1)),
        strict=True,
    ):
        assert not torch.equal(free.bboxes, clipped.bboxes)
        assert free.masks.any()
        assert torch.equal(free.masks, clipped.masks)


@pytest.mark.parametrize(("rescale", "sizes"), [(True, [(40, 60), (30, 50)]), (False, [(20, 20), (15, 50)])])
def test_masks_have_the_size_of_the_image_and_lie_in_their_boxes(rescale, sizes):
    for found, size in zip(detect(awake(build(with_vector=True)), rescale), sizes, strict=True):
        assert found.masks.dtype == torch.bool
        assert found.masks.shape == (len(found), *size)
        assert found.masks.any()
        for mask, (left, top, right, bottom) in zip(found.masks, found.bboxes.tolist(), strict=True):
            rows, columns = mask.nonzero(as_tuple=True)
            if len(rows):  # centres of pixels
                assert left <= columns.min() + 0.5
                assert columns.max() + 0.5 <= right
                assert top <= rows.min() + 0.5
                assert rows.max() + 0.5 <= bottom


def test_predicting_runs_what_the_last_levels_detections_need():
    head, ran = awake(build(**ALL, test_cfg=dict(max_per_img=3))), []
    for name, module in head.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _m, given, _o, name=name: ran.append((name, given[0].shape[1])))
    detect(head)
    wanted = [(f"cls_branches.{LEVELS - 1}", QUERIES), *((f"vector_branch.{layer}", 3) for layer in (0, 2, 4))]
    assert ran == wanted


def test_losses_are_those_of_the_criterion():
    head, samples = awake(build(iou_aware=True)), make_samples()
    for sample in samples:
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[2.0, 3.0, 12.0, 14.0]]), labels=torch.tensor([1]))
    losses = head.loss(make_tokens(), samples)
    parts = ("loss_cls", "loss_bbox", "loss_iou", "loss_iou_aware")
    assert set(losses) == {f"{level}{part}" for level in ("", "d0.", "d1.") for part in parts}
    sum(losses.values()).backward()
    # boxes are made by the decoder, which here there is none of
    assert all(one.grad is not None for name, one in head.named_parameters() if "reg_branches" not in name)
