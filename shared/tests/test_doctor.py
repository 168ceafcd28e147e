"""The doctor against environments that are broken in known ways."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
import torch

from mmrepro import doctor
from mmrepro.doctor import Finding
from mmrepro.ops.ext import MODULE_OF


@pytest.fixture
def installed(monkeypatch):
    """An environment that a test describes: versions by distribution, distributions by module, children's answers."""
    machine = SimpleNamespace(
        versions={"torch": "2.12.0", "torchvision": "0.27"},
        owners={},
        modules=set(),
        answers={},
        attention=(True, "cpu|torch|the path for the device 'cpu'"),
        requires={},
    )

    def version(name):
        if name not in machine.versions:
            raise PackageNotFoundError(name)
        return machine.versions[name]

    def distribution(name):
        if name not in machine.requires:
            raise PackageNotFoundError(name)
        return SimpleNamespace(requires=machine.requires[name])

    def probe(code):
        answers = {**machine.answers, "mmrepro.ops.dispatch": machine.attention}
        return next((answer for part, answer in answers.items() if part in code), (True, "fine"))

    monkeypatch.setattr(doctor, "version", version)
    monkeypatch.setattr(doctor, "distribution", distribution)
    monkeypatch.setattr(doctor, "packages_distributions", lambda: machine.owners)
    monkeypatch.setattr(doctor, "find_spec", lambda name: machine.modules.get(name) if machine.modules else None)
    monkeypatch.setattr(doctor, "probe", probe)
    monkeypatch.setattr(doctor.papers, "names", lambda: ["itransformer"])
    monkeypatch.setattr(doctor.papers, "checkout", lambda name: None)
    return machine


def about(topic) -> list[Finding]:
    return [finding for finding in doctor.examine() if finding.topic == topic]


def test_a_sound_environment_is_not_broken(installed):
    findings = doctor.examine()
    assert not doctor.is_broken(findings)
    assert {finding.state for finding in findings} <= {"ok", "note"}


def test_no_torch(installed):
    installed.versions.pop("torch")
    assert about("torch") == [Finding("torch", "broken", "torch is not installed", "pip install torch torchvision")]


@pytest.mark.parametrize(
    ("version", "warned"), [("2.9.1+cu128", True), ("2.10.0", False), ("3.0", False), ("2.4", True)]
)
def test_old_torch_is_warned_of(installed, version, warned):
    installed.versions["torch"] = version
    assert [finding.state for finding in about("torch")] == (["warning"] if warned else [])


def test_torch_that_does_not_import_is_broken(installed):
    installed.answers = {"import torch": (False, "OSError: libcudart.so.13: cannot open shared object file")}
    assert [(one.state, "libcudart" in one.text) for one in about("torch")] == [("broken", True)]


def test_what_an_extra_needs_is_named_with_the_command(installed):
    installed.requires = {
        "mmrepro": ["click>=8.1", "torch>=2.4"],
        "mmrepro-itransformer": [
            "mmrepro<0.2,>=0.1",
            "onedl-mmengine>=0.10.12; extra == 'openmmlab'",
            "ftfy; extra == 'openmmlab'",
            "sphinx; extra == 'docs'",
        ],
    }
    installed.versions |= {"click": "8.2", "mmrepro": "0.1"}
    (missing,) = about("requirements")
    assert missing.state == "broken"
    assert missing.fix == "pip install onedl-mmengine ftfy"


def test_another_distribution_of_the_same_module_serves(installed):
    installed.requires = {"mmrepro-itransformer": ["onedl-mmengine; extra == 'openmmlab'"]}
    installed.modules = {"mmengine": SimpleNamespace(origin="x")}
    assert [finding.state for finding in about("requirements")] == ["ok"]


def test_two_distributions_of_one_module_are_broken(installed):
    installed.owners = {"mmengine": ["onedl-mmengine", "mmengine", "mmengine"], "mmcv": ["onedl-mmcv"]}
    installed.versions |= {"onedl-mmengine": "0.10.12", "mmengine": "0.10.7", "onedl-mmcv": "2.3.6"}
    (twice,) = about("installed twice")
    assert twice.state == "broken"
    assert twice.fix == "pip uninstall -y mmengine onedl-mmengine && pip install onedl-mmengine"


