from __future__ import annotations

import pytest

from mmrepro import papers
from mmrepro.reproduction.rows import DEFAULT_SEEDS, MetafileError, Metric, rows


def edit(paper, old, new):
    path = paper.root / "configs/fake/metafile.yml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    papers.metafiles.cache_clear()


def test_rows_are_read_from_the_metafile(fake_paper):
    first, second = rows("fake")
    assert (first.name, second.name) == ("fake_a", "fake_b")
    assert first.metrics == (
        Metric("MSE", 0.386, 0.008, "mse", 1.0, "lower"),
        Metric("MAE", 0.4, 0.1, "mae_percent", 0.01, "lower"),
    )
    assert (first.source, first.cost, first.seeds, first.data) == ("table 1", "a second", (1, 2), ())
    assert (first.parameters, first.official_keys) == (15, "keys_fake.json#only")


def test_a_row_without_seeds_has_the_default_ones(fake_paper):
    edit(fake_paper, "        Seeds: [1, 2]\n", "        Data: etth1\n")
    assert rows("fake")[0].seeds == DEFAULT_SEEDS
    assert rows("fake")[0].data == ("etth1",)


@pytest.mark.parametrize("pattern", ["fake_a", "*_a", "_a"])
def test_rows_are_picked_by_a_part_or_a_pattern(fake_paper, pattern):
    assert [row.name for row in rows("fake", pattern)] == ["fake_a"]


def test_a_pattern_that_matches_nothing_lists_the_rows(fake_paper):
    with pytest.raises(LookupError, match=r"matches 'x\*'; its rows:\n  fake_a\n  fake_b"):
        rows("fake", "x*")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("        Source: table 1\n", "", "'fake_a', result on 'Lorenz-96': the field 'Source' is missing"),
        ("Tolerance: {MSE: 0.008, MAE: 0.1}", "Tolerance: {MSE: 0.008}", "'Tolerance' says nothing about 'MAE'"),
        ("Measured By: {MSE: mse, ", "Measured By: {", "'Measured By' says nothing about 'MSE'"),
        ("Better: lower", "Better: less", "must be lower or higher, not 'less'"),
        ("    Config: configs/fake/fake_a.py\n", "", "the field 'Config' is missing"),
    ],
)
def test_an_incomplete_metafile_is_named_with_the_field(fake_paper, old, new, words):
    edit(fake_paper, old, new)
    with pytest.raises(MetafileError) as raised:
        rows("fake")
    assert words in str(raised.value)


def test_two_results_of_one_model_are_two_rows(fake_paper):
    second = """
      - {Task: T, Dataset: Real World, Metrics: {AP: 51.7}, Source: s, Tolerance: {AP: 0.3}, Measured By: {AP: ap},
         Better: {AP: higher}}
"""
    edit(fake_paper, "        Seeds: [1, 2]\n", f"        Seeds: [1, 2]{second}")
    assert [row.name for row in rows("fake")] == ["fake_a@lorenz-96", "fake_a@real-world", "fake_b"]
    assert rows("fake")[1].metrics[0].better == "higher"
