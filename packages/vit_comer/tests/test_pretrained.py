"""Weights of public ViTs: each source fills the trunk, the report says what became of every key, misfits are named."""

import hashlib
import io
import logging
from pathlib import Path

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS

import mm_vit_comer.pretrained
from mm_vit_comer.models.vit_baseline import ViTBaseline
from mm_vit_comer.models.vit_comer import ViTCoMer
from mm_vit_comer.pretrained import file_weights, source_of_weights, trunk_weights
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.safe_loading import UnreadableCheckpointError, UnsafeCheckpointError

WIDTH, DEPTH, HEADS = 16, 4, 2
SMALL = dict(
    arch=dict(embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS),
    conv_inplane=4,
    deform_num_heads=2,
    norm_cfg=dict(type="BN"),
)


def public(
    source: str, grid: int = 4, patch: int = 16, depth: int = DEPTH, window: int = 4, width: int = WIDTH
) -> dict[str, torch.Tensor]:
    """Return a file's state dict as the project that published it writes it."""
    d = width
    shapes = {"cls_token": (1, 1, d), "patch_embed.proj.weight": (d, 3, patch, patch), "patch_embed.proj.bias": (d,)}
    tables = {"relative_position_bias_table": ((2 * window - 1) ** 2 + 3, HEADS)}
    for i in range(depth):
        block = {f"{name}.{leaf}": (d,) for name in ("norm1", "norm2") for leaf in ("weight", "bias")}
        block |= {"attn.qkv.weight": (3 * d, d), "attn.proj.weight": (d, d), "attn.proj.bias": (d,)}
        block |= {"mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,), "mlp.fc2.weight": (d, 4 * d)}
        block |= {"mlp.fc2.bias": (d,)}
        if source == "dinov2":
            block |= {"ls1.gamma": (d,), "ls2.gamma": (d,)}
        if source.startswith("beit"):
            block |= {"gamma_1": (d,), "gamma_2": (d,), "attn.q_bias": (d,), "attn.v_bias": (d,)}
            block |= {f"attn.{name}": shape for name, shape in tables.items()} if source == "beit" else {}
            block |= {"attn.relative_position_index": (window**2 + 1,) * 2} if source == "beit" else {}
        else:
            block |= {"attn.qkv.bias": (3 * d,)}
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in block.items()}
    if not source.startswith("beit"):
        shapes["pos_embed"] = (1, grid * grid + 1 + (source == "distilled"), d)
    if source == "beit_shared":
        shapes |= {f"rel_pos_bias.{name}": shape for name, shape in tables.items()} | {"mask_token": (1, 1, d)}
    extra = {
        "deit": {"head.weight": (1000, d), "head.bias": (1000,)},
        "distilled": {"head.weight": (1000, d), "dist_token": (1, 1, d), "head_dist.weight": (1000, d)},
        "augreg": {"head.weight": (21843, d), "pre_logits.fc.weight": (d, d)},
        "mae": {"mask_token": (1, 1, d), "decoder_embed.weight": (8, d), "decoder_blocks.0.norm1.bias": (8,)},
        "dinov2": {"mask_token": (1, d), "register_tokens": (1, 4, d)},
        "beit": {"fc_norm.weight": (d,), "head.weight": (1000, d)},
        "beit_shared": {"lm_head.weight": (8192, d)},
    }
    shapes |= extra[source] if source.startswith("beit") else extra[source] | {"norm.weight": (d,), "norm.bias": (d,)}
    torch.manual_seed(3)
    return {key: torch.randn(shape) for key, shape in shapes.items()}


def backbone(**settings) -> ViTCoMer:
    return ViTCoMer(**SMALL | dict(pretrain_size=64) | settings)


