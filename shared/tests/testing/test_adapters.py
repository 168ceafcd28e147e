from __future__ import annotations

import subprocess
import sys

import pytest

from mmrepro.testing import SplitAdapter, load_adapter


def package(folder, text):
    (folder / "tests").mkdir(parents=True)
    (folder / "tests" / "parity.py").write_text(text)
    return folder


def test_adapters_of_two_packages_live_side_by_side(tmp_path):
    one = load_adapter(package(tmp_path / "one", "def run(manifest, state, inputs): return {'who': 1}"))
    two = load_adapter(package(tmp_path / "two", "def run(manifest, state, inputs): return {'who': 2}"))
    assert (one.run({}, {}, {}), two.run({}, {}, {})) == ({"who": 1}, {"who": 2})


def test_an_adapter_may_define_dataclasses(tmp_path):
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\n"
    assert load_adapter(package(tmp_path / "one", text)).A(3).x == 3


def test_the_kinds_of_an_adapter_may_be_served_by_several_files(tmp_path):
    tests = package(tmp_path / "one", "") / "tests"
    for name in ("ones", "twos"):
        (tests / f"{name}.py").write_text(f"def {name}_kind(manifest, state, inputs): return {{'file': __name__}}")
    adapter = SplitAdapter(tests, {"ones": ["ones_kind"], "twos": ["twos_kind"]})
    assert adapter.run({"kind": "twos_kind"}, {}, {}) == {"file": "mmrepro_twos_one"}
    assert adapter.part("ones") is adapter.part("ones")
    with pytest.raises(ValueError, match=r"kind 'three' is not served; served are \['ones_kind', 'twos_kind'\]"):
        adapter.run({"kind": "three"}, {}, {})


def test_a_package_without_an_adapter_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no parity adapter"):
        load_adapter(tmp_path)


def test_the_testing_module_is_light():
    code = "import sys, mmrepro.testing; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "mmrepro.testing.cases" in loaded
    assert not {"torch", "mmengine", "pandas", "pytest", "matplotlib"} & set(loaded)
