"""The attention module: three official implementations, and mmcv's own module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mmrepro.testing.cases import Case, check, load_case

pytest.importorskip("mmcv.ops", reason="the module is a subclass of mmcv's")

from mmcv.ops import MultiScaleDeformableAttention as Mmcv

from mmrepro.ops import MultiScaleDeformableAttention

PARITY = Path(__file__).parents[1] / "parity"


def module_of(case: Case, prefix: str, **sizes: int) -> MultiScaleDeformableAttention:
    """Build our module with an official state dict; a prefix is cut off its keys."""
    module = MultiScaleDeformableAttention(batch_first=True, dropout=0.0, **sizes)
    state = {key.removeprefix(prefix): torch.from_numpy(weight) for key, weight in case.state_dict().items()}
    module.load_state_dict(state)
    return module


def tables(shapes: list) -> dict[str, torch.Tensor]:
    spatial_shapes = torch.tensor(shapes)
    sizes = spatial_shapes.prod(1)
    return {"spatial_shapes": spatial_shapes, "level_start_index": sizes.cumsum(0) - sizes}


def test_relation_detr():
    case = load_case(PARITY / "relation_detr_ms_deform_attn")
    prefix = "transformer.decoder.layers.0.cross_attn."
    sizes = {key: case.config[key] for key in ("num_heads", "num_levels", "num_points")}
    module = module_of(case, prefix, embed_dims=case.config["embed_dim"], **sizes)
    given = {name: torch.from_numpy(array) for name, array in case.inputs.items()}
    levels = tables(case.manifest["given"]["spatial_shapes"])
    outputs = {
        f"out{n}": module.attend(
            given["query"], given["value"], given[f"ref{n}"], **levels, key_padding_mask=given["padding_mask"]
        )
        for n in (2, 4)
    }
    ((outputs["out2"] + outputs["out4"]) * given["cotangent"]).sum().backward()
    arrays = {name: output.detach().numpy() for name, output in outputs.items()}
    norms = {f"grad_norms/{prefix}{key}": one.grad.norm().numpy() for key, one in module.named_parameters()}
    check(case, arrays | norms)


def test_vidt():
    case = load_case(PARITY / "vidt_ms_deform_attn")
    module = module_of(case, "msda.")
    given = {name: torch.from_numpy(array) for name, array in case.inputs.items()}
    padding = torch.zeros(given["value"].shape[:2], dtype=torch.bool)
    padding[-1, 3:9] = padding[-1, -5:] = True
    outputs = {
        f"msda_ref{n}": module.attend(
            given["query"],
            given["value"],
            given["ref"][..., :n],
            **tables(case.config["shapes"]),
            key_padding_mask=padding,
        )
        for n in (2, 4)
    }
    check(case, {name: output.detach().numpy() for name, output in outputs.items()})


def test_vit_comer():
    case = load_case(PARITY / "vit_comer_ms_deform_attn")
    module = module_of(
        case,
        "msda.",
        embed_dims=case.config["dim"],
        num_heads=case.config["num_heads"],
        num_levels=3,
        num_points=case.config["n_points"],
        value_proj_ratio=case.config["deform_ratio"],
    )
    height, width = case.config["H"], case.config["W"]
    shapes = [[2 * height, 2 * width], [height, width], [height // 2, width // 2]]
    rows = [
        torch.stack(torch.meshgrid((torch.arange(w) + 0.5) / w, (torch.arange(h) + 0.5) / h, indexing="xy"), -1)
        for h, w in shapes
    ]
    reference_points = torch.cat([row.flatten(0, 1) for row in rows])[None, :, None]
    query = torch.from_numpy(case.inputs["c"])
    output = module.attend(query, 0.7 * query, reference_points, **tables(shapes))
    check(case, {"msda": output.detach().numpy(), "reference_points": reference_points.numpy()})


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("coordinates", [2, 4])
@pytest.mark.parametrize("defaults", [True, False])
def test_it_is_a_drop_in_for_mmcv(batch_first, coordinates, defaults):
    torch.manual_seed(0)
    sizes = {"embed_dims": 24, "num_heads": 3, "num_levels": 2, "num_points": 3, "value_proj_ratio": 0.5}
    theirs = Mmcv(**sizes, dropout=0.0, batch_first=batch_first)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = MultiScaleDeformableAttention(**sizes, dropout=0.0, batch_first=batch_first)
    ours.load_state_dict(theirs.state_dict())
    assert isinstance(ours, Mmcv)  # mmdet initialises by type
    levels = tables([[3, 4], [2, 2]])
    # where all is left to its default, the query is also the value and the identity
    queries = 16 if defaults else 5
    given = {"query": torch.randn(2, queries, 24)}
    if not defaults:
        given |= {"value": torch.randn(2, 16, 24), "identity": torch.randn(2, queries, 24)}
        given["query_pos"] = torch.randn(2, queries, 24)
        padding = torch.rand(2, 16) > 0.7
    if not batch_first:
        given = {name: one.transpose(0, 1) for name, one in given.items()}
    given["reference_points"] = torch.rand(2, queries, 2, coordinates)
    if not defaults:
        given["key_padding_mask"] = padding
    expected, actual = theirs(**given, **levels), ours(**given, **levels)
    # float32: another order of summation
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
    wanted = torch.autograd.grad(expected.square().sum(), list(theirs.parameters()))
    found = torch.autograd.grad(actual.square().sum(), list(ours.parameters()))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


def test_dropout_falls_on_the_attention_and_not_on_the_identity():
    module = MultiScaleDeformableAttention(8, num_heads=2, num_levels=1, dropout=1.0, batch_first=True).train()
    query = torch.randn(1, 4, 8)
    output = module(query, reference_points=torch.rand(1, 4, 1, 2), **tables([[2, 2]]))
    assert torch.equal(output, query)


def test_values_projected_once_serve_several_calls():
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(16, 4, 2, dropout=0.0, batch_first=True)
    levels = tables([[3, 4], [2, 1]])
    value, padding = torch.randn(2, 14, 16), torch.rand(2, 14) < 0.3
    projected = module.project(value, padding)
    assert projected.shape == (2, 14, 4, 4)
    assert padding.any()
    assert not projected[padding].any()
    for queries in (3, 5):
        query, points = torch.randn(2, queries, 16), torch.rand(2, queries, 2, 2)
        expected = module.attend(query, value, points, **levels, key_padding_mask=padding)
        assert torch.equal(module.attend_projected(query, projected, points, **levels), expected)


def test_reference_points_have_two_or_four_coordinates():
    module = MultiScaleDeformableAttention(8, num_heads=2, num_levels=1, batch_first=True)
    with pytest.raises(ValueError, match="reference points have 2 or 4 coordinates, these have 6"):
        module(torch.randn(1, 4, 8), reference_points=torch.rand(1, 4, 1, 6), **tables([[2, 2]]))


def test_reference_points_of_other_levels_are_refused():
    module = MultiScaleDeformableAttention(8, num_heads=2, num_levels=2, batch_first=True)
    with pytest.raises(ValueError, match=r"reference_points must be \(B, N, L, 2 or 4\) with L = 2 levels"):
        module(torch.randn(1, 8, 8), reference_points=torch.rand(1, 8, 3, 2), **tables([[2, 2], [2, 2]]))


def test_autocast_projects_in_half_and_samples_in_single_precision():
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(32, num_heads=2, num_levels=1, batch_first=True, dropout=0.0)
    torch.nn.init.normal_(module.sampling_offsets.weight, std=0.3)
    query, reference_points = torch.randn(1, 64, 32), torch.rand(1, 64, 1, 2)
    exact = module.attend(query, query, reference_points, **tables([[8, 8]]))
    with torch.autocast("cpu", torch.bfloat16):
        rounded = module.attend(query, query, reference_points, **tables([[8, 8]]))
    assert rounded.dtype == torch.bfloat16
    # bfloat16 has 8 bits: the projections alone round by 2 ** -8 of the largest value
    assert np.abs((rounded.float() - exact).detach().numpy()).max() < 0.03 * float(exact.detach().abs().max())


def test_weights_stay_in_single_precision_under_autocast(monkeypatch):
    given = []

    def noted(value, shapes, starts, locations, weights):
        given.extend((locations.dtype, weights.dtype))
        return torch.zeros(1, 64, 32)

    monkeypatch.setattr("mmrepro.ops.deformable_attention.ms_deform_attn", noted)
    module = MultiScaleDeformableAttention(32, num_heads=2, num_levels=1, batch_first=True, dropout=0.0)
    query = torch.randn(1, 64, 32)
    with torch.autocast("cpu", torch.bfloat16):
        module.attend(query, query, torch.rand(1, 64, 1, 2), **tables([[8, 8]]))
    assert given == [torch.float32, torch.float32]
