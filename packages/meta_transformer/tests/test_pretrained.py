"""Public weights in the shared encoder: the released layout, OpenCLIP's and timm's."""

import pytest
import torch

from mm_meta_transformer.models.encoder import MetaTransformerEncoder
from mm_meta_transformer.models.pretrained import PretrainedCLIPVision, PretrainedMetaEncoder, PretrainedTimmViT
from mm_meta_transformer.tokenizers.image import ImageTokenizer
from mmrepro.checkpoint import CheckpointMismatchError

ARCH = dict(embed_dims=8, depth=2, num_heads=2)
_CLIP = {"norm1": "ln_1", "attn.qkv.": "attn.in_proj_", "attn.proj": "attn.out_proj", "norm2": "ln_2"}
_CLIP |= {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


@pytest.fixture(scope="module")
def blocks():
    torch.manual_seed(0)
    drawn = MetaTransformerEncoder(ARCH).state_dict()
    return {key.removeprefix("blocks."): torch.randn_like(value) for key, value in drawn.items()}


def clip_name(key):
    for ours, theirs in _CLIP.items():
        key = key.replace(ours, theirs)
    return f"visual.transformer.resblocks.{key}"


def filled(path, state, kind, module=None):
    torch.save(state, path)
    module = module or MetaTransformerEncoder(ARCH)
    kind(str(path))(module)
    return module.state_dict()


def test_every_layout_gives_the_same_encoder(blocks, tmp_path):
    image = {"cls_token": torch.zeros(1, 1, 8), "patch_embed.proj.weight": torch.zeros(8, 3, 4, 4)}
    files = {
        PretrainedMetaEncoder: blocks,
        PretrainedCLIPVision: {clip_name(key): value for key, value in blocks.items()} | {"visual.proj": torch.ones(2)},
        PretrainedTimmViT: {f"blocks.{key}": value for key, value in blocks.items()} | image,
    }
    for kind, state in files.items():
        found = filled(tmp_path / "weights.pth", state, kind)
        assert all(torch.equal(found[f"blocks.{key}"], value) for key, value in blocks.items()), kind


def test_the_visual_tower_is_not_taken_for_the_text_tower(blocks, tmp_path):
    text = {f"transformer.resblocks.{key}": value for key, value in blocks.items()}
    with pytest.raises(CheckpointMismatchError, match="it is another network"):
        filled(tmp_path / "text.pth", text, PretrainedCLIPVision)


def test_biases_of_keys_are_left_out_where_there_are_none(blocks, tmp_path):
    found = filled(tmp_path / "a.pth", blocks, PretrainedMetaEncoder, MetaTransformerEncoder(ARCH, qkv="video"))
    query, _, value = blocks["1.attn.qkv.bias"].chunk(3)
    assert torch.equal(found["blocks.1.attn.q_bias"], query)
    assert torch.equal(found["blocks.1.attn.v_bias"], value)


def test_timms_tokens_fill_the_tokenizer(blocks, tmp_path):
    tokenizer = ImageTokenizer(8, img_size=8, patch_size=4)
    drawn = {key: torch.randn_like(value) for key, value in tokenizer.state_dict().items()}
    file = {f"blocks.{key}": value for key, value in blocks.items()} | drawn | {"head.weight": torch.ones(3, 8)}
    found = filled(tmp_path / "timm.pth", file, PretrainedTimmViT, tokenizer)
    assert all(torch.equal(found[key], value) for key, value in drawn.items())


def test_what_a_file_has_and_is_not_used_is_logged(blocks, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("mmengine.logging.MMLogger.info", lambda self, text: said.append(text))
    clip = {clip_name(key): value for key, value in blocks.items()}
    clip |= {"visual.ln_pre.weight": torch.ones(8), "transformer.resblocks.0.ln_1.weight": torch.ones(8)}
    filled(tmp_path / "clip.pth", clip, PretrainedCLIPVision)
    assert said[-1].endswith(
        "24 of 26 tensors loaded into MetaTransformerEncoder; of no use there: visual.ln_pre.weight, "
        "transformer.resblocks.*.ln_1.weight"
    )
    timm = {f"blocks.{key}": value for key, value in blocks.items()} | {"norm_pre.weight": torch.ones(8)}
    timm |= ImageTokenizer(8, img_size=8, patch_size=4).state_dict()
    filled(tmp_path / "timm.pth", timm, PretrainedTimmViT)
    assert "of no use there: norm_pre.weight, cls_token, pos_embed, patch_embed.proj.weight" in said[-1]
    with pytest.raises(
        CheckpointMismatchError, match=r"nothing for what is before the blocks \(1\):\s+norm_pre.weight"
    ):
        filled(tmp_path / "timm.pth", timm, PretrainedTimmViT, ImageTokenizer(8, img_size=8, patch_size=4))


def test_a_missing_file_says_where_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth is not there. No script can fetch .*drive.google.com"):
        PretrainedMetaEncoder(str(tmp_path / "none.pth"))(MetaTransformerEncoder(ARCH))


def test_another_network_another_size_and_another_module_are_refused(blocks, tmp_path):
    with pytest.raises(CheckpointMismatchError, match="it is another network"):
        filled(tmp_path / "a.pth", {"fc.weight": torch.ones(2)}, PretrainedMetaEncoder)
    with pytest.raises(CheckpointMismatchError, match=r"not in the file \(is the file of another arch"):
        filled(tmp_path / "b.pth", blocks, PretrainedMetaEncoder, MetaTransformerEncoder(ARCH | {"depth": 3}))
    with pytest.raises(TypeError, match="put this init_cfg into MetaTransformerEncoder"):
        filled(tmp_path / "c.pth", blocks, PretrainedMetaEncoder, ImageTokenizer(8, img_size=8, patch_size=4))


def test_the_frozen_encoder_keeps_its_file_through_init_weights(blocks, tmp_path):
    torch.save(blocks, tmp_path / "weights.pth")
    init = dict(type="PretrainedMetaEncoder", checkpoint=str(tmp_path / "weights.pth"))
    encoder = MetaTransformerEncoder(ARCH, init_cfg=init)
    encoder.init_weights()
    assert torch.equal(encoder.state_dict()["blocks.0.mlp.fc1.weight"], blocks["0.mlp.fc1.weight"])
