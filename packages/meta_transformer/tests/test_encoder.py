"""The shared encoder: what it leaves out changes nothing, what is frozen stays so, and padding is not seen."""

import pytest
import torch

from mm_meta_transformer.models.encoder import MetaTransformerEncoder

ARCH = dict(embed_dims=16, depth=3, num_heads=2)


def encoder(**settings):
    torch.manual_seed(0)
    built = MetaTransformerEncoder(**{"arch": ARCH, "frozen": False} | settings)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return built


@pytest.fixture
def tokens():
    return torch.randn(2, 7, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("qkv", ["joint", "video", "none"])
@pytest.mark.parametrize(("wanted", "cut"), [(1, slice(0, 1)), (2, slice(0, 2)), (slice(3, 5), slice(3, 5))])
def test_the_last_block_of_some_tokens_is_that_of_all_cut(tokens, qkv, wanted, cut):
    model = encoder(qkv=qkv)
    padding = torch.zeros(2, 7, dtype=torch.bool)
    padding[1, 5:] = True
    for given in (None, padding):
        whole = model(tokens, given)
        torch.testing.assert_close(model(tokens, given, last_only=wanted), whole[:, cut], rtol=1e-5, atol=1e-5)


def test_no_token_sees_padding(tokens):
    model, padding = encoder(), torch.zeros(2, 7, dtype=torch.bool)
    padding[0, 4:] = True
    other = tokens.clone()
    other[0, 4:] = 100.0
    first, second = model(tokens, padding), model(other, padding)
    torch.testing.assert_close(first[0, :4], second[0, :4])
    torch.testing.assert_close(first[0, :4], model(tokens[:1, :4])[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(model(tokens)[0, :4], model(other)[0, :4], atol=1e-2)


def test_a_position_is_added_before_every_block(tokens):
    model, position = encoder(), torch.randn(1, 7, 16)
    expected = tokens
    for block in model.blocks:
        expected = block(expected + position, None, None)
    torch.testing.assert_close(model(tokens, position=position), expected)


def test_a_frozen_encoder_learns_nothing_and_lets_gradients_through(tokens):
    model = encoder(frozen=True, attn_drop=0.5, drop_path=0.5).train()
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    tokens.requires_grad_()
    model(tokens).sum().backward()
    assert tokens.grad.abs().sum() > 0
    torch.testing.assert_close(model(tokens), model(tokens))
    assert encoder().train().training


def test_drop_path_grows_with_the_depth():
    rates = [getattr(block.drop_path, "drop_prob", 0.0) for block in encoder(drop_path=0.2).blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2])


def test_attention_is_dropped_in_training_alone(tokens):
    model = encoder(attn_drop=0.5)
    assert not torch.allclose(model.train()(tokens), model(tokens))
    torch.testing.assert_close(model.eval()(tokens), encoder()(tokens))


@pytest.mark.parametrize("frozen", [False, True])
def test_blocks_computed_again_give_the_same(tokens, frozen):
    found = []
    for with_cp in (False, True):
        model, given = encoder(frozen=frozen, with_cp=with_cp), tokens.clone().requires_grad_()
        output = model(given, last_only=1)
        output.square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
        found.append([output.detach(), given.grad, *gradients])
    for plain, again in zip(*found, strict=True):
        torch.testing.assert_close(again, plain)


def test_biases_of_queries_and_values_are_joint_ones_without_those_of_keys(tokens):
    joint, video = encoder(), encoder(qkv="video")
    state = joint.state_dict()
    cut = {}
    for key, value in state.items():
        if key.endswith("qkv.bias"):
            cut[key.replace("qkv.bias", "q_bias")], _, cut[key.replace("qkv.bias", "v_bias")] = value.chunk(3)
        else:
            cut[key] = value
    video.load_state_dict(cut)
    torch.testing.assert_close(video(tokens), joint(tokens), rtol=1e-5, atol=1e-5)


def test_no_bias_is_one_of_zeros(tokens):
    joint, none = encoder(), encoder(qkv="none")
    state = {key: value * ("qkv.bias" not in key) for key, value in joint.state_dict().items()}
    joint.load_state_dict(state)
    none.load_state_dict({key: value for key, value in state.items() if "qkv.bias" not in key})
    torch.testing.assert_close(none(tokens), joint(tokens))


def test_the_width_inside_the_mlps_is_four_times_the_channels_unless_said(tokens):
    assert encoder().blocks[0].mlp.fc1.out_features == 64
    narrow = encoder(arch=ARCH | dict(mlp_ratio=1.5))
    assert narrow.blocks[0].mlp.fc1.out_features == 24
    assert narrow(tokens).shape == tokens.shape


def test_the_number_of_heads_changes_the_function_and_no_shape(tokens):
    two, four = encoder(), encoder(num_heads=4)
    four.load_state_dict(two.state_dict())
    assert not torch.allclose(two(tokens), four(tokens), atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(arch="huge"), "'huge' is not known. Fix: one of base, large"),
        (dict(arch=dict(embed_dims=16)), "Fix: give it embed_dims, depth, num_heads"),
        (dict(num_heads=3), "16 channels cannot be cut into 3 heads"),
        (dict(qkv="keys"), "qkv='keys' is not known"),
    ],
)
def test_a_wrong_setting_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        encoder(**settings)


def test_tokens_and_padding_of_other_shapes_are_refused(tokens):
    with pytest.raises(ValueError, match=r"the encoder reads \(B, N, 16\). Fix: embed_dims=16"):
        encoder()(tokens[..., :8])
    with pytest.raises(ValueError, match="adds their place to the padding"):
        encoder()(tokens, torch.zeros(2, 6, dtype=torch.bool))
