"""The command `mmrepro`.

Only click is imported here: every command imports what it needs when it runs, so that help and completion are quick.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from mmrepro import __version__

WIDE = 160  # columns of a table that goes into a file or pipe
PATH = click.Path(path_type=Path)


def _complete(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    from mmrepro import papers

    return [name for name in papers.names() if name.startswith(typed)]


_paper = click.argument("paper", shell_complete=_complete)
_work_dir = click.option(
    "--work-dir", type=PATH, default=Path("work_dirs"), show_default=True, help="Where runs, logs and reports go."
)
_data_root = click.option(
    "--data-root", type=PATH, help="Folder of the data sets; default: $MMREPRO_DATA_ROOT, then ./data."
)


class Commands(click.Group):
    """A group that turns the project's own errors into one line instead of a traceback."""

    def invoke(self, context: click.Context) -> object:
        """Run a command; what is the user's to mend becomes one line and exit code 1."""
        try:
            return super().invoke(context)
        except (LookupError, OSError, ValueError, ImportError, RuntimeError) as fault:
            if isinstance(fault, click.exceptions.Exit | click.Abort) or context.params.get("debug"):
                raise
            words = fault.args[0] if isinstance(fault, KeyError) and fault.args else fault
            raise click.ClickException(str(words)) from fault


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mmrepro")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Seven transformer papers as OpenMMLab plugins, each number verified."""
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # also for child processes: the safe loader's second layer


@main.command("list")
@click.argument("paper", required=False, shell_complete=_complete)
@click.option("--all", "everything", is_flag=True, help="Also the runs for which the paper gives no number alone.")
@_work_dir
def list_rows(paper: str | None, everything: bool, work_dir: Path) -> None:
    """List papers and their rows: reported, measured, tiers reached, verdict."""
    from mmrepro import papers
    from mmrepro.reproduction import ledger, rows, tables

    console = _console()
    for name in [papers.canonical(paper)] if paper else papers.names():
        entries = ledger.load(ledger.path(name, work_dir))
        found = rows.rows(name)
        parity = tables.judge(found[0], "parity", entries) if found else None
        console.print(f"[bold]{name}[/]  {parity.detail if parity and parity.detail else 'parity: not run'}")
        console.print(tables.screen_table(found, entries, everything))
        console.print()


@main.group()
def data() -> None:
    """Find, download and check data sets."""


@data.command("list")
@_data_root
def data_list(data_root: Path | None) -> None:
    """List the data sets, and whether they are here."""
    from rich.table import Table

    from mmrepro.datasets import registry

    table = Table("data set", "what it is", "licence", "state", show_edge=False, pad_edge=False)
    for name in registry.names():
        status = registry.status(name, data_root)
        state = f"by hand: {status.state}" if status.by_hand else status.state
        table.add_row(name, status.data.title, status.data.licence, state)
    _console().print(table)


@data.command("get")
@click.argument("names", nargs=-1, required=True)
@_data_root
def data_get(names: tuple[str, ...], data_root: Path | None) -> None:
    """Download data sets; what is here and right is kept."""
    from mmrepro.datasets import registry

    for name in names:
        for path in registry.download(name, data_root).values():
            click.echo(path)


@data.command("check")
@click.argument("names", nargs=-1)
@_data_root
def data_check(names: tuple[str, ...], data_root: Path | None) -> None:
    """Verify files by checksum, or by size where none is known; exit code 1 if a named one is missing, or any wrong."""
    from mmrepro.datasets import registry

    bad = False
    for name in names or registry.names():
        for found in registry.status(name, data_root).files:
            bad |= found.state == "wrong" or (found.state == "missing" and bool(names))
            click.echo(f"{found.state:12}{name}: {found.detail or found.path}")
    sys.exit(1 if bad else 0)


