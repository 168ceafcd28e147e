"""Every task that a person or CI runs. `nox -l` lists them; nothing else runs anything.

Packages are found by looking into `packages/`: adding a paper edits nothing here.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "tests"]
nox.options.error_on_external_run = True

HERE = Path(__file__).parent.resolve()
CONSTRAINTS = HERE / "constraints.txt"
CORE = HERE / "shared"
OPERATORS = "ops"  # what `bench` calls the core
PAPERS = {
    folder.name: folder for folder in sorted((HERE / "packages").iterdir()) if (folder / "pyproject.toml").is_file()
}
WHEELS = HERE / "wheels"
PYPROJECT = nox.project.load_toml("pyproject.toml")


def groups(*names: str) -> list[str]:
    """Return the requirements of dependency groups of the root's pyproject.toml."""
    return nox.project.dependency_groups(PYPROJECT, *names)


def environment() -> dict[str, str | None]:
    """Return what every run gets: two threads unless told otherwise, plots without a screen, compiled modules kept."""
    threads = os.environ.get("OMP_NUM_THREADS", "2")
    return {"OMP_NUM_THREADS": threads, "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": None}


def install_checkout(session: nox.Session, *extra: str, papers: list[str] | None = None) -> None:
    """Install the core and papers from this checkout, editable, with the tested versions."""
    folders = [PAPERS[name] for name in papers or PAPERS]
    editable = [part for folder in folders for part in ("-e", f"{folder}[openmmlab]")]
    session.install("--no-sources", "-c", str(CONSTRAINTS), "-e", str(CORE), *editable, *extra)


def paper_argument(session: nox.Session, default: str = "") -> tuple[str, list[str]]:
    """Return the paper named first after `--`, and the remaining arguments."""
    arguments = list(session.posargs)
    name = arguments.pop(0) if arguments and not arguments[0].startswith("-") else default
    name = name.replace("-", "_").removeprefix("mmrepro_")
    if name not in PAPERS:
        session.error(f"no paper {name!r} in packages/; there are: {', '.join(PAPERS)}")
    return name, arguments


def install_wheels(session: nox.Session, *papers: str) -> None:
    """Build all wheels and install papers from them; the version stays the same, so uv must not take older ones."""
    wheels = build_wheels(session)
    names = ["mmrepro", *(f"mmrepro-{paper.replace('_', '-')}" for paper in PAPERS)]
    fresh = [part for name in names for part in ("--refresh-package", name)]
    wanted = [f"mmrepro-{paper.replace('_', '-')}[openmmlab]" for paper in papers]
    session.install("-c", str(CONSTRAINTS), "--find-links", str(wheels), *fresh, *wanted, *groups("test"))


