"""Official graph checkpoints: every key both ways, the model of a file's sizes, and what nothing reads."""

from pathlib import Path

import pytest
import torch
from mmpretrain.registry import MODELS

from mm_meta_transformer.checkpoint import from_official, infer_config, target, to_official
from mm_meta_transformer.checkpoints import graph
from mmrepro.checkpoint import CheckpointMismatchError, differences
from mmrepro.testing import load_keys

NAME = "graph_tokengt_base_pcqm4mv2"


@pytest.fixture(scope="module")
def official():
    listed = load_keys(Path(__file__).parent / "parity" / f"keys_{NAME}.json")[NAME]["state_dict"]
    return {key: torch.empty(shape, device="meta") for key, shape in listed.items()}


def shapes(state):
    return {key: tuple(one.shape) for key, one in state.items()}


def test_every_official_key_is_converted_both_ways(official):
    rules = graph.rules(official)
    assert graph.matches(official)
    ours = rules.forward(official)
    assert not graph.matches(ours)
    assert shapes(rules.backward(ours)) == shapes(official)


def test_a_file_fills_the_model_of_its_sizes(official):
    settings = graph.infer_config(official)
    assert (settings["tokenizer"]["lap_dims"], settings["tokenizer"]["orf_dims"]) == (16, 0)
    assert settings["encoder"]["arch"] == dict(embed_dims=768, depth=12, num_heads=32)
    with torch.device("meta"):
        model = MODELS.build(settings)
    assert not any(differences(graph.rules(official).forward(official), model).values())


def test_other_identifiers_show_in_a_files_sizes(official):
    prefix = "encoder.graph_encoder.graph_feature"
    other = {key: one for key, one in official.items() if "order_encoder" not in key and "lap_encoder" not in key}
    other[f"{prefix}.orf_encoder.weight"] = torch.empty(768, 128, device="meta")
    settings = graph.infer_config(other)
    assert [settings["tokenizer"][key] for key in ("lap_dims", "orf_dims", "rand_dims", "type_id")] == [0, 64, 0, False]
    with torch.device("meta"):
        model = MODELS.build(settings)
    assert not any(differences(graph.rules(other).forward(other), model).values())


def test_other_outputs_and_no_norm_of_tokens_show_in_a_file(official):
    other = {key: one for key, one in official.items() if "emb_layer_norm" not in key}
    other["encoder.embed_out.weight"] = torch.empty(3, 768, device="meta")
    ours = from_official(other, target(other))
    assert shapes(to_official(ours)) == shapes(other)
    assert infer_config(ours) == infer_config(other)


def test_the_official_model_has_32_heads_at_any_width(official):
    widths = {768: 1024, 2304: 3072, 3072: 4096}
    wide = {
        key: torch.empty([widths.get(size, size) for size in one.shape], device="meta") for key, one in official.items()
    }
    from_official(wide, target(wide))
    assert infer_config(wide)["model"]["encoder"]["arch"] == dict(embed_dims=1024, depth=12, num_heads=32)


def test_what_nothing_reads_is_named(official):
    assert sum(official[key].numel() for key in graph.never_used(official)) == 768 * 768 + 3 * 768
    used = {key: one for key, one in official.items() if key not in graph.never_used(official)}
    assert shapes(graph.rules(used).forward(used)) == shapes(graph.rules(official).forward(official))


def test_a_key_of_another_kind_is_refused(official):
    with pytest.raises(CheckpointMismatchError, match="in_degree_encoder"):
        graph.rules(official).forward(
            official | {"encoder.in_degree_encoder.weight": official["encoder.layer_norm.bias"]}
        )