@main.command()
@_paper
@click.option("--rows", "pattern", help="Only rows whose name contains this, or matches it with * and ?.")
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    type=click.Choice(["complexity", "parity", "evaluate", "train"]),
    help="Only this tier; may be given more than once.",
)
@click.option("--seeds", help="Seeds to train with, for example 2023,1,2; default: each row's own.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Trainings side by side.")
@click.option("--force", is_flag=True, help="Train and evaluate again what the ledger holds.")
@click.option("--download", is_flag=True, help="Download data sets that are missing.")
@click.option(
    "--profile", help="Instead of rows: the small trainings of this name, such as smoke; never in the ledger."
)
@click.option(
    "--weights", type=PATH, help="Folder of official checkpoints that no command can fetch, under their official names."
)
@_work_dir
@_data_root
def reproduce(
    paper: str,
    pattern: str | None,
    tiers: tuple[str, ...],
    seeds: str | None,
    jobs: int,
    force: bool,
    download: bool,
    profile: str | None,
    weights: Path | None,
    work_dir: Path,
    data_root: Path | None,
) -> None:
    """Measure a paper's reported numbers again and compare; exit code 1 if something failed."""
    from mmrepro import papers
    from mmrepro.reproduction import ledger, report, rows, tables
    from mmrepro.reproduction.reproduce import reproduce as measure
    from mmrepro.reproduction.tiers import TIERS, Settings

    paper = papers.canonical(paper)
    if profile is not None:
        others = {"rows": pattern, "tier": tiers, "seeds": seeds, "jobs": jobs > 1, "force": force}
        others |= {"download": download, "weights": weights}
        if given := [f"--{name}" for name, value in others.items() if value]:
            raise click.UsageError(f"a profile's trainings are run as they are: leave out {', '.join(given)}")
        _run_profile(paper, profile, work_dir.resolve(), data_root)
        return
    outcomes = measure(
        paper,
        Settings(work_dir.resolve(), data_root, download=download, force=force, weights=weights),
        pattern=pattern,
        tiers=tiers or TIERS,
        seeds=_seeds(seeds),
        jobs=jobs,
        say=lambda one: click.echo(f"{one.row} · {_attempt(one)} · {one.text}"),
    )
    click.echo()
    selected = rows.rows(paper, pattern)
    file = ledger.path(paper, work_dir)
    _console().print(tables.screen_table(selected, ledger.load(file)))
    click.echo(f"ledger: {file}\nreport: {report.write(paper, work_dir, outcomes=outcomes)}")
    sys.exit(1 if any(one.state == "failed" for one in outcomes) else 0)


@main.command()
@_paper
@click.option("--out", type=PATH, help="The file; default: <work dir>/<paper>/report.html.")
@click.option("--write-tables", is_flag=True, help="Also bring the generated tables of README and docs up to date.")
@_work_dir
def report(paper: str, out: Path | None, write_tables: bool, work_dir: Path) -> None:
    """Write a paper's HTML report from its ledger."""
    from mmrepro import papers
    from mmrepro.reproduction import report, tables

    paper = papers.canonical(paper)
    click.echo(report.write(paper, work_dir, out=out))
    if write_tables:
        checkout = papers.checkout(paper)
        if checkout is None:
            raise click.ClickException(f"{paper} is installed from a wheel: there are no pages to write")
        for page in tables.write_tables(checkout):
            click.echo(page)


@main.command()
@_paper
@click.argument("source", type=PATH)
@click.argument("destination", type=PATH)
@click.option("--to-official", is_flag=True, help="From ours to the official layout.")
@click.option("--option", "-o", "options", multiple=True, metavar="KEY=VALUE", help="What the paper's converter takes.")
def convert(paper: str, source: Path, destination: Path, to_official: bool, options: tuple[str, ...]) -> None:
    """Convert an official checkpoint to ours (safetensors), or back."""
    from mmrepro import checkpoint

    given = dict(map(_key_value, options))
    if "to_official" in given:
        raise click.BadParameter("the direction is the flag --to-official", param_hint="--option")
    meta = checkpoint.convert_file(paper, source, destination, to_official, **given)
    click.echo(f"{destination}  {json.dumps(meta)}")


