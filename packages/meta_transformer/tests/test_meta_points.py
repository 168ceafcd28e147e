"""Clouds and points classified, and where the frozen encoder's weights come from."""

import pytest
import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

ENCODER = dict(type="MetaTransformerEncoder", arch=dict(embed_dims=16, depth=2, num_heads=2))


def classifier(**settings):
    return MODELS.build(
        dict(
            type="MetaTransformerPointCls",
            tokenizer=dict(type="P3Tokenizer", group_size=4),
            encoder=ENCODER,
            head=dict(type="PointClsHead", num_classes=3, hidden=(8,)),
            **settings,
        )
    )


def segmenter(parts=None, **decoder):
    return MODELS.build(
        dict(
            type="MetaTransformerPointSeg",
            tokenizer=dict(type="P3Tokenizer", in_channels=4, sample_ratio=1 / 16, group_size=4),
            encoder=ENCODER,
            decoder=dict(type="PointDecoder", **decoder),
            head=dict(type="PointSegHead", num_classes=3, hidden=(8,)),
            parts=parts,
        )
    ).eval()


def cloud(batch=2):
    return {"points": torch.rand(batch, 64, 3), "features": torch.rand(batch, 64, 4)}


def test_a_clouds_feature_is_its_summaries_in_the_order_asked_for():
    model = classifier(global_features=("max", "cls")).eval()
    points = torch.rand(2, 32, 3)
    encoded = model.encode(model.extract_tokens(points))
    expected = torch.cat((encoded[:, 1:].amax(1), encoded[:, 0]), 1)
    torch.testing.assert_close(model.extract_feat(points), expected)
    samples = model(points, mode="predict")
    assert [sample.pred_score.shape for sample in samples] == [(3,), (3,)]


def test_positions_are_added_before_every_block():
    model = classifier().eval()
    points = torch.rand(1, 32, 3)
    tokens = model.extract_tokens(points)
    expected = tokens.tokens
    for block in model.encoder.blocks:
        expected = block(expected + tokens.info["position"], None, None)
    torch.testing.assert_close(model.encode(tokens), model.encoder_norm(expected))


@pytest.mark.parametrize("official_compat", [False, True])
def test_only_the_released_codes_way_draws_the_loaded_encoder_again(official_compat, tmp_path):
    torch.manual_seed(0)
    source = MODELS.build(dict(ENCODER))
    source.init_weights()
    weights = {key.removeprefix("blocks."): value for key, value in source.state_dict().items()}
    torch.save(weights, tmp_path / "encoder.pth")
    pretrained = dict(type="PretrainedMetaEncoder", checkpoint=str(tmp_path / "encoder.pth"))
    model = classifier(official_compat=official_compat)
    model.encoder.init_cfg = pretrained
    model.init_weights()
    loaded = model.encoder.blocks[0].attn.qkv.weight
    assert torch.equal(loaded, source.blocks[0].attn.qkv.weight) is not official_compat
    if official_compat:
        assert loaded.abs().max() <= (6 / (16 + 48)) ** 0.5  # Xavier's limit
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())


def test_every_point_gets_a_class():
    model, inputs = segmenter(), cloud()
    samples = model(inputs, mode="predict")
    assert torch.equal(torch.stack([sample.pred_points for sample in samples]), model(inputs).argmax(1))


def test_losses_leave_out_points_that_fill_up():
    model, inputs = segmenter(), cloud(1)
    logits = model(inputs)
    labels, mask = torch.randint(3, (64,)), torch.arange(64) < 40
    sample = DataSample()
    sample.set_field(labels, "gt_points")
    sample.set_field(mask.long(), "point_mask")
    expected = torch.nn.functional.cross_entropy(logits[0].T[mask], labels[mask])
    torch.testing.assert_close(model(inputs, [sample], mode="loss")["loss"], expected)


def test_a_cloud_in_parts_is_predicted_by_the_mean_of_its_parts():
    model, inputs = segmenter(), cloud(1)
    index = torch.stack([torch.arange(64), torch.arange(64).roll(7)])
    index[1, :8] = torch.arange(64, 72)  # eight points that the first part has not
    parts = {key: torch.cat((value, torch.rand_like(value)))[None] for key, value in inputs.items()}
    logits = [model({key: value[0, at, None] for key, value in parts.items()})[0] for at in range(2)]
    total, count = torch.zeros(3, 72), torch.zeros(72)
    for one, rows in zip(logits, index, strict=True):
        total[:, rows] += one
        count[rows] += 1
    (sample,) = model(parts | {"index": index[None]}, mode="predict")
    assert torch.equal(sample.pred_points, (total / count).argmax(0))