def test_two_opencvs_are_warned_of(installed):
    installed.modules = {"cv2": SimpleNamespace(origin="x")}
    installed.owners = {"cv2": ["opencv-python", "opencv-python-headless"]}
    installed.versions |= {"opencv-python": "4.12", "opencv-python-headless": "4.12"}
    warned, imports = about("opencv")
    assert (warned.state, imports.state) == ("warning", "ok")
    assert "uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless" in warned.fix


def test_a_missing_libgl_is_named(installed):
    installed.modules = {"cv2": SimpleNamespace(origin="x")}
    installed.owners = {"cv2": ["opencv-python"]}
    installed.versions["opencv-python"] = "4.12"
    installed.answers = {"import cv2": (False, "ImportError: libGL.so.1: cannot open shared object file")}
    (missing,) = about("opencv")
    assert missing.state == "broken"
    assert missing.fix == "pip uninstall -y opencv-python && pip install opencv-python-headless"


@pytest.mark.parametrize(
    ("compiled", "answer", "state", "words"),
    [
        (True, (True, ""), "ok", "compiled operators are live"),
        (True, (False, "ImportError: undefined symbol"), "broken", "undefined symbol"),
        (False, (True, ""), "ok", f"mmrepro serves {len(MODULE_OF)} operators"),
    ],
)
def test_the_live_operators(installed, tmp_path, compiled, answer, state, words):
    extension = tmp_path / "_ext.cpython-311-x86_64-linux-gnu.so"
    if compiled:
        extension.touch()
    installed.modules = {"mmcv": SimpleNamespace(origin=str(tmp_path / "__init__.py"))}
    installed.answers = {"mmcv._ext": answer}
    (path,) = about("operators")
    assert path.state == state
    assert words in path.text
    assert path.fix == (f'rm "{extension}"' if state == "broken" else "")


@pytest.mark.parametrize(
    ("answer", "state", "words", "fix"),
    [
        ((True, "cpu|torch|the path for the device 'cpu'"), "ok", "pure PyTorch is live: the path for the device", ""),
        ((True, "noise\ncuda|triton|the path for CUDA"), "ok", "Triton is live: the path for CUDA", ""),
        ((True, "cuda|mmcv|forced by MMREPRO_MSDA"), "ok", "mmcv's compiled operator is live: forced", ""),
        (
            (True, "cuda|torch|the Triton kernels cannot run: no C compiler"),
            "warning",
            "pure PyTorch is live: the Triton kernels cannot run: no C compiler",
            "apt-get install gcc python3-dev && pip install triton",
        ),
        (
            (True, "cuda|torch|the Triton kernels cannot run: ld: a|b"),
            "warning",
            "cannot run: ld: a|b",
            "apt-get install gcc python3-dev && pip install triton",
        ),
        (
            (False, "RuntimeError: MMREPRO_MSDA=triton, but the tensors are on 'cpu'"),
            "broken",
            "MMREPRO_MSDA=triton, but",
            "unset MMREPRO_MSDA",
        ),
    ],
)
def test_the_live_path_of_deformable_attention(installed, answer, state, words, fix):
    installed.attention = answer
    (path,) = about("deformable attention")
    assert (path.state, path.fix) == (state, fix)
    assert words in path.text


def test_a_leftover_folder_of_mmcv_is_named(installed):
    installed.modules = {"mmcv": SimpleNamespace(origin=None)}
    (path,) = about("operators")
    assert (path.state, path.fix) == ("broken", "pip install onedl-mmcv")


def test_without_torch_there_is_no_word_about_attention(installed):
    installed.attention = (False, "ModuleNotFoundError: No module named 'torch'")
    assert about("deformable attention") == []


def test_the_live_path_is_the_one_that_the_function_takes():
    (found,) = doctor._deformable_attention()
    expected = "Triton" if torch.cuda.is_available() else "pure PyTorch"
    assert found.text.startswith(f"{expected} is live")


def test_a_child_tells_its_last_error_line():
    assert doctor.probe("print('yes')") == (True, "yes")
    works, said = doctor.probe("import a_module_that_does_not_exist")
    assert (works, said) == (False, "ModuleNotFoundError: No module named 'a_module_that_does_not_exist'")
    assert doctor.probe("import os; os.kill(os.getpid(), 9)") == (False, "killed by signal 9")