@main.command()
@_paper
@click.option("--repeats", type=click.IntRange(1), default=30, show_default=True, help="Pairs of calls per case.")
@click.option("--only", metavar="TEXT", help="Only the groups and tables with this in their name; all else is kept.")
def bench(paper: str, repeats: int, only: str | None) -> None:
    """Measure our code and a reference side by side; writes benchmarks.json and the tables of it.

    PAPER may be ops: the core's operators beside mmcv's.
    """
    from mmrepro.reproduction import tables
    from mmrepro.testing.bench import run

    run(paper, repeats=repeats, only=only, show=click.echo)
    for page in tables.write_tables(tables.benchmarks_root(paper)):
        click.echo(page)


@main.command()
def doctor() -> None:
    """Say what is installed, what is broken, and the command that mends it; exit code 1 if something is broken."""
    from mmrepro.doctor import examine, is_broken

    findings = examine()
    colors = {"ok": "green", "note": "blue", "warning": "yellow", "broken": "red"}
    for finding in findings:
        click.echo(f"{click.style(f'{finding.state:8}', fg=colors[finding.state])} {finding.topic}: {finding.text}")
        if finding.fix:
            click.echo(f"{'':9}fix: {finding.fix}")
    sys.exit(1 if is_broken(findings) else 0)


@main.command()
@_paper
@click.option("--config", help="Another small training of the paper, by its config's name; it may need a data set.")
@click.option("--work-dir", type=PATH, help="Where everything goes; default: work_dirs/quickstart/<paper>[/<config>].")
@click.option("--seed", type=int, default=2023, show_default=True)
def quickstart(paper: str, config: str | None, work_dir: Path | None, seed: int) -> None:
    """Train a small model of a paper in a few minutes, the first without a data set, and show result, plots and report.

    Exit code 1 if the model does not beat the baseline.
    """
    from mmrepro import papers
    from mmrepro.quickstart import run

    paper = papers.canonical(paper)
    work_dir = (work_dir or Path("work_dirs", "quickstart", paper, config or "")).resolve()
    click.echo(f"training a small {paper}; log: {work_dir / 'train.log'}")
    result = run(paper, work_dir, config=config, seed=seed)
    for name, (value, baseline) in result.compared.items():
        click.echo(f"test {name}: {value:.4f}   baseline ({result.baseline}): {baseline:.4f}")
    for figure in result.figures:
        click.echo(f"plot: {figure}")
    click.echo(f"report: {result.report}")
    if result.behind:
        raise click.ClickException(f"the model does not beat the baseline in {', '.join(result.behind)}")


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print a shell's completion script; for bash: eval "$(mmrepro completion bash)"."""
    from click.shell_completion import get_completion_class

    click.echo(get_completion_class(shell)(main, {}, "mmrepro", "_MMREPRO_COMPLETE").source())


def _run_profile(paper: str, profile: str, work_dir: Path, data_root: Path | None) -> None:
    from mmrepro.reproduction import profiles

    def say(result: profiles.Result) -> None:
        click.echo(f"{result.member.file.stem}: {result.fault or f'{result.seconds:.0f} s'}")

    results = profiles.run(paper, profile, work_dir, data_root=data_root, say=say)
    click.echo()
    _console().print(profiles.screen_table(results))
    click.echo(f"report: {profiles.write(paper, profile, results, work_dir)}")
    behind = [result.member.subject for result in results if not result.beats_baseline]
    if behind:
        raise click.ClickException(f"failed, or not better than the baseline: {', '.join(behind)}")


def _console():
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=WIDE)


def _attempt(outcome) -> str:
    return outcome.tier if outcome.seed is None else f"{outcome.tier} seed {outcome.seed}"


def _seeds(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of numbers such as 2023,1,2", param_hint="--seeds") from None


def _key_value(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--option")
    try:
        return key.replace("-", "_"), json.loads(value)
    except json.JSONDecodeError:  # a plain word
        return key.replace("-", "_"), value


if __name__ == "__main__":
    main()
