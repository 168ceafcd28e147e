"""iInformer, iReformer, iFlowformer, iFlashformer: attentions against plain loops, and what holds for any weights."""

import math

import pytest
import torch
import torch.nn.functional as F

from mm_itransformer.models import (
    FlashAttention,
    FlowAttention,
    FullAttention,
    ITransformer,
    LSHAttention,
    ProbSparseAttention,
)
from mm_itransformer.models.flow_attention import flow_attention
from mm_itransformer.models.lsh_attention import lsh_attention
from mm_itransformer.models.prob_sparse_attention import merge_heads, prob_sparse_attention
from mmrepro.checkpoint import save
from mmrepro.safe_loading import load

SMALL = {"seq_len": 24, "pred_len": 12, "d_model": 32, "n_heads": 4, "e_layers": 2, "d_ff": 48}
FLOW, FLASH, LSH = ({"type": f"{name}Attention"} for name in ("Flow", "Flash", "LSH"))
PROB = {"type": "ProbSparseAttention"}
ALL_QUERIES = PROB | {"factor": 5}  # of 9 tokens all are active then
VARIANTS = [FLOW, FLASH, PROB, LSH]
WITHOUT_CHANCE = [FLOW, FLASH, ALL_QUERIES | {"head_layout": "fixed"}]


def name_of(attention: dict) -> str:
    return "-".join(map(str, attention.values()))


def each(attentions: list[dict]):
    return pytest.mark.parametrize("attention", attentions, ids=name_of)


def build(attention: dict, **changes) -> ITransformer:
    torch.manual_seed(0)
    return ITransformer(**(SMALL | changes), attention=attention).eval()


def windows(variates: int = 5, batch: int = 3) -> dict:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(batch, 24, variates, generator=generator)
    return {"inputs": inputs, "marks": torch.rand(batch, 24, 4, generator=generator) - 0.5}


def seeded(model: ITransformer, inputs: torch.Tensor, marks: torch.Tensor | None = None) -> torch.Tensor:
    torch.manual_seed(7)
    with torch.no_grad():
        return model(inputs, marks)


