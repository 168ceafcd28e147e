"""The graph model: what the official one computes, and what ours does instead."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

from mm_meta_transformer.checkpoint_hook import MetaTransformerCheckpointHook, settings_of
from mm_meta_transformer.evaluation.absolute_error import MetaAbsoluteErrorMetric
from mm_meta_transformer.models.meta_graph import MetaTransformerGraphRegressor
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.testing import load_config

CONFIGS = Path(__file__).parents[1] / "configs/meta_transformer"


def regressor(**settings):
    torch.manual_seed(0)
    model = MetaTransformerGraphRegressor(
        tokenizer=dict(type="GraphTokenizer", num_atoms=30, num_edges=10, lap_dims=4),
        encoder=dict(type="MetaTransformerEncoder", arch=dict(embed_dims=16, depth=2, num_heads=2)),
        **settings,
    ).eval()
    for name, one in model.named_parameters():
        torch.nn.init.normal_(one, mean=float("norm" in name and name.endswith("weight")), std=0.3)
    return model


def sample(seed, nodes):
    random = torch.Generator().manual_seed(seed)
    ends = torch.tensor([(node, node + 1) for node in range(nodes - 1)])
    return {
        "node_data": torch.randint(1, 30, (nodes, 2), generator=random),
        "edge_data": torch.randint(1, 10, (2 * nodes - 2, 1), generator=random),
        "edge_index": torch.cat((ends, ends.flip(1))),
        "lap_eigvec": torch.randn(nodes, 4, generator=random),
    }


def values(model, *samples):
    batch = model.data_preprocessor({"inputs": list(samples)})
    with torch.no_grad():
        return model(batch["inputs"])[:, 0]


def test_a_graphs_value_is_its_own():
    model, graphs = regressor(), [sample(1, 3), sample(2, 6), sample(3, 4)]
    found = values(model, *graphs)
    assert (found[0] - found[1:]).abs().min() > 1e-3
    torch.testing.assert_close(found, torch.cat([values(model, one) for one in graphs]))


def test_the_official_value_is_one_constant_whatever_the_graphs():
    model = regressor(official_compat=True)
    found = values(model, sample(1, 3), sample(2, 6))
    torch.testing.assert_close(found, values(model, sample(3, 4)).expand(2))


@pytest.mark.parametrize("official_compat", [False, True])
def test_only_the_released_codes_way_draws_the_loaded_encoder_again(official_compat, tmp_path):
    model = regressor(official_compat=official_compat)
    source = {key: torch.full_like(value, 7.0) for key, value in model.encoder.blocks.state_dict().items()}
    torch.save(source, tmp_path / "encoder.pth")
    model.encoder.init_cfg = dict(type="PretrainedMetaEncoder", checkpoint=str(tmp_path / "encoder.pth"))
    model.init_weights()
    loaded = model.encoder.blocks[1].attn.qkv
    assert torch.equal(loaded.weight, source["1.attn.qkv.weight"]) is not official_compat
    if official_compat:
        assert loaded.weight.std().item() == pytest.approx(0.02, rel=0.1)
        assert not loaded.bias.any()
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())


def test_a_checkpoint_says_over_what_attention_ran():
    stored = {"meta": {"model": settings_of(regressor())}}
    with pytest.raises(
        CheckpointMismatchError, match=r"network\.official_compat: False in the file, True in the config"
    ):
        MetaTransformerCheckpointHook().compare(regressor(official_compat=True), stored)


def test_the_loss_is_the_mean_absolute_error_as_the_metric_says():
    model, graphs = regressor(), [sample(1, 3), sample(2, 6)]
    found = values(model, *graphs)
    batch = model.data_preprocessor({"inputs": graphs})["inputs"]
    samples = [DataSample(gt_value=torch.tensor(value)) for value in (1.0, 3.0)]
    loss = model(batch, samples, mode="loss")["loss"]
    torch.testing.assert_close(loss, (found - torch.tensor([1.0, 3.0])).abs().mean())
    metric = MetaAbsoluteErrorMetric()
    with torch.no_grad():
        metric.process({}, [one.to_dict() for one in model(batch, samples, mode="predict")])
    measured = metric.evaluate(2)
    assert measured == pytest.approx({"mae": loss.item(), "baseline_mae": 1.0})


def test_several_values_of_a_graph():
    model, graphs = regressor(num_outputs=3), [sample(1, 3), sample(2, 6)]
    batch = model.data_preprocessor({"inputs": graphs})["inputs"]
    wanted = torch.arange(6.0).reshape(2, 3)
    samples = [DataSample(gt_value=row) for row in wanted]
    loss = model(batch, samples, mode="loss")["loss"]
    found = torch.stack([one.pred_value for one in model(batch, samples, mode="predict")])
    torch.testing.assert_close(loss, (found - wanted).abs().mean())
    assert model.output.bias.shape == (1,)
    with pytest.raises(ValueError, match=r"gt_value has shape \(\), the model's values \(3,\)\. Fix: num_outputs"):
        model(batch, [DataSample(gt_value=torch.tensor(1.0)) for _ in graphs], mode="loss")


def test_the_heads_activation_and_the_norm_of_tokens_can_be_others():
    gelu, relu, graphs = regressor(), regressor(activation="relu"), [sample(1, 3), sample(2, 6)]
    features = torch.linspace(-2, 2, 32).reshape(2, 16)
    assert not torch.allclose(gelu.head(features), relu.head(features), atol=1e-3)
    expected = relu.output(relu.norm(relu.transform(features).clamp(min=0)))
    torch.testing.assert_close(relu.head(features), expected)
    stored = {"meta": {"model": settings_of(relu)}}
    with pytest.raises(CheckpointMismatchError, match="activation: 'relu' in the file, 'gelu' in the config"):
        MetaTransformerCheckpointHook().compare(gelu, stored)
    with pytest.raises(ValueError, match=r"activation='swish' is not known\. Fix: one of gelu, relu"):
        regressor(activation="swish")
    plain = regressor(embed_norm=False)
    batch = plain.data_preprocessor({"inputs": graphs})["inputs"]
    torch.testing.assert_close(plain.extract_tokens(batch).tokens, plain.tokenizer(batch).tokens)


def test_a_frozen_tokenizer_is_not_trained_and_a_free_one_is():
    for frozen in (True, False):
        model = regressor(frozen_tokenizer=frozen).train()
        batch = model.data_preprocessor({"inputs": [sample(1, 3), sample(2, 6)]})["inputs"]
        samples = [DataSample(gt_value=torch.tensor(value)) for value in (100.0, 300.0)]
        model(batch, samples, mode="loss")["loss"].backward()
        trained = {name.split(".")[0] for name, one in model.named_parameters() if one.grad is not None}
        assert trained == {"transform", "norm", "output"} | (set() if frozen else {"tokenizer", "embed_norm"})


def test_what_a_loss_needs_is_named():
    model = regressor()
    batch = model.data_preprocessor({"inputs": [sample(1, 3)]})["inputs"]
    with pytest.raises(ValueError, match="needs data_samples with gt_value"):
        model(batch, [DataSample()], mode="loss")
    with pytest.raises(ValueError, match="mode='train' is not known"):
        model(batch, mode="train")


def test_as_many_parameters_are_trained_as_the_release_has_without_its_unused_ones():
    config: Config = load_config(CONFIGS / "meta-transformer_base_pcqm4mv2.py")
    with torch.device("meta"):
        model = MODELS.build(config.model)
    trained = sum(one.numel() for one in model.parameters() if one.requires_grad)
    unused = 768 * 768 + 768  # the pooler; the unused norm is frozen with the rest
    assert trained == 592_897
    assert trained + unused == 1_183_489  # 1.183 M are measured of the release
    assert sum(one.numel() for one in model.parameters()) == 90_395_137