def beit_backbone(**settings) -> ViTCoMer:
    return ViTCoMer(**SMALL, **dict(variant="co-detr", window_size=[4, 4, 4, 6]) | settings)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        *((name, name) for name in ("deit", "augreg", "mae", "dinov2", "beit")),
        *(("distilled", "deit"), ("beit_shared", "beit")),
    ],
)
def test_each_source_fills_the_trunk_and_every_key_is_accounted_for(source, name):
    state = public(source)
    assert source_of_weights(state) == name
    model = beit_backbone() if name == "beit" else backbone()
    weights, report = trunk_weights(state, model, "file.pth")
    trunk = {key for key in model.state_dict() if key.startswith(("pos_embed", "patch_embed.", "blocks."))}
    assert set(report.loaded) == weights.keys()
    assert set(report.loaded) | set(report.missing) == trunk
    scales = set() if name in ("dinov2", "beit") else {"gamma1", "gamma2"}
    assert {key.split(".")[-1] for key in report.missing} == scales
    assert set(report.fresh) == {"level_embed", "spm", "interactions", "up", "norm1", "norm2", "norm3", "norm4"}
    assert len(set(state) - set(report.dropped)) + 3 * (source == "beit_shared") == len(weights)
    assert set(report.dropped) < set(state)


def test_a_file_without_a_head_is_not_called_maes():
    state = {key: value for key, value in public("deit").items() if not key.startswith("head.")}
    weights, report = trunk_weights(state, backbone(), "vit.pth")
    assert source_of_weights(state) == "timm"
    assert str(report).startswith("vit.pth: ViT (MAE's or another's under timm's names, without a head) weights, 51")
    assert trunk_weights(state, backbone(), source="mae")[1].source == "MAE"
    assert weights.keys() == trunk_weights(public("deit"), backbone())[0].keys()


