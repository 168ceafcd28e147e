"""`mmrepro doctor`: what is installed, what is broken, and the command that mends it.

Nothing is imported here that may be broken: versions come from the installed metadata, and what must be imported to
be judged (OpenCV, compiled operators, torch's devices) is imported in a child process.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from mmrepro import __version__, papers
from mmrepro.ops.ext import MODULE_OF

# Older releases load checkpoints with known holes, also with weights_only=True.
ADVISED_TORCH = (2, 10)
# Distribution in a paper's extra -> module; another distribution of the module serves as well.
MODULES = {
    "onedl-mmengine": "mmengine",
    "onedl-mim": "mim",
    "onedl-mmcv": "mmcv",
    "onedl-mmdetection": "mmdet",
    "onedl-mmsegmentation": "mmseg",
    "onedl-mmpretrain": "mmpretrain",
}
SHOWN = ("torch", "torchvision", "numpy", "mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "mim", "cv2")
PATH_NAMES = {"torch": "pure PyTorch", "triton": "Triton", "mmcv": "mmcv's compiled operator"}
OK, NOTE, WARNING, BROKEN = "ok", "note", "warning", "broken"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, how it is, and the command that mends it."""

    topic: str
    state: str  # ok, note, warning or broken
    text: str
    fix: str = ""


def examine() -> list[Finding]:
    """Return everything that was found, in the order to read it."""
    return [
        _python(),
        *_versions(),
        *_torch(),
        *_missing_requirements(),
        *_installed_twice(),
        *_opencv(),
        _operators(),
        *_deformable_attention(),
        _papers(),
        _data_root(),
    ]


def is_broken(findings: list[Finding]) -> bool:
    """Whether something does not work."""
    return any(finding.state == BROKEN for finding in findings)


def probe(code: str) -> tuple[bool, str]:
    """Run Python code in a child process; return whether it succeeded, and its output or last error line."""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if ran.returncode == 0:
        return True, ran.stdout.strip()
    if ran.returncode < 0:
        return False, f"killed by signal {-ran.returncode}"
    lines = ran.stderr.strip().splitlines()
    return False, lines[-1] if lines else f"exit code {ran.returncode}"


def _python() -> Finding:
    text = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, {sys.prefix}"
    if (3, 10) <= sys.version_info[:2] <= (3, 13):
        return Finding("python", OK, text)
    return Finding("python", BROKEN, f"{text}; 3.10 to 3.13 are supported", "uv venv --python 3.12")


def _versions() -> list[Finding]:
    owners = packages_distributions()
    names = sorted({name for module in SHOWN for name in owners.get(module, ())})
    found = [f"{name} {version(name)}" for name in names]
    return [Finding("versions", OK, ", ".join([f"mmrepro {__version__}", *found]))]


def _torch() -> list[Finding]:
    try:
        installed = version("torch")
    except PackageNotFoundError:
        return [Finding("torch", BROKEN, "torch is not installed", "pip install torch torchvision")]
    findings = []
    if tuple(int(part) for part in re.findall(r"\d+", installed)[:2]) < ADVISED_TORCH:
        text = (
            f"torch {installed}: loading a checkpoint of unknown origin has known holes before 2.10, prefer safetensors"
        )
        findings.append(Finding("torch", WARNING, text, "pip install --upgrade torch torchvision"))
    works, said = probe(
        "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'no CUDA device')"
    )
    if not works:
        return [*findings, Finding("torch", BROKEN, said, "pip install --force-reinstall torch torchvision")]
    return [*findings, Finding("device", OK, f"{said}, {os.cpu_count()} CPU cores")]


def _missing_requirements() -> list[Finding]:
    """Return what the core, and the papers with their extra ``openmmlab``, need and is not installed."""
    findings = []
    for name in ("mmrepro", *(f"mmrepro-{paper.replace('_', '-')}" for paper in papers.names())):
        missing = [one for one in requirements(name) if not _is_installed(one)]
        if missing:
            text = f"{name} needs {', '.join(missing)}, which is not installed"
            findings.append(Finding("requirements", BROKEN, text, f"pip install {' '.join(missing)}"))
    return findings or [Finding("requirements", OK, "everything that the core and the papers need is installed")]


def requirements(name: str) -> list[str]:
    """Return the distributions that a distribution needs, with its extra ``openmmlab`` and no other."""
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return []
    needed = []
    for line in lines:
        requirement, _, marker = line.partition(";")
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        if extra is None or extra[1] == "openmmlab":
            needed.append(re.match(r"[\w.-]+", requirement)[0])
    return needed


