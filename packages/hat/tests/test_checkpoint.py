"""Official checkpoints: every key of every published network both ways, index tables, warm starts, misfits by name."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import MODELS

from mm_hat.checkpoint import (
    from_official,
    infer_config,
    is_official,
    load_strictly,
    require_same_model,
    settings_of,
    target,
    to_official,
    warm_start,
)
from mm_hat.checkpoint_sizes import OVERLAP_INDEX, WINDOW_INDEX, variant_of
from mm_hat.models.discriminator import UNetDiscriminatorWithSpectralNorm
from mm_hat.models.hat import HAT
from mm_hat.models.residual_hat import ResidualHAT
from mmrepro.checkpoint import CheckpointMismatchError, convert_file
from mmrepro.safe_loading import load
from mmrepro.testing import load_keys

KEYS = Path(__file__).parent / "parity"
GENERATORS = sorted(path.stem for path in KEYS.glob("keys_hat_*.json"))
SMALL = dict(
    img_size=16, window_size=8, compress_ratio=3, squeeze_factor=4, depths=(2, 1), embed_dim=12, num_heads=(2, 2)
)


def listed(name: str) -> dict:
    (found,) = load_keys(KEYS / f"{name}.json").values()
    return found


def meta_state(name: str) -> dict:
    found = listed(name)
    integers = set(found["integer_buffers"])
    return {
        key: torch.empty(shape, dtype=torch.long if key in integers else torch.float32, device="meta")
        for key, shape in found["state_dict"].items()
    }


def small(upscale: int = 2, **changes) -> torch.nn.Module:
    torch.manual_seed(7)
    return torch.nn.ModuleDict({"generator": HAT(**(SMALL | changes), upscale=upscale)})


def small_gan() -> torch.nn.Module:
    parts = {"generator": HAT(**SMALL, upscale=2), "discriminator": UNetDiscriminatorWithSpectralNorm(3, num_feat=4)}
    return torch.nn.ModuleDict(parts)


def same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_the_key_lists_are_all_there():
    assert [f"keys_hat_{size}x{scale}" for size in ("l_", "s_", "") for scale in (2, 3, 4)] == GENERATORS
    assert {path.stem for path in KEYS.glob("keys_*.json")} == {*GENERATORS, "keys_unet_discriminator_sn"}


@pytest.mark.parametrize("name", GENERATORS)
def test_every_official_key_is_converted_both_ways(name):
    official = meta_state(name)
    assert is_official(official)
    model = target(official)
    converted = from_official(official, model)
    assert not is_official(converted)
    assert {key: value.shape for key, value in converted.items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }
    assert len(converted) == len(official) - 2
    back = {key: list(value.shape) for key, value in to_official(converted).items()}
    assert back == listed(name)["state_dict"]


@pytest.mark.parametrize("name", GENERATORS)
def test_the_shapes_say_the_published_settings(name):
    official = meta_state(name)
    settings = infer_config(official)["model"]["generator"]
    size = {"s": "HAT-S", "l": "HAT-L"}.get(name.split("_")[2], "HAT")
    assert variant_of(settings) == f"{size} x{name[-1]}"
    published = dict(window_size=16, overlap_ratio=0.5, mlp_ratio=2, in_chans=3, qkv_bias=True, patch_norm=True)
    published |= dict(resi_connection="1conv", upsampler="pixelshuffle", squeeze_factor=24 if size == "HAT-S" else 30)
    published |= dict(num_heads=(6,) * (12 if size == "HAT-L" else 6), upscale=int(name[-1]))
    assert published.items() <= settings.items()
    assert infer_config(from_official(official))["model"]["generator"] == settings
    given = infer_config(official, conv_scale=0.5, img_range=255.0)["model"]["generator"]
    assert given == settings | {"conv_scale": 0.5, "img_range": 255.0}


def test_every_key_of_the_discriminator_is_converted_both_ways():
    official = meta_state("keys_unet_discriminator_sn")
    assert is_official(official)
    model = target(official)
    converted = from_official(official, model)
    assert all(key.startswith("discriminator.") for key in converted)
    assert {key: list(value.shape) for key, value in to_official(converted).items()} == listed(
        "keys_unet_discriminator_sn"
    )["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == 4_376_897
    assert infer_config(official)["model"] == {
        "discriminator": {"type": "UNetDiscriminatorWithSpectralNorm", "num_in_ch": 3, "num_feat": 64}
    }


def test_round_trip_is_exact_with_official_index_tables():
    model = small()
    official = to_official(model.state_dict())
    assert same(from_official(official, model), model.state_dict())
    assert same(to_official(from_official(official)), official)
    window, keys = 8, 12
    overlap = official[OVERLAP_INDEX]
    assert overlap.shape == (window**2, keys**2)
    assert (overlap.min(), overlap.max()) == (-(keys - 2) * (window + keys), window * (window + keys))
    # The first query and the first key, the slip included: (0 - 0 + M - Mo + 1) in both directions.
    assert overlap[0, 0] == (window - keys + 1) * (window + keys - 1) + (window - keys + 1)
    assert official[WINDOW_INDEX][0, 0] == (window - 1) * (2 * window - 1) + window - 1


@pytest.mark.parametrize("wrapper", ["params_ema", "params"])
def test_wrapped_official_files_are_understood(wrapper):
    official = to_official(small().state_dict())
    module = {f"module.{key}": value for key, value in official.items()}
    other = {key: torch.zeros_like(value) for key, value in official.items()}
    ours = from_official({"params": other} | {wrapper: module})
    assert same(ours, small().state_dict())


def test_an_index_counted_modulo_the_table_is_the_same_index():
    official = to_official(small().state_dict())
    wrapped = official | {OVERLAP_INDEX: official[OVERLAP_INDEX] % (8 + 12 - 1) ** 2}
    assert same(from_official(wrapped), small().state_dict())
    without = {key: value for key, value in official.items() if "index" not in key}
    assert same(from_official(without), small().state_dict())


def test_another_order_of_the_bias_tables_is_refused():
    official = to_official(small().state_dict())
    corrected = official[OVERLAP_INDEX] + (12 - 2) * (8 + 12)  # the offset + M - 1 that the official code meant
    with pytest.raises(CheckpointMismatchError, match=f"{OVERLAP_INDEX}: orders the rows of the bias tables otherwise"):
        from_official(official | {OVERLAP_INDEX: corrected})
    with pytest.raises(CheckpointMismatchError, match=WINDOW_INDEX):
        from_official(official | {WINDOW_INDEX: official[WINDOW_INDEX].flip(0)})
    with pytest.raises(CheckpointMismatchError, match=r"\(4, 4\) in the file, \(64, 64\) for its bias tables"):
        from_official(official | {WINDOW_INDEX: torch.zeros(4, 4, dtype=torch.long)})


def test_keys_that_do_not_fit_are_named():
    official = to_official(small().state_dict())
    missing = "layers.1.residual_group.overlap_attn.proj.bias"
    changed = {key: value for key, value in official.items() if key != missing} | {
        "layers.0.surplus": torch.zeros(1),
        "norm.bias": torch.zeros(3),
    }
    with pytest.raises(CheckpointMismatchError) as refused:
        from_official(changed, target(changed), "HAT_SRx2.pth")
    text = str(refused.value)
    assert "HAT_SRx2.pth does not fit" in text
    assert "no rule takes (1):\n    layers.0.surplus" in text
    assert missing in text
    assert "generator.norm.bias: (3,) in the file, (12,) in the model" in text


@pytest.mark.parametrize("changes", [dict(depths=(3, 2)), dict(embed_dim=8), dict(window_size=4), dict(upscale=3)])
@pytest.mark.parametrize("official", [False, True])
def test_the_model_of_a_file_is_built_from_it(changes, official):
    model = small(**changes)
    state = to_official(model.state_dict()) if official else model.state_dict()
    assert {key: value.shape for key, value in target(state).state_dict().items()} == {
        key: value.shape for key, value in model.state_dict().items()
    }


def test_options_that_add_or_leave_out_keys_are_seen():
    changes = dict(ape=True, patch_norm=False, qkv_bias=False, resi_connection="identity", overlap_ratio=0.25)
    model = small(**changes)
    found = infer_config(model.state_dict())["model"]["generator"]
    assert (changes | {"img_size": 16}).items() <= found.items()
    assert same(from_official(to_official(model.state_dict()), target(model.state_dict())), model.state_dict())
    denoiser = small(upscale=1, upsampler=None)
    found = infer_config(denoiser.state_dict())["model"]["generator"]
    assert (found["upscale"], found["upsampler"]) == (1, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers.100000.norm.weight", torch.zeros(1)),
        ("layers.0.residual_group.blocks.0.attn.relative_position_bias_table", torch.zeros(9, 7)),
        ("conv_first.weight", torch.zeros(5)),
        ("upsample.0.weight", torch.zeros(3)),
    ],
)
def test_a_misshapen_file_gives_an_error_not_a_crash(key, value):
    state = to_official(small().state_dict()) | {key: value}
    with pytest.raises(CheckpointMismatchError):
        from_official(state, target(state))


def test_a_warm_start_from_x2_leaves_exactly_two_keys():
    model = small(upscale=4)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start = small(upscale=2)
    for weight in start.parameters():
        weight.data.add_(1)
    fresh = ["generator.upsample.2.weight", "generator.upsample.2.bias"]
    assert warm_start(model, {"params_ema": to_official(start.state_dict())}) == fresh
    after = model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in fresh)
    assert all(torch.equal(after[key], value) for key, value in start.state_dict().items())
    assert warm_start(small(upscale=3), start.state_dict()) == [
        "generator.upsample.0.weight",
        "generator.upsample.0.bias",
    ]
    with pytest.raises(CheckpointMismatchError, match="embed_dim: 12 in the file, 8 in the config"):
        warm_start(small(upscale=4, embed_dim=8), start.state_dict())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        (dict(upscale=4), "upscale: 2 in the file, 4 in the config. Fix: set model.generator.upscale=2"),
        (dict(embed_dim=8), "embed_dim: 12 in the file, 8 in the config"),
        (dict(depths=(2, 2)), r"depths: \(2, 1\) in the file, \(2, 2\) in the config"),
    ],
)
def test_a_wrong_scale_or_variant_is_named(changes, named):
    with pytest.raises(CheckpointMismatchError, match=named):
        load_strictly(small(**changes), {"params": to_official(small().state_dict())})


def test_published_variants_are_called_by_their_names():
    with torch.device("meta"):
        model = torch.nn.ModuleDict({"generator": HAT(upscale=4)})
    with pytest.raises(CheckpointMismatchError, match="the file is HAT-L x2, the config HAT x4"):
        require_same_model(model, {"params": meta_state("keys_hat_l_x2")})
    with pytest.raises(CheckpointMismatchError, match="a discriminator in the file"):
        require_same_model(model, {"params": meta_state("keys_unet_discriminator_sn")})


def test_what_no_shape_shows_is_compared_by_the_meta():
    model = small(conv_scale=0.5)
    meta = {"model": {"generator": {"conv_scale": 0.01, "img_range": 1.0}}}
    load_strictly(model, model.state_dict())
    with pytest.raises(CheckpointMismatchError, match=r"conv_scale: 0\.01 in the file, 0\.5 in the config"):
        load_strictly(model, {"state_dict": model.state_dict(), "meta": meta})


def test_a_gan_takes_both_parts_and_gives_each():
    gan, other = small_gan(), small_gan()
    load_strictly(gan, {"state_dict": other.state_dict()})
    assert same(gan.state_dict(), other.state_dict())
    parts = {part: to_official(gan.state_dict(), part=part) for part in ("generator", "discriminator")}
    assert {
        **from_official(parts["generator"]),
        **from_official(parts["discriminator"]),
    }.keys() == gan.state_dict().keys()
    fresh = small_gan()
    discriminator = {k: v.clone() for k, v in fresh.state_dict().items() if k.startswith("discriminator.")}
    load_strictly(fresh, {"params_ema": parts["generator"]})
    assert same({k: v for k, v in fresh.state_dict().items() if k in discriminator}, discriminator)


def test_a_file_is_converted_and_back(tmp_path):
    official = to_official(small().state_dict())
    torch.save({"params": official, "params_ema": official}, tmp_path / "HAT_SRx2.pth")
    meta = convert_file("hat", tmp_path / "HAT_SRx2.pth", tmp_path / "ours.safetensors")
    assert meta["model"]["generator"]["upscale"] == 2
    model = MODELS.build(dict(type="ImageRestorer", generator=dict(type="HAT", **SMALL, upscale=2)))
    load_strictly(model, load(tmp_path / "ours.safetensors"))
    assert same(model.state_dict(), small().state_dict())
    convert_file("hat", tmp_path / "ours.safetensors", tmp_path / "back.pth", to_official=True)
    assert same(load(tmp_path / "back.pth"), official)


def residual() -> torch.nn.Module:
    return torch.nn.ModuleDict({"generator": ResidualHAT(**SMALL, upscale=2)})


def saved(model: torch.nn.Module) -> dict:
    """Return a checkpoint as the hook writes it."""
    return {"state_dict": model.state_dict(), "meta": {"model": {"generator": settings_of(model)}}}


def test_a_network_with_the_same_keys_is_another_one():
    for model, other in ((small(), residual()), (residual(), small())):
        load_strictly(model, saved(model))
        here, there = (type(each["generator"]).__name__ for each in (model, other))
        with pytest.raises(CheckpointMismatchError, match=f"type: {there} in the file, {here} in the config"):
            load_strictly(model, saved(other))
        require_same_model(model, saved(other), ignore=["type"])
    with pytest.raises(CheckpointMismatchError, match=r"a HAT of width 12 .* the config a ResidualHAT of width 12"):
        load_strictly(residual(), {"params": to_official(small().state_dict())})


def test_a_checkpoint_that_does_not_say_its_type_is_not_compared_in_it():
    load_strictly(residual(), {"state_dict": small().state_dict(), "meta": {"model": {"generator": {}}}})


def test_only_what_the_official_code_has_is_written_in_its_layout(tmp_path):
    torch.save(saved(residual()), tmp_path / "residual.pth")
    with pytest.raises(CheckpointMismatchError, match=r"residual\.pth[\s\S]*its generator is a ResidualHAT"):
        convert_file("hat", tmp_path / "residual.pth", tmp_path / "official.pth", to_official=True)
    assert not (tmp_path / "official.pth").exists()
    torch.save(saved(small()), tmp_path / "hat.pth")
    convert_file("hat", tmp_path / "hat.pth", tmp_path / "official.pth", to_official=True)