@pytest.mark.parametrize("registers", [False, True])
def test_registers_that_are_left_out_are_a_warning(tmp_path, monkeypatch, registers):
    state = public("dinov2")
    if not registers:
        del state["register_tokens"]
    torch.save(state, tmp_path / "dinov2.pth")
    warned = []
    monkeypatch.setattr(
        mm_vit_comer.pretrained,
        "print_log",
        lambda text, logger, level=logging.INFO: warned.append(text) if level >= logging.WARNING else None,
    )
    backbone(init_cfg=dict(type="PretrainedViT", checkpoint=str(tmp_path / "dinov2.pth"))).init_weights()
    assert len(warned) == registers
    assert all("dinov2.pth: this DINOv2 was trained with register tokens" in text for text in warned)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Return the files of a host by URL; torch's cache is below the test's folder."""
    files = {}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))

    def fetch(url, path, *_, **__):
        Path(path).write_bytes(files[url])

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    return files


def stored(state):
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def test_files_of_one_name_and_two_addresses_are_two(host):
    states = [public("deit"), public("augreg")]
    states[1]["blocks.0.norm1.weight"] += 1
    for name, state in zip(("first", "second"), states, strict=True):
        host[f"https://host/{name}/resolve/main/pytorch_model.bin"] = stored(state)
    for url, state in zip(host, states, strict=True):
        model = backbone(init_cfg=dict(type="PretrainedViT", checkpoint=url))
        model.init_weights()
        assert torch.equal(model.blocks[0].norm1.weight, state["blocks.0.norm1.weight"])


def test_the_checksum_in_a_name_is_checked(host):
    content = stored(public("deit"))
    digest = hashlib.sha256(content).hexdigest()[:8]
    good, bad, dated = (f"https://host/vit-{end}.pth" for end in (digest, "0123abcd", "20240115"))
    host |= {good: content, bad: content, dated: content}
    for url in (good, dated):
        backbone(init_cfg=dict(type="PretrainedViT", checkpoint=url)).init_weights()
    with pytest.raises(UnreadableCheckpointError, match=f"begins with {digest}, not 0123abcd as its name says"):
        backbone(init_cfg=dict(type="PretrainedViT", checkpoint=bad)).init_weights()


def test_values_arrive_under_our_names():
    state = public("dinov2")
    weights, _ = trunk_weights(state, backbone())
    assert torch.equal(weights["blocks.2.gamma1"], state["blocks.2.ls1.gamma"])
    assert torch.equal(weights["blocks.2.gamma2"], state["blocks.2.ls2.gamma"])
    assert torch.equal(weights["blocks.3.attn.qkv.weight"], state["blocks.3.attn.qkv.weight"])
    assert torch.equal(weights["pos_embed"], state["pos_embed"])


def test_kernels_of_14_pixels_and_position_tables_are_resized():
    state = public("dinov2", grid=5, patch=14)
    weights, report = trunk_weights(state, backbone())
    assert weights["patch_embed.proj.weight"].shape == (WIDTH, 3, 16, 16)
    assert weights["pos_embed"].shape == (1, 17, WIDTH)
    assert torch.equal(weights["pos_embed"][:, 0], state["pos_embed"][:, 0])
    assert report.resized == {
        "patch_embed.proj.weight": "14x14 to 16x16 pixels, bilinear",
        "pos_embed": "5x5 to 4x4 positions, bicubic",
    }


def test_the_distillation_token_has_a_row_that_is_left_out():
    state = public("distilled")
    weights, _ = trunk_weights(state, backbone())
    assert torch.equal(weights["pos_embed"], state["pos_embed"][:, [0, *range(2, 18)]])


def test_beits_tables_fit_each_blocks_window():
    state = public("beit")
    weights, report = trunk_weights(state, beit_backbone())
    key = "blocks.{}.attn.relative_position_bias_table".format
    assert torch.equal(weights[key(0)], state[key(0)][:-3])
    assert weights[key(3)].shape == (121, HEADS)
    assert report.resized[key(0)] == "rows of the class token left out"
    assert report.resized[key(3)] == "windows of 4 to 6 tokens, cubic spline"


def test_one_table_for_all_blocks_goes_into_each():
    state = public("beit_shared")
    weights, _ = trunk_weights(state, beit_backbone())
    for i in range(3):
        table = weights[f"blocks.{i}.attn.relative_position_bias_table"]
        assert torch.equal(table, state["rel_pos_bias.relative_position_bias_table"][:-3])


def test_the_report_can_be_read():
    _, report = trunk_weights(public("deit", grid=3), backbone(), "deit.pth")
    assert str(report).splitlines()[:4] == [
        "deit.pth: DeiT weights, 51 tensors loaded into the trunk",
        "  resized: pos_embed: 3x3 to 4x4 positions, bicubic",
        "  dropped, of no use here: cls_token, head.weight, head.bias, norm.weight, norm.bias",
        "  not in the file, kept as they begin: blocks.*.gamma1 (4), blocks.*.gamma2 (4)",
    ]
    assert "spm (" in str(report)


@pytest.mark.parametrize("wrapper", ["model", "module", "state_dict", None])
def test_init_weights_reads_the_file(tmp_path, wrapper):
    state = public("deit")
    torch.save(state if wrapper is None else {wrapper: state}, tmp_path / "deit.pth")
    init_cfg = dict(type="PretrainedViT", checkpoint=str(tmp_path / "deit.pth"), source="deit")
    model = MODELS.build(dict(type="ViTCoMer", **SMALL, pretrain_size=64, init_cfg=init_cfg))
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    model.init_weights()
    loaded = model.state_dict()
    assert torch.equal(loaded["blocks.1.mlp.fc1.weight"], state["blocks.1.mlp.fc1.weight"])
    assert torch.equal(loaded["blocks.1.gamma1"], torch.ones(WIDTH))
    assert torch.equal(loaded["interactions.0.mrfp.fc1.weight"], fresh["interactions.0.mrfp.fc1.weight"])


def test_the_baseline_starts_from_the_same_files(tmp_path):
    state = public("mae", width=32)  # its norm has 32 groups
    torch.save({"model": state}, tmp_path / "mae.pth")
    init_cfg = dict(type="PretrainedViT", checkpoint=str(tmp_path / "mae.pth"))
    sizes = dict(depth=DEPTH, num_heads=HEADS, out_indices=(0, 1, 2, 3), pretrain_size=64)
    model = ViTBaseline(embed_dim=32, **sizes, init_cfg=init_cfg)
    model.init_weights()
    loaded = model.state_dict()
    for key in ("pos_embed", "patch_embed.proj.weight", "blocks.3.attn.qkv.weight", "blocks.0.mlp.fc2.bias"):
        assert torch.equal(loaded[key], state[key])
    with pytest.raises(CheckpointMismatchError, match="4 blocks of width 16 in the file, 4 blocks of width 32"):
        trunk_weights(public("mae"), model)


def test_a_detectors_backbone_is_reached(tmp_path):
    torch.save({"model": public("deit")}, tmp_path / "deit.pth")

    class Detector(BaseModule):
        def __init__(self):
            super().__init__()
            init_cfg = dict(type="PretrainedViT", checkpoint=str(tmp_path / "deit.pth"))
            self.backbone = backbone(init_cfg=init_cfg)

    detector = Detector()
    detector.init_weights()
    assert torch.equal(detector.backbone.blocks[0].norm1.weight, public("deit")["blocks.0.norm1.weight"])


def test_a_file_that_runs_code_is_refused(tmp_path):
    class Hostile:
        def __reduce__(self):
            return print, ("run",)

    torch.save({"model": Hostile()}, tmp_path / "vit.pth")
    with pytest.raises(UnsafeCheckpointError, match="print"):
        backbone(init_cfg=dict(type="PretrainedViT", checkpoint=str(tmp_path / "vit.pth"))).init_weights()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: {"layers.0.ln1.weight": torch.zeros(1)},
            r"its keys are layers\.0\.ln1\.weight(.|\n)*Fix",
        ),
        (
            lambda state: public("beit"),
            r"BEiT in the file, trunk='vit' in the config\. Fix: set backbone\.trunk",
        ),
        (lambda state: public("deit", depth=6), "6 blocks of width 16 in the file, 4 blocks of width 16 in the config"),
        (lambda state: state | {"blocks.0.mlp.w12.bias": torch.zeros(1)}, r"mlp\.w12\.bias and others: gated"),
        (lambda state: state | {"adapter.bias": torch.zeros(1)}, r"no rule takes \(1\):\n    adapter\.bias"),
        (lambda state: state | {"pos_embed": torch.zeros(1, 15, WIDTH)}, "15 rows in the file, 17 in the model"),
        (lambda state: state | {"blocks.0.norm1.bias": torch.zeros(9)}, r"blocks\.0\.norm1\.bias: \(9,\) in the file"),
        (
            lambda state: {key: value for key, value in state.items() if key != "blocks.1.norm2.bias"},
            r"not in the file \(1\):\n    blocks\.1\.norm2\.bias",
        ),
    ],
)
def test_misfits_are_named(change, message):
    with pytest.raises(CheckpointMismatchError, match=rf"vit\.pth does not fit(.|\n)*{message}"):
        trunk_weights(change(public("deit")), backbone(), "vit.pth")


def test_a_plain_vits_file_does_not_fill_beit():
    with pytest.raises(CheckpointMismatchError, match="DeiT in the file, trunk='beit' in the config"):
        trunk_weights(public("deit"), beit_backbone())


def test_the_source_is_checked_where_it_is_given():
    state = public("dinov2")
    with pytest.raises(CheckpointMismatchError, match="DINOv2 in the file, DeiT in the config"):
        trunk_weights(state, backbone(), source="deit")
    with pytest.raises(ValueError, match="source='dino' is unknown; there are 'deit'"):
        trunk_weights(state, backbone(), source="dino")
    assert trunk_weights(public("deit"), backbone(), source="augreg")[1].source == "AugReg"


def test_a_state_dict_is_found_under_each_name():
    state = public("beit")
    for wrapped in (state, {"model": state}, {"module": state}, {"state_dict": state}, {"model": state, "module": {}}):
        assert file_weights(wrapped).keys() == state.keys()
