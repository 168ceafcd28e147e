from __future__ import annotations

import importlib
import json
from dataclasses import replace

import pytest

from mmrepro.checkpoint import CheckpointMismatchError
from mmrepro.reproduction import complexity, configs
from mmrepro.reproduction.rows import rows


def test_parameters_and_official_keys_are_counted_on_the_meta_device(fake_paper):
    metrics, details = complexity.measure(rows("fake")[0])
    assert metrics == {"parameters": 15, "official_parameters": 15, "official_keys": 2}
    assert details == {"keys": "keys_fake.json#only"}
    assert {parameter.device.type for parameter in complexity.build(rows("fake")[0]).parameters()} == {"meta"}


def test_official_keys_that_do_not_become_our_state_dict_are_listed(fake_paper):
    keys = {"state_dict": {"head.weight": [3, 5], "neck.bias": [3]}}
    fake_paper.write("tests/parity/keys_fake.json", json.dumps({"variants": {"only": keys}}))
    with pytest.raises(CheckpointMismatchError) as raised:
        complexity.measure(rows("fake")[0])
    for words in ("proj.bias", "neck.bias", "proj.weight: (3, 5)"):
        assert words in str(raised.value)


def test_what_the_official_code_never_uses_is_not_counted(fake_paper):
    shapes = {"head.weight": [3, 4], "head.bias": [3], "idle.weight": [7]}
    fake_paper.write("tests/parity/keys_fake.json", json.dumps({"variants": {"only": {"state_dict": shapes}}}))
    with pytest.raises(CheckpointMismatchError, match=r"idle\.weight"):
        complexity.measure(rows("fake")[0])
    converter = importlib.import_module("mm_fake.checkpoint")
    whole = converter.from_official
    converter.from_official = lambda state: whole({key: state[key] for key in state if key != "idle.weight"})
    converter.never_used = lambda state: {"idle.weight"}
    metrics, _ = complexity.measure(rows("fake")[0])
    assert metrics == {
        "parameters": 15,
        "official_parameters": 15,
        "never_used_parameters": 7,
        "official_keys": 3,
    }


def test_a_key_list_is_counted_without_duplicates_integers_and_statistics():
    keys = {
        "a": [2, 3],
        "copy": [2, 3],
        "index": [9],
        "bn.weight": [4],
        "bn.running_mean": [4],
        "bn.num_batches_tracked": [],
    }
    listed = {"state_dict": keys, "aliases": {"copy": "a"}, "integer_buffers": ["index"]}
    assert complexity.official_parameters(listed) == 10
    assert complexity.official_parameters({**listed, "n_parameters": 7}) == 7


def test_operations_are_multiply_accumulates(fake_paper):
    row = replace(rows("fake")[0], gmacs=1.2e-8, input_shape=(5, 4))
    metrics, details = complexity.measure(row)
    assert metrics["gmacs"] == pytest.approx(5 * 4 * 3 / 1e9)
    assert details["input_shape"] == [5, 4]


def test_a_digest_changes_with_a_setting_and_not_with_a_comment(fake_paper):
    row = rows("fake")[0]
    path = fake_paper.root / row.config
    digest = configs.digest(row)
    path.write_text("# a comment\n" + path.read_text() + "tiny = dict(a=1)\n")
    assert configs.digest(row) == digest
    path.write_text(path.read_text().replace("width=4", "width=5"))
    assert configs.digest(row) != digest
