"""The position relation: the same numbers as the formula, none of its memory."""

import copy
import importlib.util
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mm_relation_detr.models import position_relation
from mm_relation_detr.models.position_relation import PositionRelationEmbedding


def transcription():
    """The official module as ``plain_official.py`` has it."""
    file = Path(__file__).with_name("plain_official.py")
    spec = importlib.util.spec_from_file_location("mm_relation_detr_plain_official", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PlainPositionRelation()


def boxes(batch, number, seed=0):
    """Boxes (cx, cy, w, h), many of them small, as a detector's are."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.rand(batch, number, 4, generator=generator)
    return torch.cat([drawn[..., :2], 0.5 * drawn[..., 2:] ** 3 + 1e-4], dim=-1)


def pair(fused=None, **config):
    """Two modules with the same parameters: fused, and the formula."""
    torch.manual_seed(1)
    ours = PositionRelationEmbedding(**config, **(fused or {}))
    formula = PositionRelationEmbedding(**config, compute="reference")
    formula.load_state_dict(ours.state_dict())
    return ours, formula


def denoising_mask(groups, size, queries):
    """True where attention is blocked: queries see no group, a group sees itself and the queries."""
    noised = groups * size
    mask = torch.zeros(noised + queries, noised + queries, dtype=torch.bool)
    mask[noised:, :noised] = True
    for start in range(0, noised, size):
        mask[start : start + size, :noised] = True
        mask[start : start + size, start : start + size] = False
    return mask


@pytest.mark.parametrize("rows", [None, 1, 7, 100])
@pytest.mark.parametrize("config", [{}, {"num_heads": 3, "embed_dim": 6, "temperature": 100.0, "scale": 10.0}])
def test_chunks_compute_the_formula(config, rows):
    ours, formula = pair({"row_chunk": rows}, **config)
    src, tgt = boxes(2, 23).double(), boxes(2, 31, seed=1).double()
    expected = formula(src, tgt)
    assert expected.shape == (2, ours.num_heads, 23, 31)
    torch.testing.assert_close(ours(src, tgt), expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(ours(src), formula(src), rtol=0, atol=1e-11)


def test_it_is_nearer_to_double_precision_than_a_plain_transcription():
    torch.manual_seed(0)
    plain = transcription()
    ours = PositionRelationEmbedding()
    ours.load_state_dict(plain.state_dict())
    src, tgt = boxes(1, 200), boxes(1, 200, seed=1)
    exact = copy.deepcopy(plain).double()(src.double(), tgt.double())
    theirs, mine = ((module(src, tgt) - exact).abs().max() for module in (plain, ours))
    assert theirs < 5e-5 * exact.max()  # the transcription is one of this very formula
    assert mine < theirs / 5


def test_gradients_of_the_parameters_are_right():
    ours, _ = pair({"row_chunk": 2}, num_heads=2, embed_dim=4)
    ours.double()
    src, tgt = boxes(2, 5).double(), boxes(2, 4, seed=1).double()
    mask = torch.zeros(5, 4, dtype=torch.bool)
    mask[3:, :2] = mask[0, 1] = True

    def free(weight, bias):
        parameters = {"pos_proj.0.weight": weight, "pos_proj.0.bias": bias}
        return torch.func.functional_call(ours, parameters, (src, tgt, mask))[..., ~mask]

    # A bias of its own per head keeps all pairs off the kink of the ReLU, on either side.
    ours.pos_proj[0].bias.data.copy_(torch.tensor([20.0, -20.0]))
    assert torch.autograd.gradcheck(free, tuple(ours.parameters()))


@pytest.mark.parametrize("masked", [False, True])
def test_gradients_are_those_of_the_formula_and_boxes_get_none(masked):
    ours, formula = pair({"row_chunk": 4})
    mask = denoising_mask(3, 4, 10) if masked else None
    src, tgt = boxes(2, 22).requires_grad_(), boxes(2, 22, seed=1).requires_grad_()
    cotangent = torch.randn(2, 8, 22, 22)
    if masked:
        cotangent[..., mask] = 0.0  # as a softmax has it
    for module in (ours, formula):
        relation = module(src, tgt, mask)
        relation.backward(cotangent)
    for mine, theirs in zip(ours.parameters(), formula.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0, atol=2e-5 * float(theirs.grad.abs().max()))
    assert src.grad is None
    assert tgt.grad is None


def test_gradients_of_blocked_pairs_count_for_nothing():
    ours, _ = pair()
    src, mask = boxes(1, 12), denoising_mask(2, 3, 6)
    relation = ours(src, attn_mask=mask)
    relation.backward(torch.where(mask, 1.0, 0.0).expand_as(relation))
    assert all(not parameter.grad.any() for parameter in ours.parameters())


def test_a_backward_pass_of_one_image_is_that_image_alone():
    ours, _ = pair()
    src, tgt = boxes(2, 9), boxes(2, 9, seed=1)
    ours(src, tgt).sum().backward()
    both = [parameter.grad.clone() for parameter in ours.parameters()]
    ours.zero_grad()
    for image in range(2):
        ours(src[image : image + 1], tgt[image : image + 1]).sum().backward()
    for together, alone in zip(both, ours.parameters(), strict=True):
        torch.testing.assert_close(together, alone.grad, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("compute", position_relation.COMPUTE)
def test_blocked_pairs_are_minus_infinity_and_others_do_not_change(compute):
    module = PositionRelationEmbedding(compute=compute, row_chunk=5)
    src, mask = boxes(2, 30), denoising_mask(4, 5, 10)
    free, blocked = module(src), module(src, attn_mask=mask)
    assert (blocked[..., mask] == -torch.inf).all()
    torch.testing.assert_close(blocked[..., ~mask], free[..., ~mask], rtol=0, atol=1e-6)


def test_what_whole_chunks_of_rows_do_not_see_is_not_computed(monkeypatch):
    computed = []
    original = position_relation._logits

    def counted(*arguments):
        logits, features = original(*arguments)
        computed.append(logits[0].numel())
        return logits, features

    monkeypatch.setattr(position_relation, "_logits", counted)
    mask = denoising_mask(4, 5, 10)
    module = PositionRelationEmbedding(row_chunk=5)
    module(boxes(1, 30), attn_mask=mask)
    # Groups see from their own first column on, queries only the queries.
    assert computed == [5 * 30, 5 * 25, 5 * 20, 5 * 15, 5 * 10, 5 * 10]
    computed.clear()
    assert (module(boxes(1, 30), attn_mask=torch.ones_like(mask)) == -torch.inf).all()
    assert computed == []


def saved_bytes(module, *arguments):
    """Bytes of different tensors that a forward pass keeps for the backward pass, parameters aside."""
    parameters = {parameter.data_ptr() for parameter in module.parameters()}
    saved = {}

    def keep(tensor):
        if tensor.untyped_storage().data_ptr() not in parameters:
            saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = module(*arguments)  # held, lest its memory is handed out again
    assert result.requires_grad
    return sum(saved.values())


def test_a_training_step_keeps_the_boxes_instead_of_the_pairs():
    ours, formula = pair()
    src, tgt = boxes(1, 100), boxes(1, 100, seed=1)
    assert saved_bytes(formula, src, tgt) >= 64 * 100 * 100 * 4
    assert saved_bytes(ours, src, tgt) <= 2 * 100 * 4 * 4 + 8 * 8  # both boxes, and the frequencies


class Largest(TorchDispatchMode):
    """Notes the number of bytes of the largest tensor that an operation makes anew."""

    bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given, made = (
            {
                one.untyped_storage().data_ptr(): one.untyped_storage().nbytes()
                for one in tree_leaves(some)
                if torch.is_tensor(one)
            }
            for some in ((args, kwargs), result)
        )
        self.bytes = max([self.bytes, *(made[storage] for storage in made.keys() - given.keys())])
        return result


def test_nothing_is_larger_than_the_result():
    ours, formula = pair({"row_chunk": 5})
    src, tgt, mask = boxes(1, 150), boxes(1, 150, seed=1), denoising_mask(5, 10, 100)
    result = 8 * 150 * 150 * 4
    with Largest() as forward:
        relation = ours(src, tgt, mask)
    cotangent = torch.ones_like(relation)
    with Largest() as backward:
        relation.backward(cotangent)
    assert forward.bytes == result
    assert backward.bytes < result / 4  # features of boxes, not of pairs
    with Largest() as plain:
        formula(src, tgt)
    assert plain.bytes >= 8 * result  # 64 features instead of 8 heads


@pytest.mark.parametrize("compute", position_relation.COMPUTE)
def test_it_is_computed_in_single_precision_under_autocast(compute):
    module = PositionRelationEmbedding(compute=compute)
    src = boxes(1, 20)
    expected = module(src)
    with torch.autocast("cpu", torch.bfloat16):
        relation = module(src)
        relation.sum().backward()
    assert relation.dtype == torch.float32
    assert torch.equal(relation, expected)
    assert all(parameter.grad.dtype == torch.float32 for parameter in module.parameters())


def test_a_backward_pass_under_autocast_is_in_single_precision_too():
    gradients = []
    for autocast in (False, True):
        torch.manual_seed(0)
        module = PositionRelationEmbedding()
        relation = module(boxes(1, 20))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            relation.sum().backward()
        gradients.append([parameter.grad for parameter in module.parameters()])
    assert all(map(torch.equal, *gradients))


@pytest.mark.parametrize("compute", position_relation.COMPUTE)
def test_parameters_and_boxes_in_half_precision_are_taken_as_they_are(compute):
    module = PositionRelationEmbedding(compute=compute).bfloat16()
    rounded = copy.deepcopy(module).float()
    src = boxes(1, 20).bfloat16()
    relation = module(src)
    assert relation.dtype == torch.float32
    assert torch.equal(relation, rounded(src.float()))
    relation.sum().backward()
    assert module.pos_proj[0].weight.grad.dtype == torch.bfloat16


def test_parameters_have_the_official_names_and_initial_values():
    torch.manual_seed(0)
    module = PositionRelationEmbedding()
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert shapes == {"pos_proj.0.weight": (8, 64, 1, 1), "pos_proj.0.bias": (8,)}
    torch.nn.init.constant_(module.pos_proj[0].weight, 3.0)
    module.init_weights()
    assert 0.1 < module.pos_proj[0].weight.abs().max() <= 1 / 8  # PyTorch's default for 64 inputs


@pytest.mark.parametrize("sizes", [(0, 5), (5, 0), (0, 0)])
def test_no_boxes_are_no_error(sizes):
    module = PositionRelationEmbedding()
    relation = module(boxes(2, sizes[0]), boxes(2, sizes[1]))
    assert relation.shape == (2, 8, *sizes)
    relation.sum().backward()
    assert not module.pos_proj[0].weight.grad.any()


def test_degenerate_boxes_stay_finite():
    src = torch.tensor([[[0.5, 0.5, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0], [0.5, 0.5, 0.0, 0.0]]])
    ours, formula = pair()
    relation = ours(src)
    assert relation.isfinite().all()
    torch.testing.assert_close(relation, formula(src), rtol=0, atol=2e-3)


def test_it_compiles():
    module = PositionRelationEmbedding()
    src = boxes(1, 20)
    relation = torch.compile(module, backend="eager", fullgraph=True)(src)
    torch.testing.assert_close(relation, module(src), rtol=0, atol=2e-5)


def test_an_exported_program_holds_plain_operations_for_any_number_of_boxes():
    module = PositionRelationEmbedding().eval()
    number = torch.export.Dim("number", min=2, max=2000)
    program = torch.export.export(module, (boxes(1, 20),), dynamic_shapes=({1: number},))
    src = boxes(1, 33, seed=2)
    torch.testing.assert_close(program.module()(src), module(src), rtol=0, atol=2e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"embed_dim": 15}, "embed_dim=15.*even"),
        ({"embed_dim": 0}, "embed_dim=0.*even"),
        ({"row_chunk": 0}, "row_chunk=0.*1 or more"),
        ({"compute": "fast"}, "compute='fast'.*'fused' and 'reference'"),
    ],
)
def test_a_bad_setting_is_refused_by_name(config, message):
    with pytest.raises(ValueError, match=message):
        PositionRelationEmbedding(**config)


@pytest.mark.parametrize(
    ("src", "tgt", "mask", "error", "message"),
    [
        (boxes(1, 3)[0], None, None, ValueError, r"src must be boxes .* it is \(3, 4\)"),
        (boxes(1, 3), boxes(1, 3)[..., :2], None, ValueError, r"tgt must be boxes .* it is \(1, 3, 2\)"),
        (boxes(1, 3), boxes(2, 3), None, ValueError, "src has 1 images, tgt has 2"),
        (boxes(1, 3).long(), None, None, TypeError, "src must hold floating-point numbers.*int64"),
        (boxes(1, 3), None, torch.zeros(3, 3), TypeError, "attn_mask must be boolean.*float32"),
        (boxes(1, 3), None, torch.zeros(3, 2, dtype=torch.bool), ValueError, r"\(3, 3\).* it is \(3, 2\)"),
    ],
)
def test_bad_input_is_refused_by_name(src, tgt, mask, error, message):
    with pytest.raises(error, match=message):
        PositionRelationEmbedding()(src, tgt, mask)
