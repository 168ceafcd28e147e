"""What README and docs say is true: commands, options, sessions, configs, links and generated tables."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from mmrepro import papers
from mmrepro.cli import main
from mmrepro.ops import ext
from mmrepro.reproduction import tables

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md"), ROOT / "shared/README.md"]
)
PAGES = [page for page in PAGES if "zoo" not in page.parts and "_build" not in page.parts]
FENCE = re.compile(r"```(?:bash|console|sh)\n(.*?)```", re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")


def commands(page: Path) -> list[str]:
    """Return the commands of a page: lines of shell blocks, and inline code that starts with a command of ours."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += [code for code in CODE.findall(text) if code.split(" ")[0] in ("mmrepro", "nox", "mim")]
    return [line.strip() for line in lines if line.strip()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist(page):
    """Each `mmrepro` command and option is one of the CLI; `nox -s` names sessions; `mim` configs and tools of ours."""
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE))
    sessions |= set(re.findall(r'name="([\w-]+)"', (ROOT / "noxfile.py").read_text(encoding="utf-8")))
    configs = {path.name for name in papers.names() for path in papers.configs(name)}
    for line in commands(page):
        words = shlex.split(line, comments=True)
        for start, word in enumerate(words):
            if word == "mmrepro":
                check_cli(words[start + 1 :], line)
            elif word == "nox" and "-s" in words[start:]:
                named = words[words.index("-s", start) + 1 :]
                named = named[: named.index("--")] if "--" in named else named
                known = [name for name in named if not name.startswith("-")]
                assert {re.sub(r"\(.*", "", name) for name in known} <= sessions, line
            elif words[start : start + 2] == ["mim", "run"] and ours(words[start + 2]):
                paper = words[start + 2].removeprefix("mmrepro-").replace("-", "_")
                assert (ROOT / "packages" / paper / "tools" / f"{words[start + 3]}.py").is_file(), line
            elif word == "mim" and "search" not in words and len(words) > start + 3 and ours(words[start + 2]):
                target = Path(words[start + 3]).name
                assert target in configs or target.isupper() or "CONFIG" in target or target.startswith("my"), line


def ours(package: str) -> bool:
    return package.startswith("mmrepro-")


def check_cli(words: list[str], line: str) -> None:
    command: click.Command = main
    for word in words:
        if word in ("&&", "|", ";"):
            return
        if word.startswith("-"):
            options = {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
            assert word.split("=")[0] in options | {"--help", "-h", "--version"}, f"{line}: no option {word}"
        elif isinstance(command, click.Group):
            assert word in command.commands, f"{line}: no command {word}"
            command = command.commands[word]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


def test_generated_tables_are_fresh(package):
    """`mmrepro report PAPER --write-tables` would change nothing."""
    assert tables.stale_tables(package) == []


def test_the_cores_generated_tables_are_fresh():
    """`mmrepro bench ops` writes them."""
    assert tables.stale_tables(ROOT / "shared") == []


def test_every_served_operator_is_documented():
    named = set(CODE.findall((ROOT / "docs/operators.md").read_text(encoding="utf-8")))
    assert set(ext.MODULE_OF) <= named
