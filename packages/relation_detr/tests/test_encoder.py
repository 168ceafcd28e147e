"""The encoder: fusion without a concatenation, and layers computed again."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mm_relation_detr.models.encoder import RelationTransformerEncoder

DIMS, LAYERS = 16, 3
SHAPES = torch.tensor([[6, 5], [3, 2]])
TOKENS = 36


def build(**options):
    torch.manual_seed(0)
    attention = dict(embed_dims=DIMS, num_heads=4, num_levels=2, num_points=2)
    layer = dict(self_attn_cfg=attention, ffn_cfg=dict(embed_dims=DIMS, feedforward_channels=32))
    encoder = RelationTransformerEncoder(LAYERS, layer, **options)
    for layer in encoder.layers:
        torch.nn.init.normal_(layer.self_attn.sampling_offsets.weight)
    return encoder


@pytest.fixture
def inputs():
    torch.manual_seed(1)
    mask = torch.zeros(2, TOKENS, dtype=torch.bool)
    mask[1, [4, 9, 14]] = True
    return {
        "query": torch.randn(2, TOKENS, DIMS),
        "query_pos": torch.randn(2, TOKENS, DIMS),
        "key_padding_mask": mask,
        "spatial_shapes": SHAPES,
        "level_start_index": torch.tensor([0, 30]),
        "valid_ratios": torch.tensor([[[1.0, 1.0]] * 2, [[0.8, 1.0]] * 2]),
    }


def test_fusion_is_the_perceptron_of_all_outputs(inputs):
    encoder, outputs = build(), [inputs["query"]]
    for layer in encoder.layers:
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    memory = encoder(**inputs)
    assert len(outputs) == LAYERS + 1
    torch.testing.assert_close(memory, encoder.memory_fusion(torch.cat(outputs, -1)))


def test_the_fusion_in_bf16_is_as_exact_as_one_product(inputs):
    encoder, outputs, found = build(), [inputs["query"]], []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    encoder.memory_fusion[1].register_forward_hook(lambda _module, inputs, _output: found.append(inputs[0]))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        encoder(**inputs)
        found.append(encoder.memory_fusion[0](torch.cat(outputs, -1)))
    exact = encoder.memory_fusion[0].double()(torch.cat(outputs, -1).double())
    ours, official = ((one - exact).norm() for one in found)
    assert ours <= 1.1 * official


def test_nothing_as_wide_as_all_outputs_exists(inputs):
    class Widest(TorchDispatchMode):
        width = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            output = function(*args, **(kwargs or {}))
            if isinstance(output, torch.Tensor) and output.dim() > 1 and TOKENS in output.shape:
                Widest.width = max(Widest.width, output.shape[-1])
            return output

    encoder = build()
    with torch.no_grad(), Widest():
        encoder(**inputs)
    assert 0 < Widest.width < (LAYERS + 1) * DIMS


def test_without_fusion_the_memory_is_the_last_output(inputs):
    encoder, outputs = build(memory_fusion=False), []
    encoder.layers[-1].register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    assert torch.equal(encoder(**inputs), outputs[0])
    assert not any("fusion" in name for name in encoder.state_dict())


def test_layers_computed_again_change_nothing(inputs):
    plain = build().train()
    again = copy.deepcopy(plain)
    again.with_cp = True
    calls = []
    again.layers[0].register_forward_pre_hook(lambda *_: calls.append(1))
    outputs = [encoder(**inputs) for encoder in (plain, again)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert len(calls) == 2


def test_there_is_no_dropout_unless_asked_for(inputs):
    encoder = build().train()  # mmcv's attention has 0.1 by default
    assert torch.equal(encoder(**inputs), encoder(**inputs))
