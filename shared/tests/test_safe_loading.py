"""What the safe loader reads, what it refuses, and what it says.

The doors of the host libraries: tests/test_hostile_checkpoints.py.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict, deque
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from safetensors.torch import save_file

from mmrepro import safe_loading
from mmrepro.safe_loading import CONFIG_STAND_IN, UnreadableCheckpointError, UnsafeCheckpointError, load


@pytest.fixture
def file(tmp_path):
    return tmp_path / "weights.pth"


class Calls:
    """Pickles as a call of a function with arguments."""

    def __init__(self, function, *arguments) -> None:
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def raw_checkpoint(path: Path, content: bytes) -> None:
    """Write a file of torch's kind around hand-made pickle instructions."""
    torch.save({}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, content if name.endswith("data.pkl") else data)


def test_an_official_training_checkpoint_loads(file):
    arguments = Namespace(
        lr=1e-4,
        output_dir=Path("runs/one"),
        windows=PureWindowsPath("C:/runs"),
        anchors=np.arange(6.0).reshape(2, 3).T,
        best=np.float32(2.5),
        flag=np.bool_(True),
        names=np.array(["ab", "c"]),
        big_endian=np.array([1, 2], ">i4"),
        nothing=np.array([]),
        dtype=np.dtype("float16"),
        sizes=(480, np.int64(512)),
        inner=Namespace(depth=3),
        empty=b"",
    )
    losses = deque([0.5, np.float64(0.25)], maxlen=20)
    torch.save(
        {
            "model": OrderedDict(weight=torch.ones(2)),
            "args": arguments,
            "losses": losses,
            "also losses": losses,
            "nothing": deque(),
            "counts": Counter("aab"),
            "seen": {1, 2},
        },
        file,
    )
    loaded = load(file)
    assert torch.equal(loaded["model"]["weight"], torch.ones(2))
    for name, value in vars(arguments).items():
        found = getattr(loaded["args"], name)
        if isinstance(value, np.ndarray):
            assert found.dtype == value.dtype
            assert np.array_equal(found, value)
        else:
            assert found == value
            assert type(found) is type(value)
    assert loaded["losses"] == losses
    assert loaded["losses"].maxlen == 20
    assert loaded["also losses"] is loaded["losses"]
    assert loaded["nothing"] == deque()
    assert loaded["counts"] == Counter("aab")
    assert loaded["seen"] == {1, 2}


def test_a_file_of_the_other_systems_paths_loads(file):
    torch.save({"one": PurePosixPath("a/b"), "other": PureWindowsPath("C:/a")}, file)
    foreign = file.with_name("foreign.pth")
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(foreign, "w") as out:
        for name in archive.namelist():
            data = archive.read(name)
            out.writestr(name, data.replace(b"PureWindowsPath", b"WindowsPath").replace(b"PurePosixPath", b"PosixPath"))
    loaded = load(foreign)
    assert loaded["other"] == PureWindowsPath("C:/a")
    assert loaded["one"].as_posix() == "a/b"


