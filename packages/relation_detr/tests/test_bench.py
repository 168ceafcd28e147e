"""The benchmark compares like with like, and all that it declares can be run."""

import importlib.util
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules

SIZE = (40, 64)


@pytest.fixture
def bench():
    spec = importlib.util.spec_from_file_location("mm_relation_detr_test_bench", Path(__file__).with_name("bench.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(bench, monkeypatch):
    """The benchmark with detectors of the same kind that take no time."""
    network = bench.network

    def smaller(config):
        model = config.model
        model.backbone.update(depth=18, base_channels=4)
        model.neck.in_channels = [8, 16, 32]
        model.encoder.num_layers, model.decoder.num_layers, model.num_queries = 1, 2, 20
        if "hybrid_num_queries" in model:
            model.hybrid_num_queries = 30
        return network(config)

    monkeypatch.setattr(bench, "network", smaller)
    return bench


def test_both_detectors_have_the_same_sizes(bench, monkeypatch):
    built = []

    def only_built(config):
        register_all_modules()
        built.append(MODELS.build(config.model))

    monkeypatch.setattr(bench, "network", only_built)
    with torch.device("meta"):
        bench.ours()
        bench.dino()
    ours, theirs = map(sizes, built)
    assert ours == theirs
    assert (ours["queries"], ours["levels"], ours["layers"]) == (900, 4, (6, 6))


def sizes(model):
    backbone, encoder, decoder = model.backbone, model.encoder, model.decoder
    of_encoder, of_decoder = encoder.layers[0], decoder.layers[0]
    return dict(
        backbone=(type(backbone), backbone.depth, backbone.frozen_stages, tuple(backbone.out_indices)),
        queries=model.num_queries,
        levels=model.num_feature_levels,
        channels=model.embed_dims,
        layers=(len(encoder.layers), len(decoder.layers)),
        attention=[
            (one.num_heads, one.num_levels, one.num_points) for one in (of_encoder.self_attn, of_decoder.cross_attn)
        ],
        self_attention=of_decoder.self_attn.num_heads,
        ffn=[one.ffn.feedforward_channels for one in (of_encoder, of_decoder)],
    )


def test_both_relations_are_the_same_function(bench):
    ours, plain = bench.PositionRelationEmbedding(), bench.plain()
    ours.load_state_dict(plain.state_dict())
    boxes = torch.rand(1, 9, 4) * 0.8 + 0.1
    torch.testing.assert_close(ours(boxes, boxes), plain(boxes, boxes), rtol=0, atol=2e-3)


@pytest.mark.parametrize("what", ["forward", "training step"])
def test_a_relation_is_computed_with_and_without_its_backward_pass(bench, what):
    modules = []

    def remembered():
        modules.append(bench.PositionRelationEmbedding())
        return modules[-1]

    bench.relation(remembered, 9, what, "cpu")()
    assert (modules[0].pos_proj[0].weight.grad is not None) == (what == "training step")


@pytest.mark.parametrize("name", ["ours", "dino", "dino_with_our_operator"])
def test_a_training_step_reaches_the_whole_detector(small, name):
    models = []

    def remembered():
        models.append(getattr(small, name)())
        return models[-1]

    small.training_step(remembered, SIZE, "cpu")()
    (model,) = models
    assert model.training
    for part in (model.backbone.layer4, model.encoder, model.decoder, model.bbox_head):
        assert any(parameter.grad is not None and parameter.grad.any() for parameter in part.parameters())


@pytest.mark.parametrize("name", ["ours", "dino", "dino_with_our_operator"])
def test_a_prediction_is_of_the_whole_image(small, name):
    seen = []

    def remembered():
        model = getattr(small, name)()
        predict = model.predict
        model.predict = lambda images, samples, **options: seen.append(
            (model.training, images, predict(images, samples, **options))
        )
        return model

    small.prediction(remembered, SIZE, "cpu")()
    ((training, images, (sample,)),) = seen
    assert not training
    assert torch.equal(images, small.batch(SIZE, "cpu")[0])
    assert images.shape[2:] == sample.batch_input_shape == (64, 64)
    assert sample.img_shape == SIZE
    assert len(sample.pred_instances) == 300


def test_an_image_is_padded_and_its_boxes_are_inside(bench):
    images, (sample,) = bench.batch((40, 50), "cpu")
    assert images.shape == (1, 3, 64, 64)
    assert not images[..., 40:, :].any()
    assert not images[..., 50:].any()
    boxes = sample.gt_instances.bboxes
    assert len(boxes) == bench.TARGETS
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([50, 40, 50, 40])).all()


def test_sides_are_declared_by_group(bench, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    relation, *detectors = bench.groups().values()
    assert [list(lines.values()) and list(*lines.values()) for lines in relation.values()] == [["ours", "plain"]] * 2
    assert len(detectors) == 2  # DINO as it is, and with our operator
    assert [list(detector) for detector in detectors] == [["320x320", "800x1333"]] * 2
    for lines in (lines for detector in detectors for lines in detector.values()):
        assert {what: list(sides) for what, sides in lines.items()} == {
            "prediction": ["Relation-DETR", "DINO"],
            "training step": ["Relation-DETR", "DINO"],
        }