def _is_installed(name: str) -> bool:
    if name in MODULES:
        return find_spec(MODULES[name]) is not None
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _installed_twice() -> list[Finding]:
    """Return modules that two distributions provide: the later one was unpacked over the earlier."""
    owners = packages_distributions()
    findings = []
    for module in MODULES.values():
        names = sorted(set(owners.get(module, ())))
        if len(names) > 1:
            keep = next((name for name in names if name.startswith("onedl-")), names[0])
            text = f"{module} comes from {' and '.join(names)}: their files are mixed"
            fix = f"pip uninstall -y {' '.join(names)} && pip install {keep}"
            findings.append(Finding("installed twice", BROKEN, text, fix))
    return findings


def _opencv() -> list[Finding]:
    if find_spec("cv2") is None:
        return []
    names = sorted(set(packages_distributions().get("cv2", ())))
    headless = (
        f"pip uninstall -y {' '.join(names)} && pip install opencv-python-headless"
        if names
        else "pip install --force-reinstall opencv-python-headless"
    )
    findings = []
    if len(names) > 1:
        text = f"cv2 comes from {' and '.join(names)}: two distributions of the same files (mmdet asks for both)"
        findings.append(Finding("opencv", WARNING, text, headless))
    works, said = probe("import cv2; print(cv2.__version__)")
    if works:
        return [*findings, Finding("opencv", OK, f"cv2 {said} imports")]
    if "libGL" in said:
        return [*findings, Finding("opencv", BROKEN, f"{said} (no libGL on this machine)", headless)]
    return [*findings, Finding("opencv", BROKEN, said, headless)]


def _operators() -> Finding:
    """Say which operators are live: compiled ones of mmcv, or those that need no compiler."""
    if find_spec("mmcv") is None:
        return Finding("operators", NOTE, "mmcv is not installed; papers that need it say so in their extra")
    origin = find_spec("mmcv").origin
    if origin is None:
        return Finding("operators", BROKEN, "mmcv is half uninstalled: a folder without code", "pip install onedl-mmcv")
    extension = next(iter(Path(origin).parent.glob("_ext*.*")), None)
    if extension is None:
        text = f"mmcv._ext is not compiled: mmrepro serves {len(MODULE_OF)} operators from torchvision and PyTorch"
        return Finding("operators", OK, text)
    works, said = probe("import torch, mmcv._ext")
    if works:
        return Finding("operators", OK, f"mmcv's compiled operators are live ({extension.name})")
    text = f"{extension.name} exists but does not load, built for another torch: {said}"
    return Finding("operators", BROKEN, text, f'rm "{extension}"')


def _deformable_attention() -> list[Finding]:
    """Say which path of ``ms_deform_attn`` is live, and why a faster one is not."""
    topic = "deformable attention"
    works, said = probe(
        "import torch; from mmrepro.ops.dispatch import choose; "
        "device = 'cuda' if torch.cuda.is_available() else 'cpu'; "
        "print('|'.join((device, *choose(device))).replace('\\n', ' '))"
    )
    if not works:
        if "MMREPRO_MSDA" not in said:  # torch itself does not import, which has a line of its own
            return []
        return [Finding(topic, BROKEN, said, "unset MMREPRO_MSDA")]
    device, path, reason = said.splitlines()[-1].split("|", 2)
    text = f"{PATH_NAMES[path]} is live: {reason}"
    if device == "cuda" and reason.startswith("the Triton kernels cannot run"):
        return [Finding(topic, WARNING, text, "apt-get install gcc python3-dev && pip install triton")]
    return [Finding(topic, OK, text)]


def _papers() -> Finding:
    names = papers.names()
    if names:
        places = ", ".join(f"{name} ({'checkout' if papers.checkout(name) else 'wheel'})" for name in names)
        return Finding("papers", OK, places)
    return Finding("papers", WARNING, "none is installed", 'pip install "./packages/<paper>[openmmlab]"')


def _data_root() -> Finding:
    from mmrepro.datasets import registry

    roots = [str(root) for root in registry.data_roots() if root.is_dir()]
    text = f"data sets are looked for in {', '.join(roots)}" if roots else "no data folder yet"
    return Finding("data", OK if roots else NOTE, f"{text}; `mmrepro data list` says which are there")
