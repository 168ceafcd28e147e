"""The position relation in mmdet's own DINO, by config alone."""

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.structures import InstanceData

from mm_relation_detr.models import position_relation, relation_dino  # noqa: F401  registers them

PLUGGED_IN = """
_base_ = "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py"
model = dict(type="DINOWithPositionRelation", position_relation=dict(type="PositionRelationEmbedding"))
"""
SMALL = {
    "backbone.depth": 18,
    "backbone.init_cfg": None,
    "neck.in_channels": [128, 256, 512],
    "num_queries": 20,
    "encoder.num_layers": 1,
    "decoder.num_layers": 3,
    "bbox_head.num_classes": 5,
    "test_cfg.max_per_img": 20,
}
RELATION = "decoder.position_relation_embedding.pos_proj.0."
SIDE = 96


def config(**more):
    register_all_modules()
    whole = Config.fromstring(PLUGGED_IN, ".py")
    whole.merge_from_dict({f"model.{name}": value for name, value in {**SMALL, **more}.items()})
    return whole.model


def build(**more):
    torch.manual_seed(0)
    model = MODELS.build(config(**more))
    model.init_weights()
    return model


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture
def batch():
    torch.manual_seed(1)
    shape = (SIDE, SIDE)
    sample = DetDataSample(metainfo={"img_shape": shape, "batch_input_shape": shape, "scale_factor": (1, 1)})
    truth = torch.tensor([[10.0, 10.0, 40.0, 50.0], [30.0, 20.0, 90.0, 80.0]])
    sample.gt_instances = InstanceData(bboxes=truth, labels=torch.tensor([1, 3]))
    return torch.randn(1, 3, SIDE, SIDE), [sample]


def test_two_lines_of_config_plug_it_in(model):
    assert isinstance(model, relation_dino.DINO)
    assert model.decoder.position_relation_embedding.num_heads == 8
    # PyTorch's default for 64 inputs, not the wider one that mmdet draws for the whole decoder
    assert model.decoder.position_relation_embedding.pos_proj[0].weight.abs().max() <= 1 / 8


def test_every_parameter_gets_a_gradient(model, batch):
    model.train().zero_grad()
    model.backbone.eval()
    losses = model.loss(*batch)
    sum(value for name, value in losses.items() if "loss" in name).backward()
    without = [name for name, one in model.named_parameters() if one.requires_grad and one.grad is None]
    assert without == []
    assert model.decoder.position_relation_embedding.pos_proj[0].weight.grad.abs().max() > 0


def test_the_decoder_stays_close_in_bfloat16(model, batch):
    given = {}
    hook = model.decoder.register_forward_pre_hook(lambda _, args, kwargs: given.update(kwargs), with_kwargs=True)
    with torch.no_grad():
        model.eval().forward_transformer(model.extract_feat(batch[0]), batch[1])
        hook.remove()  # the same proposals for both
        exact, _ = model.decoder(**given)
        with torch.autocast("cpu", torch.bfloat16):
            rounded, _ = model.decoder(**given)
    assert (exact - rounded).abs().mean() < 0.03 * exact.abs().mean()


@pytest.mark.parametrize("layers", [1, 2])
def test_one_layer_has_no_use_for_the_relation_and_distributed_training_does_not_wait_for_it(layers):
    with torch.device("meta"):
        relation = MODELS.build(config(**{"decoder.num_layers": layers})).decoder.position_relation_embedding
    assert [parameter.requires_grad for parameter in relation.parameters()] == [layers == 2] * 2


def test_all_else_is_mmdets_dino(model, batch):
    plain = config(type="DINO")
    del plain["position_relation"]
    plain = MODELS.build(plain).eval()
    state = {key: value for key, value in model.state_dict().items() if not key.startswith(RELATION)}
    plain.load_state_dict(state)  # strict: the relation's two are the only further names
    assert len(model.state_dict()) - len(state) == 2

    relation = model.eval().decoder.position_relation_embedding
    images, samples = batch
    with torch.no_grad():
        biased = model._forward(images, samples)
        theirs = plain._forward(images, samples)
        kept, relation.pos_proj[0].weight.data = relation.pos_proj[0].weight.data, torch.zeros(8, 64, 1, 1)
        try:
            relation.pos_proj[0].bias.data.abs_()  # a constant bias changes no attention
            ours = model._forward(images, samples)
        finally:
            relation.pos_proj[0].weight.data = kept
    for mine, other in zip(ours[:2], theirs[:2], strict=True):
        torch.testing.assert_close(torch.stack(list(mine)), torch.stack(list(other)), rtol=0, atol=2e-5)
    scores = (biased[0] - ours[0]).abs().amax((1, 2, 3))  # of each layer
    assert scores[0] < 1e-6  # no relation before the first layer's boxes are there
    assert scores[1:].min() > 1e-4


def test_the_relation_is_that_of_the_boxes_which_successive_layers_return(batch, monkeypatch):
    seen, model = [], build().eval()
    relation = model.decoder.position_relation_embedding
    monkeypatch.setattr(type(relation), "forward", recording(type(relation).forward, seen))
    # Zero-initialised box heads would make all layers' boxes equal.
    for branch in model.bbox_head.reg_branches:
        torch.nn.init.normal_(branch[-1].weight, std=0.02)
    with torch.no_grad():
        inputs = model.forward_transformer(model.extract_feat(batch[0]), batch[1])
        references = inputs["references"]
        _, boxes = model.bbox_head(inputs["hidden_states"], references)
    assert len(seen) == 2  # of three layers
    torch.testing.assert_close(seen[0][0], references[0])
    torch.testing.assert_close(seen[0][1], boxes[0])
    torch.testing.assert_close(seen[1][0], boxes[0])
    torch.testing.assert_close(seen[1][1], boxes[1])
    assert (boxes[0] - boxes[1]).abs().max() > 1e-3


def recording(forward, seen):
    def recorded(self, src, tgt, attn_mask=None):
        seen.append((src, tgt))
        return forward(self, src, tgt, attn_mask)

    return recorded


def test_denoising_queries_stay_hidden_from_the_matching_ones(model, batch):
    """What the noise is must not matter to the queries that are matched, in any layer."""
    model.train()
    model.backbone.eval()
    images, samples = batch
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        with torch.no_grad():
            head_inputs = model.forward_transformer(model.extract_feat(images), samples)
        states.append(head_inputs["hidden_states"])
    noised = states[0].size(2) - model.num_queries
    assert noised > 0
    assert (states[0][:, :, :noised] - states[1][:, :, :noised]).abs().max() > 1e-3
    torch.testing.assert_close(states[0][:, :, noised:], states[1][:, :, noised:], rtol=0, atol=1e-6)


def test_it_predicts(model, batch):
    (found,) = model.eval().predict(*batch)
    assert len(found.pred_instances) == 20
    assert found.pred_instances.bboxes.isfinite().all()


def test_another_number_of_heads_is_refused():
    with pytest.raises(ValueError, match="num_heads=4, the decoder's self-attention has 8"):
        build(**{"position_relation.num_heads": 4})
