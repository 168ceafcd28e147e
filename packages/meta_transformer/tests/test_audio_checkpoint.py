"""Official audio checkpoints: every key both ways, the model of a file's sizes, and what nothing reads."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoints import audio
from mmrepro.checkpoint import differences
from mmrepro.testing import load_keys

NAME = "audio_speechcommands"


@pytest.fixture(scope="module")
def official():
    listed = load_keys(Path(__file__).parent / "parity" / f"keys_{NAME}.json")[NAME]["state_dict"]
    return {key: torch.empty(shape, device="meta") for key, shape in listed.items()}


def shapes(state):
    return {key: tuple(one.shape) for key, one in state.items()}


def build(settings):
    with torch.device("meta"):
        return MODELS.build(settings)


def test_every_official_key_is_converted_both_ways(official):
    rules = audio.rules(official)
    assert audio.matches(official)
    ours = rules.forward(official)
    assert not audio.matches(ours)
    assert shapes(rules.backward(ours)) == shapes(official)


def test_a_file_fills_the_model_of_its_sizes(official):
    settings = audio.infer_config(official)
    assert settings["tokenizer"]["input_size"] == (224, 224)
    assert settings["encoder"]["arch"] == dict(embed_dims=768, depth=12, num_heads=12)
    assert not any(differences(audio.rules(official).forward(official), build(settings)).values())


@pytest.mark.parametrize(("tokens", "size"), [(20 * 7, (224, 92)), (33, (32, 352))])
def test_other_lengths_of_clips_show_in_the_positions(official, tokens, size):
    other = official | {"v.pos_embed": torch.empty(1, tokens, 768, device="meta")}
    settings = audio.infer_config(other)
    assert settings["tokenizer"]["input_size"] == size
    assert not any(differences(audio.rules(other).forward(other), build(settings)).values())


def test_what_nothing_reads_is_named(official):
    assert sum(official[key].numel() for key in audio.never_used(official)) == 2 * 768 + 1000 * 769
    used = {key: one for key, one in official.items() if key not in audio.never_used(official)}
    assert shapes(audio.rules(used).forward(used)) == shapes(audio.rules(official).forward(official))


def test_a_model_of_ours_that_is_no_audio_model_does_not_become_an_official_one():
    ours = {"head.fc.weight": torch.zeros(2, 4), "head.fc.bias": torch.zeros(2)}
    assert not audio.matches(audio.rules(ours).backward(ours))