def test_an_object_that_comes_in_parts_keeps_its_kind():
    model, inputs = segmenter(num_categories=2), cloud(1)
    whole = {"category": torch.tensor([1])}
    for name, value in inputs.items():
        whole[name] = torch.cat((value, torch.rand_like(value)))[None]
    whole["index"] = torch.arange(128).view(1, 2, 64)
    (sample,) = model(whole, mode="predict")
    alone = [{name: whole[name][0, at, None] for name in inputs} for at in range(2)]
    expected = torch.cat([model(part | {"category": whole["category"]})[0] for part in alone], 1)
    assert torch.equal(sample.pred_points, expected.argmax(0))


def test_an_objects_parts_are_those_of_its_kind():
    model, inputs = segmenter(parts=((0,), (1, 2)), num_categories=2), cloud()
    first, second = model(inputs | {"category": torch.tensor([0, 1])}, mode="predict")
    assert set(first.pred_points.tolist()) == {0}
    assert set(second.pred_points.tolist()) <= {1, 2}


def test_the_kind_of_object_is_a_feature():
    model, inputs = segmenter(num_categories=2), cloud(1)
    one, other = (model(inputs | {"category": torch.tensor([kind])}) for kind in (0, 1))
    assert (one - other).abs().max() > 1e-4
    for category, found in ((torch.tensor([2]), r"\[2\]"), (None, "absent")):
        with pytest.raises(ValueError, match=f"category is {found}; needed is a number from 0 to 1"):
            model(inputs | ({} if category is None else {"category": category}))


def test_scannets_head_appends_the_maximum_and_is_as_wide_as_its_input():
    head = MODELS.build(dict(type="PointSegHead", num_classes=3, in_channels=4, hidden=None, append=("max",)))
    assert [tuple(parameter.shape) for parameter in head.parameters() if parameter.dim() == 3] == [(8, 8, 1), (3, 8, 1)]
    assert head(torch.rand(2, 4, 5)).shape == (2, 3, 5)


def test_means_of_many_parts_are_summed_in_full_precision(monkeypatch):
    model = segmenter()
    monkeypatch.setattr(model, "forward", lambda inputs: torch.ones(1, 3, 1, dtype=torch.bfloat16))
    parts = {"points": torch.zeros(300, 1, 3), "features": torch.zeros(300, 1, 4), "index": torch.zeros(300, 1).long()}
    assert model._by_parts(parts).tolist() == [[1.0], [1.0], [1.0]]


def test_without_a_class_token_every_token_is_a_groups():
    tokenizer = dict(type="P3Tokenizer", in_channels=4, sample_ratio=1 / 16, group_size=4, class_token=False)
    rest = dict(type="MetaTransformerPointSeg", encoder=ENCODER, head=dict(type="PointSegHead", num_classes=3))
    model = MODELS.build(dict(tokenizer=tokenizer, decoder=dict(type="PointDecoder", global_features=("max",)), **rest))
    assert model.eval()(cloud()).shape == (2, 3, 64)
    with pytest.raises(ValueError, match=r"need a class token, the tokenizer makes none. Fix: class_token=True"):
        MODELS.build(dict(tokenizer=tokenizer, decoder=dict(type="PointDecoder"), **rest))
    with pytest.raises(ValueError, match=r"need a class token, the tokenizer makes none. Fix: class_token=True"):
        MODELS.build(
            dict(
                type="MetaTransformerPointCls",
                tokenizer=dict(type="P3Tokenizer", class_token=False),
                encoder=ENCODER,
                head=dict(type="PointClsHead", num_classes=3),
            )
        )


def test_what_is_missing_is_named():
    model, inputs = segmenter(), cloud()
    with pytest.raises(ValueError, match=r"samples \[0, 1\] of the batch have no gt_points"):
        model(inputs, [DataSample(), DataSample()], mode="loss")
    with pytest.raises(ValueError, match="mode='loss' needs data_samples"):
        model(inputs, mode="loss")
    with pytest.raises(ValueError, match="mode='train' is not known"):
        model(inputs, mode="train")
    with pytest.raises(ValueError, match=r"the tokenizer has 2 levels, the decoder 1.*skip_channels"):
        segmenter(skip_channels=(4,))(inputs)
