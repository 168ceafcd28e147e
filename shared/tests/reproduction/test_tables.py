from __future__ import annotations

import json
from dataclasses import replace

import pytest
from rich.console import Console

from mmrepro.reproduction import ledger, rows, tables
from mmrepro.reproduction.ledger import Entry


def measure(paper, *values, row="fake_a", **more):
    for seed, value in enumerate(values):
        metrics = {"mse": value, "mae_percent": 41.0, "baseline_mse": 1.25, **more}
        ledger.append(paper.root / "reproductions.json", Entry(row, "train", metrics, "c", seed))


def shown(paper):
    console = Console(width=200, record=True)
    console.print(tables.screen_table(rows.rows("fake"), ledger.load(paper.root / "reproductions.json")))
    return console.export_text()


def line(text, *words):
    return next(line for line in text.splitlines() if all(word in line for word in words))


def test_the_screen_shows_reported_measured_baseline_tiers_and_verdict(fake_paper):
    measure(fake_paper, 0.38, 0.39)
    ledger.append(fake_paper.root / "reproductions.json", Entry("fake_a", "complexity", {"parameters": 15}, "c"))
    text = shown(fake_paper)
    first = line(text, "fake_a", "MSE")
    for words in ("0.386", "0.385 ± 0.007 (2 seeds)", "1.250", "complexity train", "reproduced"):
        assert words in first
    assert "not yet measured" in line(text, "fake_b", "MSE")


def test_an_unclean_tree_is_named_beside_the_number(fake_paper):
    entry = Entry("fake_a", "train", {"mse": 0.38, "mae_percent": 41.0}, "c", 0, commit="a")
    file = fake_paper.root / "reproductions.json"
    ledger.append(file, entry)
    assert "| 0.380 (unclean tree) |" in tables.results_markdown("fake")
    ledger.append(file, replace(entry, seed=1))
    assert "| 0.380 ± 0.000 (2 seeds, unclean tree) |" in tables.results_markdown("fake")


def test_better_than_reported_stands_in_brackets(fake_paper):
    measure(fake_paper, 0.3)
    first = line(shown(fake_paper), "fake_a", "MSE")
    assert "(train)" in first
    assert "better by 0.086 (MSE)" in first


def test_a_tier_that_differs_stands_in_brackets(fake_paper):
    measure(fake_paper, 0.5)
    first = line(shown(fake_paper), "fake_a", "MSE")
    assert "(train)" in first
    assert "off by 0.114 (MSE)" in first


def test_markdown_has_a_line_for_each_metric(fake_paper):
    measure(fake_paper, 0.38, 0.39)
    lines = tables.results_markdown("fake").splitlines()
    assert lines[2] == "| `fake_a` | Lorenz-96 | MSE | 0.386 | 0.385 ± 0.007 (2 seeds) | 1.250 | train | reproduced |"
    assert lines[3] == "| `fake_a` | Lorenz-96 | MAE | 0.4 | 0.4 ± 0.0 (2 seeds) |  | train | reproduced |"
    assert lines[4] == "| `fake_b` | Lorenz-96 | MSE | 0.300 |  |  |  | not yet measured |"


def test_sizes_and_parity(fake_paper):
    file = fake_paper.root / "reproductions.json"
    ledger.append(file, Entry("fake_a", "complexity", {"parameters": 15}, "c"))
    counts = {"passed": 4, "failed": 0, "not_served": 1, "no_data": 0, "worst": 0.5}
    ledger.append(file, Entry("*", "parity", counts, ""))
    text = tables.parity_markdown("fake")
    assert "| `fake_a` | 15 parameters | reproduced |" in text
    assert "4 cases passed, the worst at 0.5 of its tolerance, 1 not served" in text


def test_benchmarks(fake_paper):
    assert "not yet measured" in tables.benchmarks_markdown("fake")
    one = {"ours_ms": 1.5, "reference_ms": 3.0, "speed_up": 2.0}
    measured = {"results": {"attention": one}, "versions": {"torch": "2.15"}, "hardware": "a CPU", "threads": 2}
    fake_paper.write("benchmarks.json", json.dumps({**measured, "date": "2026-01-02T03:04:05"}))
    text = tables.benchmarks_markdown("fake")
    assert "| attention | 1.5 | 3 | 2.00 × |" in text
    assert "a CPU, 2 threads, torch 2.15, 2026-01-02." in text


def test_pages_are_stale_until_written_and_again_after_a_measurement(fake_paper):
    readme = fake_paper.root / "README.md"
    page = fake_paper.root.parent.parent / "docs" / "performance.md"
    page.parent.mkdir()
    other = "<!-- generated: results other -->\nkept\n<!-- end generated -->\n"
    page.write_text(f"<!-- generated: benchmarks fake -->\nold\n<!-- end generated -->\n{other}")
    stale = tables.stale_tables(fake_paper.root)
    assert stale == [f"{readme}: {name}" for name in ("results", "parity", "benchmarks")] + [f"{page}: benchmarks"]
    assert tables.write_tables(fake_paper.root) == [readme, page]
    assert tables.stale_tables(fake_paper.root) == []
    assert tables.write_tables(fake_paper.root) == []
    assert "old" not in page.read_text()
    assert page.read_text().endswith(other)
    assert readme.read_text().startswith("# fake\n")
    measure(fake_paper, 0.38)
    assert tables.stale_tables(fake_paper.root) == [f"{readme}: results"]


def test_an_unknown_part_is_an_error(fake_paper):
    fake_paper.write("README.md", "<!-- generated: resutls -->\n<!-- end generated -->\n")
    with pytest.raises(ValueError, match="no generated part 'resutls'"):
        tables.stale_tables(fake_paper.root)


def test_the_zoo_page_names_sources_costs_and_weights(fake_paper):
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    weights = "    Weights: https://example.org/a.pth\n    Results:"
    metafile.write_text(metafile.read_text().replace("    Results:", weights, 1))
    text = tables.zoo_page("fake")
    assert text.startswith("# Fake\n")
    assert "| `fake_a` | table 1 | a second | [file](https://example.org/a.pth) (licence not stated) |" in text
    assert "| `fake_b` | table 1 | a second | none published |" in text
