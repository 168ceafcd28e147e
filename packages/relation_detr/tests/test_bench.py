"""The benchmark compares like with like, and all that it declares can be run."""

import importlib.util
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmrepro import papers

SIZE = (64, 64)


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


def test_both_detectors_have_the_same_sizes(bench):
    ours = Config.fromfile(papers.find_config("relation_detr", bench.OURS)).model
    theirs = Config.fromstring(bench.DINO, ".py").model
    for name in ("depth", "frozen_stages", "out_indices"):
        assert ours.backbone[name] == theirs.backbone[name], name
    for one, other in ((ours, theirs), (ours.encoder, theirs.encoder), (ours.decoder, theirs.decoder)):
        names = {"num_queries", "num_feature_levels", "num_layers"} & {*one} & {*other}
        assert names
        assert all(one[name] == other[name] for name in names)
    for part in ("encoder", "decoder"):
        ffns = [one[part].layer_cfg.ffn_cfg.feedforward_channels for one in (ours, theirs)]
        assert ffns == [2048, 2048]


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


@pytest.mark.parametrize("name", ["ours", "dino"])
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


@pytest.mark.parametrize("name", ["ours", "dino"])
def test_a_prediction_is_of_the_whole_image(small, name):
    models, found = [], []

    def remembered():
        model = getattr(small, name)()
        predict = model.predict
        model.predict = lambda *given, **options: found.append(predict(*given, **options))
        models.append(model)
        return model

    small.prediction(remembered, SIZE, "cpu")()
    assert not models[0].training
    ((sample,),) = found
    assert len(sample.pred_instances) == 300
    assert sample.pred_instances.bboxes.max() <= max(SIZE) + 50


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
    relation, detector = bench.groups().values()
    assert [list(lines.values()) and list(*lines.values()) for lines in relation.values()] == [["ours", "plain"]] * 2
    assert list(detector) == ["320x320", "800x1333"]
    for lines in detector.values():
        assert {what: list(sides) for what, sides in lines.items()} == {
            "prediction": ["Relation-DETR", "DINO"],
            "training step": ["Relation-DETR", "DINO"],
        }
