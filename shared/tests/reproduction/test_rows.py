from __future__ import annotations

import pytest

from mmrepro import papers
from mmrepro.reproduction.rows import DEFAULT_SEEDS, MetafileError, Metric, averages, not_reproducible, rows


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


def test_a_run_without_a_number_of_its_own_is_a_row_without_metrics(fake_paper):
    edit(fake_paper, "        Metrics: {MSE: 0.386, MAE: 0.4}\n", "        Metrics: {}\n")
    assert rows("fake")[0].metrics == ()
    edit(fake_paper, "        Metrics: {}\n", "")
    with pytest.raises(MetafileError, match="the field 'Metrics' is missing"):
        rows("fake")


AVERAGE = """Averages:
  - {Name: both, Of: [fake_a, fake_b], Dataset: Lorenz-96, Metrics: {MSE: 0.4}, Source: table 2,
     Tolerance: {MSE: 0.008}, Measured By: {MSE: mse}, Better: lower}
"""


def test_an_average_names_its_rows(fake_paper):
    edit(fake_paper, "Models:\n", f"{AVERAGE}Models:\n")
    (average,) = averages("fake")
    assert (average.name, average.of, average.metrics[0].reported) == ("both", ("fake_a", "fake_b"), 0.4)
    edit(fake_paper, "Of: [fake_a, fake_b]", "Of: [fake_a, fake_c]")
    with pytest.raises(MetafileError, match="average 'both': no row is named 'fake_c'"):
        averages("fake")
    edit(fake_paper, "Of: [fake_a, fake_c], ", "")
    with pytest.raises(MetafileError, match="average 'both': the field 'Of' is missing"):
        averages("fake")


def test_a_number_that_cannot_be_measured_says_why(fake_paper):
    edit(
        fake_paper,
        "Models:\n",
        "Not Reproducible:\n  - {What: speed, Dataset: D, Metrics: {memory: 7 GB}, Source: s, Why: w}\nModels:\n",
    )
    (one,) = not_reproducible("fake")
    assert (one.what, dict(one.metrics), one.why) == ("speed", {"memory": "7 GB"}, "w")
    edit(fake_paper, ", Why: w", "")
    with pytest.raises(MetafileError, match="the field 'Why' is missing"):
        not_reproducible("fake")