def build_wheels(session: nox.Session) -> Path:
    """Build a wheel of every distribution into wheels/."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    for folder in (CORE, *PAPERS.values()):
        session.run("uv", "build", "--quiet", "--wheel", "--out-dir", str(WHEELS), str(folder), external=True)
    return WHEELS


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting of the whole tree."""
    session.install("-c", str(CONSTRAINTS), *groups("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all fast tests in one environment; `-- -m slow` runs the slow ones, `-- PATH` some."""
    install_checkout(session, *groups("openmmlab", "test", "onnx", "peers"))
    session.run(
        "python",
        "-m",
        "pytest",
        *(session.posargs or ["-n", "2"]),
        env={**environment(), "OMP_NUM_THREADS": "1"},
    )


@nox.session(name="tests-oldest", python="3.10")
def tests_oldest(session: nox.Session) -> None:
    """Run the core's and the papers' tests with the lower bounds of their dependencies."""
    editable = [part for folder in PAPERS.values() for part in ("-e", f"{folder}[openmmlab]")]
    session.install("--no-sources", "--resolution", "lowest-direct", "-e", str(CORE), *editable, *groups("test"))
    session.run("python", "-m", "pytest", "shared/tests", "packages", *session.posargs, env=environment())


@nox.session
def upstream(session: nox.Session) -> None:
    """Run with the dormant upstream mmengine and mim instead of the maintained distributions."""
    editable = [part for folder in PAPERS.values() for part in ("-e", str(folder))]
    session.install(
        "--no-sources",
        "-e",
        str(CORE),
        *editable,
        "mmengine==0.10.7",
        "openmim==0.3.9",
        "setuptools<82",
        *groups("test"),
    )
    session.run("python", "-m", "pytest", "shared/tests", "packages", *session.posargs, env=environment())


@nox.session
def compiled(session: nox.Session) -> None:
    """Compile mmcv's operators (a quarter of an hour) and compare them with those that need no compiler."""
    install_checkout(session, *groups("openmmlab", "test"), "ninja", "pip", "setuptools", "wheel")
    folder = Path(session.create_tmp())
    shutil.rmtree(folder)
    download = ("--no-deps", "--no-build-isolation", "--no-binary", ":all:", "--dest", str(folder))
    session.run("python", "-m", "pip", "download", "--quiet", *download, "-c", str(CONSTRAINTS), "onedl-mmcv")
    shutil.unpack_archive(next(folder.glob("*.tar.gz")), folder)
    source = next(path.parent for path in folder.glob("*/setup.py"))
    # mmcv 2.3.6 asks for C++17, the headers of torch 2.15 need C++20
    setup = (source / "setup.py").read_text(encoding="utf-8").replace("c++17", "c++20")
    (source / "setup.py").write_text(setup, encoding="utf-8")
    with session.chdir(source):
        build = {"MMCV_WITH_OPS": "1", "FORCE_CUDA": "0", "CFLAGS": "-O1"}
        session.run("python", "setup.py", "--quiet", "build_ext", "--inplace", env=build)
    place = session.run("python", "-c", "import mmcv; print(mmcv.__path__[0])", silent=True).strip()
    for extension in (source / "mmcv").glob("_ext*"):
        shutil.copy(extension, place)
    comparison = "shared/tests/ops/test_compiled.py"
    session.run("python", "-m", "pytest", comparison, *session.posargs, env=environment())


@nox.session
@nox.parametrize("paper", [nox.param(name, id=name) for name in PAPERS])
def package(session: nox.Session, paper: str) -> None:
    """Install one paper alone, from wheels, and run its own tests."""
    install_wheels(session, paper)
    session.run("python", "-m", "pytest", str(PAPERS[paper] / "tests"), *session.posargs, env=environment())


@nox.session
@nox.parametrize("install", [nox.param(kind, id=kind) for kind in ("wheel", "editable")])
def mim(session: nox.Session, install: str) -> None:
    """Run mim train, test, search, run and gridsearch with every paper."""
    if install == "wheel":
        install_wheels(session, *PAPERS)
    else:
        install_checkout(session, *groups("test"))
    session.run("python", "-m", "pytest", "tests/test_mim.py", "-m", "mim", *session.posargs, env=environment())


@nox.session
def reproduce(session: nox.Session) -> None:
    """Reproduce a paper's rows: `nox -s reproduce -- itransformer [options of mmrepro reproduce]`."""
    paper, arguments = paper_argument(session)
    install_checkout(session, papers=[paper])
    session.run("mmrepro", "reproduce", paper, *arguments, env=environment())


@nox.session
def quickstart(session: nox.Session) -> None:
    """Train a paper's model on embedded data in a few minutes: `nox -s quickstart [-- paper]`."""
    paper, arguments = paper_argument(session, default="itransformer")
    install_checkout(session, papers=[paper])
    session.run("mmrepro", "quickstart", paper, *arguments, env=environment())


@nox.session
def bench(session: nox.Session) -> None:
    """Measure our code beside others' code: `nox -s bench [-- paper]`, or `-- ops` for the core's operators."""
    if session.posargs[:1] == [OPERATORS]:
        paper, arguments = OPERATORS, session.posargs[1:]
        session.install("-c", str(CONSTRAINTS), "-e", f"{CORE}[openmmlab]", *groups("openmmlab"))
    else:
        paper, arguments = paper_argument(session)
        install_checkout(session, *groups("peers"), papers=[paper])
    session.run("mmrepro", "bench", paper, *arguments, env=environment())


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error."""
    install_checkout(session, *groups("openmmlab", "docs"))
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build every distribution's wheel into wheels/ and check that mim would find each paper."""
    wheels = build_wheels(session)
    session.install("-c", str(CONSTRAINTS), *groups("test"))
    session.run("python", "-m", "pytest", "tests/test_wheels.py", "-m", "wheels", env={"MMREPRO_WHEELS": str(wheels)})
