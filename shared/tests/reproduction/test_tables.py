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


def without_number(paper):
    """Take the second row's number away."""
    metafile = paper.root / "configs/fake/metafile.yml"
    metafile.write_text(metafile.read_text().replace("Metrics: {MSE: 0.3, MAE: 0.4}", "Metrics: {}"))


def average_of(paper):
    """Report the mean of both rows."""
    metafile = paper.root / "configs/fake/metafile.yml"
    average = """Averages:
  - {Name: both, Of: [fake_a, fake_b], Dataset: Lorenz-96, Metrics: {MSE: 0.4}, Source: table 2, Unverified: true,
     Tolerance: {MSE: 0.008}, Measured By: {MSE: mse}, Better: lower}
"""
    metafile.write_text(metafile.read_text() + average)


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
    assert "not run" in line(text, "fake_b", "MSE")


def test_an_unclean_tree_is_named_beside_the_number(fake_paper):
    entry = Entry("fake_a", "train", {"mse": 0.38, "mae_percent": 41.0}, "c", 0, commit="a")
    file = fake_paper.root / "reproductions.json"
    ledger.append(file, entry)
    assert "| MSE 0.380, MAE 0.4 (unclean tree) |" in tables.results_markdown("fake")
    ledger.append(file, replace(entry, seed=1))
    assert "| MSE 0.380 ± 0.000, MAE 0.4 ± 0.0 (2 seeds, unclean tree) |" in tables.results_markdown("fake")


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


def test_markdown_has_a_line_for_each_row(fake_paper):
    measure(fake_paper, 0.38, 0.39)
    lines = tables.results_markdown("fake").splitlines()
    assert lines[2] == (
        "| `fake_a` | Lorenz-96 | MSE 0.386, MAE 0.4 | MSE 0.385 ± 0.007, MAE 0.4 ± 0.0 (2 seeds) "
        "| MSE 1.250 | train | reproduced |"
    )
    assert lines[3] == "| `fake_b` | Lorenz-96 | MSE 0.300, MAE 0.4 |  |  |  | not run |"
    assert len(lines) == 4


def test_a_row_without_a_number_is_counted_and_one_measured_is_no_verdict(fake_paper):
    without_number(fake_paper)
    measure(fake_paper, 0.38, row="fake_b")
    text = tables.results_markdown("fake")
    assert "fake_b" not in text
    assert text.endswith("1 more configs are runs for which the paper gives no number alone: see the model zoo.")
    assert "(train)" in line(shown(fake_paper), "fake_b", "the paper gives no number for it alone")
    assert "`fake_b`" in tables.zoo_page("fake")
    folded = tables.screen_table(rows.rows("fake"), [], everything=False)
    assert (folded.row_count, folded.caption) == (2, "and 1 runs for which the paper gives no number alone")


def test_an_average_has_a_verdict_when_every_row_is_measured(fake_paper):
    without_number(fake_paper)
    average_of(fake_paper)
    measure(fake_paper, 0.38, 0.39)
    row = "| both (2 rows) | Lorenz-96 | MSE 0.400 (unverified) |"
    assert f"{row}  |  |  | not run (1 of 2 rows measured) |" in tables.averages_markdown("fake")
    measure(fake_paper, 0.415, row="fake_b")
    assert f"{row} MSE 0.400 | MSE 1.250 | train | reproduced |" in tables.averages_markdown("fake")
    measure(fake_paper, 0.515, row="fake_b")
    assert "| (train) |" not in tables.averages_markdown("fake")
    assert "| train | off by 0.050 (MSE) |" in tables.averages_markdown("fake")
    assert "## Averages" in tables.zoo_page("fake")


def test_numbers_that_nobody_can_measure_stand_in_the_zoo_with_the_reason(fake_paper):
    metafile = fake_paper.root / "configs/fake/metafile.yml"
    one = "{What: speed, Dataset: Traffic, Metrics: {memory: 7.50 GB}, Source: figure 9, Why: a P100}"
    metafile.write_text(f"{metafile.read_text()}Not Reproducible:\n  - {one}\n")
    assert "| speed | Traffic | memory 7.50 GB | figure 9 | a P100 |" in tables.zoo_page("fake")


def test_sizes_and_parity(fake_paper):
    file = fake_paper.root / "reproductions.json"
    ledger.append(file, Entry("fake_a", "complexity", {"parameters": 15}, "c"))
    counts = {"passed": 4, "failed": 0, "not_served": 1, "no_data": 0, "worst": 0.5}
    ledger.append(file, Entry("*", "parity", counts, ""))
    text = tables.parity_markdown("fake")
    assert "official key list's: 1 of 2 configs." in text
    assert "never uses" not in text
    assert "4 cases passed, the worst at 0.5 of its tolerance, 1 not served" in text
    ledger.append(file, Entry("fake_b", "complexity", {"parameters": 16}, "c"))
    assert "`fake_b`: off by +1 parameters against the metafile (16 parameters)" in tables.parity_markdown("fake")
    sizes = {"parameters": 15, "official_parameters": 15, "never_used_parameters": 1200}
    ledger.append(file, Entry("fake_a", "complexity", sizes, "c"))
    assert (
        "lists hold 1,200 numbers more, which the official code never uses or computes itself."
        in tables.parity_markdown("fake")
    )