def test_arrays_of_numpy_1_load(file):
    torch.save({"array": np.arange(3), "number": np.float32(0.5)}, file)
    old = file.with_name("old.pth")
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(old, "w") as out:
        for name in archive.namelist():
            out.writestr(name, archive.read(name).replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert load(old)["array"].tolist() == [0, 1, 2]
    assert load(old)["number"] == np.float32(0.5)


def test_a_history_loads_as_mmengines_own(file):
    hub = MessageHub("safe_loading_history")
    for value in (3.0, 1.0):
        hub.update_scalar("loss", value)
    torch.save({"state_dict": {}, "message_hub": hub.state_dict()}, file)
    history = load(file)["message_hub"]["log_scalars"]["loss"]
    assert type(history) is HistoryBuffer
    assert [array.tolist() for array in history.data] == [[3.0, 1.0], [1, 1]]
    history.update(2.0)
    assert history.mean() == 2.0
    assert history.statistics("min") == 1.0
    torch.save({"again": history}, file)
    assert load(file)["again"].data[0].tolist() == [3.0, 1.0, 2.0]


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_safetensors_are_known_by_their_content(tmp_path, suffix):
    save_file({"a": torch.arange(3)}, tmp_path / f"weights.{suffix}", metadata={"format": "pt", "version": "1.0"})
    loaded = load(tmp_path / f"weights.{suffix}")
    assert loaded["state_dict"]["a"].tolist() == [0, 1, 2]
    assert loaded["meta"] == {"format": "pt", "version": "1.0"}


@pytest.mark.parametrize("map_location", [None, "cpu", torch.device("cpu"), lambda storage, place: storage])
def test_map_location_is_torchs(tmp_path, map_location):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors")
    assert load(tmp_path / "a.pth", map_location)["a"].device.type == "cpu"
    assert load(tmp_path / "a.safetensors", map_location)["state_dict"]["a"].device.type == "cpu"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_call_is_refused_by_name(file, tmp_path, protocol, zipped):
    ran = tmp_path / "ran"
    hostile = {"state_dict": {"a": torch.ones(1), "b": Calls(os.mkdir, str(ran))}}
    torch.save(hostile, file, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeCheckpointError, match=r"weights\.pth is not loaded") as caught:
        load(file)
    assert not ran.exists()
    assert caught.value.name == ("posix.mkdir" if protocol < 4 else "")
    assert "safetensors" in str(caught.value)


def test_a_plain_pickle_is_refused(file, tmp_path):
    file.write_bytes(pickle.dumps(Calls(os.mkdir, str(tmp_path / "ran")), protocol=2))
    with pytest.raises(UnsafeCheckpointError, match=r"posix\.mkdir"):
        load(file)
    assert not (tmp_path / "ran").exists()


def test_archives_that_older_torch_reads_in_full_are_refused(file):
    """torch.load(weights_only=True) runs the first up to 2.5.1, and unpacks the second."""
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("data.pkl", "constants.pkl", "version"):
            archive.writestr(f"weights/{name}", b"3\n")
    with pytest.raises(UnsafeCheckpointError, match="TorchScript"):
        load(file)
    with tarfile.open(file, "w") as archive:
        archive.add(__file__, "storages")
    with pytest.raises(UnsafeCheckpointError, match="tar archive"):
        load(file)


def test_what_other_libraries_allow_does_not_hold_here(file):
    torch.serialization.add_safe_globals([getattr, print])
    before = set(torch.serialization.get_safe_globals())
    try:
        torch.save({"a": Calls(print, "ran")}, file)
        with pytest.raises(UnsafeCheckpointError, match=r"builtins\.print"):
            load(file)
        torch.save({"a": Calls(getattr, "text", "upper")}, file)
        with pytest.raises(UnsafeCheckpointError, match="getattr"):
            load(file)
        assert set(torch.serialization.get_safe_globals()) == before
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(list(before - {getattr, print}))


PURPOSES = {
    "another method of HistoryBuffer": Calls(getattr, HistoryBuffer, "register_statistics"),
    "a method of an allowed class": Calls(getattr, OrderedDict, "update"),
    "a method of a text": Calls(getattr, "text", "upper"),
    "the globals of a method": Calls(getattr, Calls(getattr, HistoryBuffer, "min"), "__globals__"),
    "bytes of a size": Calls(bytes, 10),
    "an array of objects": np.array([{}], dtype=object),
    "an array of structures": np.zeros(1, dtype=[("a", "O")]),
    "the type of objects": np.dtype("O"),
    "an array of dates": np.array([1, 2], dtype="M8[s]"),
}


@pytest.mark.parametrize("value", PURPOSES.values(), ids=PURPOSES.keys())
def test_an_allowed_name_gives_no_more_than_its_purpose(file, value):
    torch.save({"a": value}, file)
    with pytest.raises(UnsafeCheckpointError):
        load(file)


def test_a_history_brings_nothing_into_mmengines_table_of_methods(file, monkeypatch):
    """The table belongs to the class, and mmengine's own loader takes a file's entries into it, builtins too."""
    table = dict(HistoryBuffer._statistics_methods)
    state = {
        "max_length": 10,
        "_log_history": np.array([1.0]),
        "_count_history": np.array([1]),
        "statistics_methods": {"mean": getattr, "new": Calls(getattr, HistoryBuffer, "max")},
    }
    with monkeypatch.context() as patch:
        patch.setattr(HistoryBuffer, "__getstate__", lambda buffer: state)
        torch.save({"a": HistoryBuffer()}, file)
    loaded = load(file)["a"]
    assert HistoryBuffer._statistics_methods == table
    assert loaded.statistics("mean") == 1.0
    assert loaded.data[0].tolist() == [1.0]


@pytest.mark.parametrize("key", ["cfg", "config"])
def test_the_config_in_the_meta_is_inert(file, key):
    torch.save({"state_dict": {}, "meta": {key: "model = dict(type='os.system', command='true')", "epoch": 1}}, file)
    loaded = load(file)
    assert loaded["meta"] == {key: CONFIG_STAND_IN, "epoch": 1}


def test_the_config_in_the_message_hub_is_gone_and_the_meta_says_so(file):
    torch.save({"state_dict": {}, "message_hub": {"runtime_info": {"cfg": "import os", "epoch": 1}}}, file)
    loaded = load(file)
    assert loaded["message_hub"]["runtime_info"] == {"epoch": 1}
    assert loaded["meta"] == {"cfg": CONFIG_STAND_IN}


def test_the_inert_config_raises_our_error_wherever_it_is_run():
    from mmengine.config import Config

    with pytest.raises(UnsafeCheckpointError, match="pass the config's name or path"):
        Config.fromstring(CONFIG_STAND_IN, file_format=".py")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"hello, this is no checkpoint", "cannot be read"),
        (b"\x10\x00\x00\x00\x00\x00\x00\x00{broken json    ", "damaged or cut off"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_called_by_its_name(file, content, words):
    file.write_bytes(content)
    with pytest.raises(UnreadableCheckpointError, match=words) as caught:
        load(file)
    assert "weights.pth" in str(caught.value)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_file_that_is_cut_off_is_an_error(tmp_path, suffix):
    whole, half = tmp_path / f"whole.{suffix}", tmp_path / f"half.{suffix}"
    state = {"a": torch.randn(64, 64)}
    save_file(state, whole) if suffix == "safetensors" else torch.save(state, whole)
    half.write_bytes(whole.read_bytes()[:-5000])
    with pytest.raises(UnreadableCheckpointError, match=r"(?i)half.* download it again"):
        load(half)


@pytest.mark.parametrize("content", [b"(lp0\n.", b"\x80\x02h\x07.", b"\x80\x02(cnumpy\ndtype\n.", b"\x80\x02]]]abb."])
def test_senseless_instructions_are_an_error_of_ours(file, content):
    raw_checkpoint(file, content)
    with pytest.raises(safe_loading.CheckpointError):
        load(file)


def test_a_missing_file_and_one_without_a_dictionary(file):
    with pytest.raises(FileNotFoundError, match=r"weights\.pth"):
        load(file)
    torch.save(torch.ones(1), file)
    with pytest.raises(UnreadableCheckpointError, match="holds a Tensor"):
        load(file)


def test_the_source_of_the_latest_checkpoint_is_known(file):
    torch.save({}, file)
    first = load(file)
    assert safe_loading.source_of(first) == str(file)
    second = load(file)
    assert safe_loading.source_of(second) == str(file)
    assert safe_loading.source_of({}) == "the checkpoint"


INSTALL = """
import os, sys, warnings
warnings.simplefilter("ignore")
{before}
from mmrepro import safe_loading
safe_loading.install()
safe_loading.install()
import torch
print(os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"], os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"))
{after}
"""


def run(before: str = "", after: str = "", **environment: str) -> list[str]:
    code = INSTALL.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_installing_closes_torchs_own_doors_and_ignores_the_switch_that_opens_them(file, tmp_path):
    """The second layer: a plain torch.load with weights_only=False, and torch.hub, in the same process."""
    torch.save({"a": Calls(os.mkdir, str(tmp_path / "ran"))}, file)
    after = f"""
for door in (
    lambda: torch.load({str(file)!r}, weights_only=False),
    lambda: torch.hub.load_state_dict_from_url("https://example.invalid/{file.name}", model_dir={str(tmp_path)!r}),
):
    try:
        door()
    except Exception as error:
        print(type(error).__name__)
"""
    printed = run(after=after, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    assert printed == ["1", "None", "UnpicklingError", "UnpicklingError"]
    assert not (tmp_path / "ran").exists()


def test_installing_needs_no_mmengine():
    printed = run(before="sys.modules['mmengine'] = None", after="print('mmengine.runner' in sys.modules)")
    assert printed == ["1", "None", "False"]
