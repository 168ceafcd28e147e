import json
import sys

import pytest

from mmrepro.datasets.generated.library import library


def test_an_installed_one_is_returned():
    assert library("json", "json", "Letters") is json


def test_an_absent_one_is_named_with_the_command_that_installs_it():
    with pytest.raises(ModuleNotFoundError, match=r"^Clips are written by pyav, .* Fix: pip install pyav$") as raised:
        library("no_such_library.io", "pyav", "Clips")
    assert raised.value.name == "no_such_library"


@pytest.mark.parametrize(
    ("module", "write", "needed"),
    [
        ("point_clouds", "modelnet_folder", "h5py"),
        ("clips", "clips_folder", "av"),
        ("spectra", "spectra_file", "scipy"),
    ],
)
def test_generators_load_without_the_library_and_ask_for_it_when_they_write(monkeypatch, module, write, needed):
    for name in [name for name in sys.modules if name.partition(".")[0] == needed]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, needed, None)  # import says that there is none
    monkeypatch.delitem(sys.modules, f"mmrepro.datasets.generated.{module}", raising=False)
    generator = __import__(f"mmrepro.datasets.generated.{module}", fromlist=[write])
    with pytest.raises(ModuleNotFoundError, match=f"pip install {needed}"):
        getattr(generator, write)()