def test_benchmarks(fake_paper):
    assert "not run" in tables.benchmarks_markdown("fake")
    one = {"ours_ms": 1.5, "reference_ms": 3000.0, "speed_up": 2000.0}
    measured = {"results": {"attention": one}, "versions": {"torch": "2.15"}, "hardware": "a CPU", "threads": 2}
    fake_paper.write("benchmarks.json", json.dumps({**measured, "date": "2026-01-02T03:04:05"}))
    text = tables.benchmarks_markdown("fake")
    assert "| attention | 1.5 | 3,000 | 2000.00 × |" in text
    assert "a CPU, 2 threads, torch 2.15, 2026-01-02." in text


def test_benchmarks_of_steps_and_programs(fake_paper):
    steps = {"reference": {"cpu_ms": 2000.0, "peak_mib": 4000.0}, "ours": {"cpu_ms": 500.0, "peak_mib": 1000.0}}
    programs = {
        "reference": {"cpu_s": 100.0, "wall_s": 1.0, "metrics": {"epochs": 10, "mse": 0.386}},
        "ours": {"cpu_s": 40.0, "wall_s": 1.0, "metrics": {"epochs": 8, "mse": 0.385}},
    }
    measured = {"results": {}, "steps": {"a step": steps}, "programs": {"a row": programs}}
    about = {"versions": {}, "hardware": "a CPU", "threads": 1, "date": "2026-01-02T03:04:05"}
    fake_paper.write("benchmarks.json", json.dumps(measured | about))
    text = tables.benchmarks_markdown("fake")
    assert "| a step | reference | 2,000 | 4,000 |  |  |" in text
    assert "| a step | ours | 500 | 1,000 | 0.25 | 0.25 |" in text
    assert "| a row | reference | 100.0 |  | 10.00 |  | epochs 10, mse 0.386 |" in text
    assert "| a row | ours | 40.0 | 0.40 | 5.00 | 0.50 | epochs 8, mse 0.385 |" in text
    assert "| what | ours (ms) |" not in text


def test_benchmarks_of_groups(fake_paper):
    def sides(ours, theirs, less=1.0):
        return {"ours": {"ms": ours, "peak_mib": 10.0 * less}, "mmcv": {"ms": theirs, "peak_mib": 40.0}}

    lines = {"encoder": {"forward": sides(10, 20), "both": sides(10, 80)}, "decoder": {"forward": sides(1, 8, 0.001)}}
    about = {"versions": {"torch": "2.15"}, "threads": 2, "date": "2026-01-02T03:04:05"}
    groups = {"CPU": {"lines": lines, "hardware": "a CPU", **about}}
    fake_paper.write("benchmarks.json", json.dumps({"groups": groups}))
    text = tables.benchmarks_markdown("fake")
    assert text.startswith(
        "**CPU**\n\n| what | direction | ours (ms) | mmcv (ms) | speed-up | ours (MiB) | mmcv (MiB) |"
    )
    assert "| encoder | forward | 10 | 20 | 2.00 × | 10 | 40 | 0.25 |" in text
    assert "| encoder | both | 10 | 80 | 8.00 × | 10 | 40 | 0.25 |" in text
    assert "| decoder | forward | 1 | 8 | 8.00 × | 0 | 40 | 0.03 |" in text  # less than a MiB counts as one
    assert "| geometric mean | forward |  |  | 4.00 × |  |  | 0.08 |" in text
    assert "| geometric mean | both |  |  | 8.00 × |  |  | 0.25 |" in text
    assert "| geometric mean | all |  |  | 5.04 × |  |  | 0.12 |" in text
    assert text.endswith("a CPU, 2 threads, torch 2.15, 2026-01-02.")


def test_benchmarks_that_are_tables(fake_paper):
    about = {"versions": {"torch": "2.15"}, "hardware": "a CPU", "threads": 2, "date": "2026-01-02T03:04:05"}
    table = {"columns": ["tile", "change (dB)"], "rows": [["32", "-0.01"], ["64", "0.00"]], "note": "On one picture."}
    fake_paper.write("benchmarks.json", json.dumps({"tables": {"what tiles change": table | about}}))
    assert tables.benchmarks_markdown("fake") == (
        "**what tiles change**\n\n| tile | change (dB) |\n| --- | --- |\n| 32 | -0.01 |\n| 64 | 0.00 |\n\n"
        "On one picture.\n\na CPU, 2 threads, torch 2.15, 2026-01-02."
    )


def test_the_cores_tables_stand_in_the_same_pages(monkeypatch, fake_paper):
    core = fake_paper.root.parent.parent / "shared"
    core.mkdir()
    monkeypatch.setattr(tables, "benchmarks_root", lambda name: core if name == "ops" else fake_paper.root)
    page = core.parent / "docs" / "performance.md"
    page.parent.mkdir()
    parts = [f"<!-- generated: benchmarks {name} -->\nold\n<!-- end generated -->\n" for name in ("fake", "ops")]
    page.write_text("".join(parts))
    assert tables.stale_tables(core) == [f"{page}: benchmarks"]
    assert tables.write_tables(core) == [page]
    assert page.read_text().startswith(parts[0])
    assert page.read_text().count("Speed: not run.") == 1


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
    file = "[file](https://example.org/a.pth) (licence not stated)"
    assert f"| `fake_a` | not run | table 1 | a second | {file} |" in text
    assert "| `fake_b` | not run | table 1 | a second | none published |" in text
