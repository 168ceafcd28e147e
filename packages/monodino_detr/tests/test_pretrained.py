"""Public weights: each layout fills its part completely, and what does not fit is named."""

from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.registry import MODELS

from mm_monodino_detr.models.dinov2_vit import DINOv2ViT
from mm_monodino_detr.models.dpt_head import DPTDepthHead
from mm_monodino_detr.models.pretrained import PretrainedDepthAnything, PretrainedDINOv2
from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.testing import load_keys

PARITY = Path(__file__).parent / "parity"
VIT = dict(type="DINOv2ViT", arch=dict(embed_dims=8, depth=4, num_heads=2, out_indices=(0, 1, 2, 3)), img_size=28)
HEAD = dict(type="DPTDepthHead", arch=dict(embed_dims=8, features=4, out_channels=(4, 4, 4, 4)))
PARTS = {"pretrained.": VIT, "depth_head.": HEAD}


def public_file(path: Path, prefixes: dict[str, dict]) -> dict[str, torch.Tensor]:
    """Write a file of random weights in a public layout and return it."""
    torch.manual_seed(5)
    file = {}
    for prefix, settings in prefixes.items():
        state = MODELS.build(settings).state_dict()
        file |= {prefix + key: torch.randn_like(tensor) for key, tensor in state.items()}
    torch.save(file, path)
    return file


def started(settings: dict, kind: str, checkpoint: Path) -> BaseModule:
    part = MODELS.build(settings | dict(init_cfg=dict(type=kind, checkpoint=str(checkpoint))))
    part.init_weights()
    return part


@pytest.mark.parametrize("prefix", PARTS)
def test_both_parts_start_from_one_file_of_depth_anything(prefix, tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(MMLogger.get_current_instance(), "info", lines.append)
    file = public_file(tmp_path / "dav2.pth", PARTS)
    state = started(PARTS[prefix], "PretrainedDepthAnything", tmp_path / "dav2.pth").state_dict()
    own = {key.removeprefix(prefix): tensor for key, tensor in file.items() if key.startswith(prefix)}
    assert state.keys() == own.keys()
    assert all(torch.equal(state[key], tensor) for key, tensor in own.items())
    said = next(line for line in lines if "tensors loaded" in line)
    assert f"dav2.pth: {len(own)} tensors loaded into {PARTS[prefix]['type']}" in said
    assert f"{len(file) - len(own)} of the file are of another part" in said


def test_the_transformer_starts_from_a_file_of_dinov2(tmp_path):
    file = public_file(tmp_path / "dinov2.pth", {"": VIT})
    state = started(VIT, "PretrainedDINOv2", tmp_path / "dinov2.pth").state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in file.items())


@pytest.mark.parametrize(("size", "arch"), [("vits", "small"), ("vitb", "base"), ("vitl", "large")])
def test_every_key_of_the_public_files_has_a_place(size, arch):
    keys = load_keys(PARITY / f"keys_depth_anything_v2_{size}.json")[f"depth_anything_v2_{size}"]["state_dict"]
    with torch.device("meta"):
        file = {key: torch.empty(shape) for key, shape in keys.items()}
        vit, head = DINOv2ViT(arch), DPTDepthHead(arch)
    taken = [PretrainedDepthAnything("dav2.pth").part(file, part) for part in (vit, head)]
    assert sum(len(state) for state in taken) == len(file)
    of_dinov2 = {key.removeprefix("pretrained."): one for key, one in file.items() if key.startswith("pretrained.")}
    assert PretrainedDINOv2("dinov2.pth").part(of_dinov2, vit) == of_dinov2


def test_the_file_of_the_other_kind_is_refused_with_the_fix(tmp_path):
    public_file(tmp_path / "dav2.pth", PARTS)
    public_file(tmp_path / "dinov2.pth", {"": VIT})
    with pytest.raises(CheckpointMismatchError, match=r"dav2\.pth(.|\n)*Fix: .* or PretrainedDepthAnything"):
        started(VIT, "PretrainedDINOv2", tmp_path / "dav2.pth")
    for settings in (VIT, HEAD):
        with pytest.raises(CheckpointMismatchError, match=r"dinov2\.pth(.|\n)*Fix: .* or PretrainedDINOv2"):
            started(settings, "PretrainedDepthAnything", tmp_path / "dinov2.pth")


def test_a_part_that_the_file_does_not_have_is_refused(tmp_path):
    public_file(tmp_path / "dinov2.pth", {"": VIT})
    with pytest.raises(TypeError, match=r"nothing for DPTDepthHead. Fix: put this init_cfg into DINOv2ViT"):
        started(HEAD, "PretrainedDINOv2", tmp_path / "dinov2.pth")


@pytest.mark.parametrize(
    ("settings", "change", "key"),
    [
        (VIT, dict(img_size=42), "pos_embed"),
        (VIT, dict(arch=VIT["arch"] | dict(embed_dims=16)), "cls_token"),
        (HEAD, dict(arch=HEAD["arch"] | dict(features=8)), r"scratch\.layer1_rn\.weight"),
    ],
)
def test_the_file_of_another_size_is_named(settings, change, key, tmp_path):
    public_file(tmp_path / "dav2.pth", PARTS)
    with pytest.raises(CheckpointMismatchError, match=rf"another arch or img_size(.|\n)*{key}: .* in the file"):
        started(settings | change, "PretrainedDepthAnything", tmp_path / "dav2.pth")


def test_a_key_that_is_missing_or_unknown_is_named_instead_of_left_random(tmp_path):
    file = public_file(tmp_path / "dav2.pth", PARTS)
    torch.save(file | {"pretrained.register_tokens": torch.zeros(1, 4, 8), "head.bias": torch.zeros(1)}, tmp_path / "a")
    with pytest.raises(CheckpointMismatchError, match=r"not in the model (.|\n)*head\.bias\n *register_tokens"):
        started(VIT, "PretrainedDepthAnything", tmp_path / "a")
    del file["depth_head.scratch.output_conv1.bias"]
    torch.save(file, tmp_path / "b")
    with pytest.raises(CheckpointMismatchError, match=r"not in the file (.|\n)*scratch\.output_conv1\.bias"):
        started(HEAD, "PretrainedDepthAnything", tmp_path / "b")
    started(VIT, "PretrainedDepthAnything", tmp_path / "b")  # whose part is whole