def heads(*sizes: tuple[int, int], batch: int = 2, count: int = 3, dtype=torch.float64) -> list[torch.Tensor]:
    """Return random tensors (batch, count, tokens, width), one per size."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(batch, count, *size, generator=generator, dtype=dtype) for size in sizes]


# The attentions against loops over windows, heads and tokens


@pytest.mark.parametrize("n_keys", [7, 4])
def test_flow_attention_is_its_formula(n_keys):
    q, k, v = heads((7, 5), (n_keys, 5), (n_keys, 5))
    expected = torch.empty_like(q)
    for b, h in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        q_, k_, eps = q[b, h].sigmoid(), k[b, h].sigmoid(), 1e-6
        incoming = torch.stack([1 / ((row + eps) @ (k_.sum(0) + eps)) for row in q_])
        outgoing = torch.stack([1 / ((row + eps) @ (q_.sum(0) + eps)) for row in k_])
        conserved_in = torch.stack([(row + eps) @ ((k_ * outgoing[:, None]).sum(0) + eps) for row in q_])
        conserved_out = torch.stack([(row + eps) @ ((q_ * incoming[:, None]).sum(0) + eps) for row in k_])
        competition = conserved_out.softmax(0) * n_keys
        for i, row in enumerate(q_):
            sent = sum(row @ key * value * weight for key, value, weight in zip(k_, v[b, h], competition, strict=True))
            expected[b, h, i] = sent * incoming[i] * (conserved_in[i] * 7 / n_keys).sigmoid()
    torch.testing.assert_close(flow_attention(q, k, v), expected)


@pytest.mark.parametrize("width", [2, 16])  # few numbers to draw for narrow heads, all scores at once for wide ones
@pytest.mark.parametrize(("n_queries", "n_keys", "causal"), [(20, 20, False), (20, 20, True), (11, 20, False)])
def test_prob_sparse_attention_is_its_description(width, n_queries, n_keys, causal):
    q, k, v = heads((n_queries, width), (n_keys, width), (n_keys, width))
    index = torch.randint(n_keys, (n_queries, 4), generator=torch.Generator().manual_seed(5))
    context, weights = prob_sparse_attention(q, k, v, 1, index, causal, need_map=True)
    active = math.ceil(math.log(n_queries))
    for b, h in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        q_, k_, v_ = q[b, h], k[b, h], v[b, h]
        sampled = torch.stack([k_[index[i]] @ row for i, row in enumerate(q_)])
        chosen = (sampled.max(1).values - sampled.sum(1) / n_keys).topk(active).indices.tolist()
        for i, row in enumerate(q_):
            seen = i + 1 if causal else n_keys
            mix = F.pad((k_[:seen] @ row / width**0.5).softmax(0), (0, n_keys - seen))
            rest = v_[:seen].sum(0) if causal else v_.mean(0)
            torch.testing.assert_close(context[b, h, i], mix @ v_ if i in chosen else rest)
            torch.testing.assert_close(weights[b, h, i], mix if i in chosen else torch.full_like(mix, 1 / n_keys))


@pytest.mark.parametrize("causal", [False, True])
def test_prob_sparse_attention_of_all_queries_is_softmax_attention(causal):
    q, k, v = heads((9, 4), (9, 4), (9, 4))
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(prob_sparse_attention(q, k, v, 5, causal=causal)[0], expected)


def test_causal_attention_needs_as_many_queries_as_keys():
    q, k, v = heads((5, 4), (9, 4), (9, 4))
    with pytest.raises(ValueError, match="as many queries as keys, not 5 and 9"):
        prob_sparse_attention(q, k, v, 1, causal=True)


def lsh_of_one_head(qk: torch.Tensor, v: torch.Tensor, rotations: torch.Tensor) -> torch.Tensor:
    """Return what one head of one window (t, d) of a padded length gives, by chunks of 4 tokens."""
    tokens, width = qk.shape
    places, chunks = [], []
    for rotation in rotations[0].unbind(1):
        rotated = qk @ rotation
        buckets = torch.cat([rotated, -rotated], 1).argmax(1).tolist()
        places += sorted(range(tokens), key=lambda i, buckets=buckets: (buckets[i], i))
    chunks = [places[i : i + 4] for i in range(0, len(places), 4)]
    results: list[list] = [[] for _ in range(tokens)]
    for number, chunk in enumerate(chunks):
        keys = chunk + chunks[number - 1]
        for i in chunk:
            unit = F.normalize(qk[keys], dim=1)
            scores = unit @ qk[i] / width**0.5
            scores[torch.tensor(keys) == i] = -5e4
            results[i].append((scores.softmax(0) @ v[keys], scores.logsumexp(0)))
    mixed = []
    for rounds in results:
        weights = torch.stack([norm for _, norm in rounds]).softmax(0)
        mixed.append(sum(weight * value for weight, (value, _) in zip(weights, rounds, strict=True)))
    return torch.stack(mixed)


@pytest.mark.parametrize("tokens", [16, 13, 3])
def test_lsh_attention_is_its_description(tokens):
    qk, v = heads((tokens, 6), (tokens, 6))
    padding = -tokens % 8
    rotations = torch.randn(1, 6, 3, (tokens + padding) // 8, generator=torch.Generator().manual_seed(5)).double()
    mixed = lsh_attention(qk, v, 4, 3, rotations)
    assert mixed.shape == v.shape
    for b, h in torch.cartesian_prod(torch.arange(2), torch.arange(3)).tolist():
        padded = (F.pad(x[b, h], (0, 0, 0, padding)) for x in (qk, v))
        torch.testing.assert_close(mixed[b, h], lsh_of_one_head(*padded, rotations)[:tokens])


def test_rotations_are_the_same_at_lower_precision():
    qk, v = heads((13, 6), (13, 6), dtype=torch.bfloat16)
    torch.manual_seed(7)
    drawn = lsh_attention(qk, v, 4, 3)
    torch.manual_seed(7)
    torch.testing.assert_close(drawn, lsh_attention(qk, v, 4, 3, torch.randn(1, 6, 3, 2)), atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_appended_zeros_have_a_direction_at_lower_precision(dtype):
    qk, v = (x.to(dtype) for x in heads((5, 4), (5, 4), dtype=torch.float32))
    rotations = torch.randn(1, 4, 2, 1, generator=torch.Generator().manual_seed(5))
    low, exact = lsh_attention(qk, v, 4, 2, rotations), lsh_attention(qk.float(), v.float(), 4, 2, rotations)
    torch.testing.assert_close(low.float(), exact, atol=0.05, rtol=0.05)


def test_gradients_are_those_of_the_numbers():
    index = torch.randint(6, (6, 2), generator=torch.Generator().manual_seed(5))
    rotations = torch.randn(1, 3, 2, 1, generator=torch.Generator().manual_seed(5))
    q, k, v = (x.requires_grad_() for x in heads((6, 3), (6, 3), (6, 3), batch=1, count=2))
    assert torch.autograd.gradcheck(flow_attention, (q, k, v))
    for causal in (False, True):
        assert torch.autograd.gradcheck(lambda *x, c=causal: prob_sparse_attention(*x, 1, index, c)[0], (q, k, v))
    assert torch.autograd.gradcheck(lambda *x: lsh_attention(*x, 2, 2, rotations.expand(-1, -1, -1, 2)), (q, v))


# The modules


def test_flash_attention_is_full_attention_without_dropout():
    torch.manual_seed(0)
    full, flash = FullAttention(32, 4, dropout=0.5).eval(), FlashAttention(32, 4, dropout=0.5)
    flash.load_state_dict(full.state_dict())
    tokens = torch.randn(2, 9, 32)
    torch.testing.assert_close(flash.train()(tokens)[0], full(tokens)[0])


def test_with_all_queries_the_fixed_layout_is_full_attention_and_the_reference_mixes_tokens():
    torch.manual_seed(0)
    full = FullAttention(32, 4).eval()
    fixed, reference = (ProbSparseAttention(32, 4, factor=5, head_layout=x) for x in ("fixed", "reference"))
    for module in (fixed, reference):
        module.load_state_dict(full.state_dict())
    tokens = torch.randn(2, 9, 32)
    mixed, weights = full(tokens, need_map=True)
    for ours, expected in zip(fixed(tokens, need_map=True), (mixed, weights), strict=True):
        torch.testing.assert_close(ours, expected)
    values = full.qkv(tokens)[..., 64:].unflatten(-1, (4, 8)).transpose(1, 2)
    scrambled = full.proj((weights @ values).reshape(2, 9, 32))
    torch.testing.assert_close(reference(tokens)[0], scrambled)
    assert (scrambled - mixed).abs().max() > 0.05


def test_heads_are_merged_in_their_two_layouts():
    context = torch.arange(12).view(1, 2, 3, 2)
    assert merge_heads(context, "fixed").tolist() == [[[0, 1, 6, 7], [2, 3, 8, 9], [4, 5, 10, 11]]]
    assert merge_heads(context, "reference").tolist() == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]]


@pytest.mark.parametrize(
    ("cls", "arguments", "message"),
    [
        (FlowAttention, {"d_model": 4, "n_heads": 8}, "d_model=4 is smaller than n_heads=8"),
        (FlashAttention, {"d_model": 4, "n_heads": 8}, "d_model=4 is smaller than n_heads=8"),
        (ProbSparseAttention, {"d_model": 4, "n_heads": 8}, "d_model=4 is smaller than n_heads=8"),
        (LSHAttention, {"d_model": 4, "n_heads": 8}, "d_model=4 is smaller than n_heads=8"),
        (ProbSparseAttention, {"head_layout": "mended"}, "head_layout='mended' is not one of .*'reference', 'fixed'"),
        (ProbSparseAttention, {"factor": 0}, "factor=0 is not positive"),
        (LSHAttention, {"bucket_size": 0}, "bucket_size=0"),
        (LSHAttention, {"n_hashes": 0}, "n_hashes=0"),
    ],
)
def test_wrong_arguments_are_refused(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**({"d_model": 8, "n_heads": 2} | arguments))


@pytest.mark.filterwarnings("ignore:d_model=32 is no multiple")
@each(VARIANTS)
def test_a_head_width_that_does_not_divide_keeps_the_official_inner_width(attention):
    model = build(attention, n_heads=5)
    assert model.backbone.layers[0].attn.proj.weight.shape == (32, 30)
    assert model(**windows()).shape == (3, 12, 5)


# The models


@each(WITHOUT_CHANCE)
def test_permuting_variates_permutes_the_forecast(attention):
    model, batch, order = build(attention), windows(), torch.tensor([3, 0, 4, 1, 2])
    permuted = model(batch["inputs"][..., order], batch["marks"])
    torch.testing.assert_close(permuted, model(**batch)[..., order], atol=1e-5, rtol=1e-5)


@each([FLOW, FLASH])
def test_two_passes_are_equal(attention):
    model, batch = build(attention), windows()
    torch.testing.assert_close(model(**batch), model(**batch), atol=0, rtol=0)


@each([PROB, LSH])
def test_two_passes_are_equal_when_seeded_and_differ_otherwise(attention):
    model, batch = build(attention), windows()
    first = seeded(model, **batch)
    assert (model(**batch) - first).abs().max() > 1e-4
    torch.testing.assert_close(seeded(model, **batch), first, atol=0, rtol=0)


@each(VARIANTS)
def test_windows_of_a_batch_share_the_draws_and_do_not_see_each_other(attention):
    model, batch = build(attention), windows()
    alone = torch.cat([seeded(model, batch["inputs"][i : i + 1], batch["marks"][i : i + 1]) for i in range(3)])
    torch.testing.assert_close(seeded(model, **batch), alone, atol=1e-6, rtol=1e-5)


@each(VARIANTS)
def test_scaled_and_shifted_windows_give_scaled_and_shifted_forecasts(attention):
    model, batch = build(attention), windows()
    scale, shift = torch.tensor([2.0, 0.5, 3.0, 1.0, 7.0]), torch.tensor([1.0, -4.0, 0.0, 20.0, 3.0])
    moved = seeded(model, batch["inputs"] * scale + shift, batch["marks"])
    torch.testing.assert_close(moved, seeded(model, **batch) * scale + shift, atol=2e-4, rtol=2e-4)


@each(VARIANTS)
def test_number_of_variates_is_free(attention):
    model = build(attention)
    assert [model(windows(v, batch=1)["inputs"]).shape[-1] for v in (1, 2, 17)] == [1, 2, 17]


@each(VARIANTS)
def test_every_parameter_gets_a_gradient(attention):
    model = build(attention).train()
    model(**windows(), targets=torch.randn(3, 12, 5), mode="loss")["loss_mse"].backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@each(VARIANTS)
def test_activation_checkpointing_draws_the_same_again(attention):
    gradients = []
    for with_cp in (False, True):
        model = build(attention, dropout=0.3, with_cp=with_cp).train()
        torch.manual_seed(5)
        model(**windows(), targets=torch.ones(3, 12, 5), mode="loss")["loss_mse"].backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(checkpointed, plain, atol=1e-7, rtol=1e-5)


@each(VARIANTS)
def test_bfloat16_autocast_trains_and_stays_close(attention):
    model, batch, targets = build(attention, dropout=0.0).train(), windows(), torch.ones(3, 12, 5)
    torch.manual_seed(5)
    exact = model(**batch, targets=targets, mode="loss")["loss_mse"]
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(**batch, targets=targets, mode="loss")["loss_mse"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() != exact.item()
    torch.testing.assert_close(loss, exact, atol=0, rtol=0.02)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@each(VARIANTS)
def test_save_and_load_is_the_identity(tmp_path, attention):
    model, batch = build(attention), windows()
    save(tmp_path / "model.safetensors", model.state_dict(), {"model": model.settings})
    stored = load(tmp_path / "model.safetensors")
    assert stored["meta"]["model"] == model.settings
    other = ITransformer(**stored["meta"]["model"]).eval()
    other.load_state_dict(stored["state_dict"])
    torch.testing.assert_close(seeded(other, **batch), seeded(model, **batch), atol=0, rtol=0)


@pytest.mark.parametrize("factor", [1, 5])
def test_prob_sparse_maps_have_a_few_rows_of_their_own(factor):
    model, batch = build(PROB | {"factor": factor}), windows()
    maps = torch.stack([sample["attention"] for sample in model.predict(**batch, with_attention=True)])
    assert maps.shape == (3, 2, 4, 9, 9)
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, 2, 4, 9), atol=1e-5, rtol=0)
    active = (maps != torch.tensor(1 / 9)).any(-1)
    assert (active.sum(-1) == min(factor * 3, 9)).all()


def test_asking_for_prob_sparse_maps_changes_no_forecast():
    model, batch = build(PROB), windows()
    torch.manual_seed(7)
    forecasts = torch.stack([sample["forecast"] for sample in model.predict(**batch, with_attention=True)])
    torch.testing.assert_close(forecasts, seeded(model, **batch), atol=1e-6, rtol=1e-5)


@each([FLOW, FLASH, LSH])
def test_maps_asked_of_an_attention_without_them_are_refused_by_its_name(attention):
    model, batch = build(attention), windows()
    assert not model.has_maps
    with pytest.raises(ValueError, match=rf"{attention['type']} .* no attention maps. Fix: set with_attention=False"):
        model(**batch, mode="predict", with_attention=True)
    assert "attention" not in model(**batch, mode="predict")[0]


def test_settings_say_the_attention_with_its_defaults():
    assert build(PROB).settings["attention"] == PROB | {"factor": 1, "head_layout": "reference"}
    assert build(LSH | {"n_hashes": 2}).settings["attention"] == LSH | {"bucket_size": 4, "n_hashes": 2}
    assert build({"type": FlowAttention, "dropout": 0.2}).settings["attention"] == FLOW
    assert ITransformer(**SMALL).settings["attention"] == {"type": "FullAttention"}
