"""Proposals: the same as boxes of all tokens would give, for fewer of them."""

import torch
from torch import nn

from mm_relation_detr.models.two_stage import propose, rows, top_tokens


def heads(classes=5, dims=8):
    torch.manual_seed(0)
    return nn.Linear(dims, classes), nn.Sequential(nn.Linear(dims, dims), nn.ReLU(), nn.Linear(dims, 4))


def test_proposals_are_those_of_all_tokens_boxes():
    cls_branch, reg_branch = heads()
    features, anchors = torch.randn(2, 30, 8), torch.randn(2, 30, 4)
    found = propose(features, anchors, cls_branch, reg_branch, 7)
    logits, boxes = cls_branch(features), (reg_branch(features) + anchors).sigmoid()
    for image in range(2):
        order = logits[image].max(-1).values.argsort(descending=True)[:7]
        assert torch.equal(found.tokens[image], order)
        torch.testing.assert_close(found.scores[image], logits[image, order])
        torch.testing.assert_close(found.boxes[image], boxes[image, order])


def test_boxes_are_computed_for_chosen_tokens_alone():
    cls_branch, reg_branch = heads()
    seen = []
    reg_branch.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0].shape))
    propose(torch.randn(2, 30, 8), torch.randn(2, 30, 4), cls_branch, reg_branch, 7)
    assert seen == [(2, 7, 8)]


def test_a_token_without_a_box_has_the_whole_image_and_gives_no_nan():
    cls_branch, reg_branch = heads()
    anchors = torch.full((1, 3, 4), torch.inf)
    found = propose(torch.zeros(1, 3, 8), anchors, cls_branch, reg_branch, 3)
    assert torch.equal(found.boxes, torch.ones(1, 3, 4))
    found.boxes.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in reg_branch.parameters())


def test_fewer_tokens_than_asked_for_are_all_taken():
    assert top_tokens(torch.tensor([[1.0, 3.0, 2.0]]), 900).tolist() == [[1, 2, 0]]


def test_rows_are_those_of_each_image():
    values = torch.arange(12.0).view(2, 3, 2)
    assert torch.equal(rows(values, torch.tensor([[2], [0]])), torch.tensor([[[4.0, 5.0]], [[6.0, 7.0]]]))
