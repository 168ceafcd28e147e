"""What is wrong with a user's data set is said in one line, without a traceback."""

from importlib import import_module
from pkgutil import iter_modules

import numpy as np
import pytest
from mmpretrain.registry import DATASETS, TRANSFORMS
from torch._utils import ExceptionWrapper

from mm_meta_transformer import datasets
from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.read_cloud import CloudError
from mmrepro.datasets.generated.tones import write_wav
from mmrepro.engine.errors import UserError, in_one_line

TABLE = dict(type="TableDataset", split="train", target="bought", classes=("no", "yes"), continuous=("price",))
LABELLED = dict(
    type="LabelledTextDataset",
    texts=("sentence",),
    label="label",
    classes=("0", "1"),
    vocabulary=dict(type="learned", size=50),
)
INERTIAL = {"activity_labels.txt": "1 WALKING", "train/Inertial Signals/total_acc_x_train.txt": "1 2\n3"}
GRAPH = dict(node_features=[[0], [1]], edge_index=[[0], [5]], edge_features=[[0]], path="graph 3")


def said_of(action):
    """Return the line that a user reads."""
    with pytest.raises(SystemExit) as ended, in_one_line():
        action()
    line = str(ended.value)
    assert line.startswith("error: ")
    assert "\n" not in line
    return line


def test_every_error_of_the_data_sets_is_the_users():
    modules = [import_module(f"{datasets.__name__}.{one.name}") for one in iter_modules(datasets.__path__)]
    faults = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
        if kind.__module__ == module.__name__
    }
    assert len(faults) >= 7
    assert {kind.__name__ for kind in faults if not issubclass(kind, UserError)} == set()


@pytest.mark.parametrize("kind", [DataError, CloudError])
def test_a_loaders_process_says_no_more_than_the_main_one(kind):
    try:
        raise kind("a.npy is empty. Fix: leave it out") from OSError("what was behind it")
    except kind:
        sent = ExceptionWrapper(where="in DataLoader worker process 0")
    assert said_of(sent.reraise) == "error: a.npy is empty. Fix: leave it out"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ("colour,price,bought\nred,1,maybe\n", "none of the classes no, yes"),
        ("colour,price,bought\nred,nan,yes\n", "cannot be split"),
        ("colour,price,bought\nred,1\n", "line 2: it has 2 cells"),
        ("colour,price,answer\nred,1,yes\n", "has no column bought"),
        ("colour,price,bought\n" + "red,much,yes\nred,1,no\n" * 20, "no finite number"),
    ],
)
def test_tables(tmp_path, text, words):
    (tmp_path / "own.csv").write_text(text)
    line = said_of(lambda: DATASETS.build(dict(TABLE, files=str(tmp_path / "own.csv"))))
    assert "own.csv" in line
    assert words in line


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"sentence\tlabel\ngood\tmaybe\n", "line 2: the label is 'maybe'"),
        (b"sentence\tlabel\n\t1\n", "line 2: a text is empty"),
        (b"sentence,label\ngood,1\n", "has no column sentence, label"),
        (b"sentence\tlabel\ngood\t1\t2\n", "line 2: 3 columns"),
        (b"", "has no column"),
        (b"sentence\tlabel\n\xff\xfe\t1\n", "cannot be read as text"),
    ],
)
def test_texts(tmp_path, content, words):
    (tmp_path / "own.tsv").write_bytes(content)
    line = said_of(lambda: DATASETS.build(dict(LABELLED, ann_file=str(tmp_path / "own.tsv"))))
    assert "own.tsv" in line
    assert words in line


@pytest.mark.parametrize(
    ("files", "settings", "words"),
    [
        ({"chair/a.txt": "1 2"}, dict(type="PointFolderDataset"), "a.txt, line 1: 2 numbers"),
        ({"chair/a.md": "1 2"}, dict(type="PointFolderDataset"), "has no file that ends with"),
        ({"on/a.wav": "noise"}, dict(type="AudioFilesDataset", pipeline=[dict(type="LoadAudio")]), "a.wav cannot be"),
        ({"on/a.md": "noise"}, dict(type="AudioFilesDataset"), "holds no .wav file of on"),
        (
            {"cat/a.png": ""},
            dict(type="PictureFolderDataset", pipeline=[dict(type="LoadImageChecked")]),
            "a.png cannot",
        ),
        (INERTIAL, dict(type="UCIHARDataset", split="train", channels=("total_acc_x",)), "line 2: 1 numbers, not 2"),
        ({"a.txt": "1\n2 0\n"}, dict(type="GINTextDataset", ann_file="a.txt"), "a.txt ends after 2 lines"),
        ({"a.mat": "none"}, dict(type="HyperspectralDataset", ann_file="a.mat", split="train"), "a.mat cannot be read"),
    ],
)
def test_files(tmp_path, monkeypatch, files, settings, words):
    monkeypatch.chdir(tmp_path)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    place = {} if "ann_file" in settings else {"data_root": "."}
    assert words in said_of(lambda: DATASETS.build(dict(settings, serialize_data=False, **place))[0])


def test_sounds_and_videos_and_graphs(tmp_path):
    write_wav(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "b.mp4").write_text("no video")
    sound, video = dict(path=str(tmp_path / "a.wav")), dict(img_path=str(tmp_path / "b.mp4"))
    assert "8000 samples a second" in said_of(lambda: TRANSFORMS.build(dict(type="LoadAudio"))(sound))
    assert "b.mp4 cannot be read as a video" in said_of(lambda: TRANSFORMS.build(dict(type="LoadClip"))(video))
    assert "graph 3: edge 0 goes" in said_of(lambda: TRANSFORMS.build(dict(type="PrepareGraph"))(dict(GRAPH)))
    assert "the sample has no ids" in said_of(lambda: TRANSFORMS.build(dict(type="PackMetaInputs", keys="ids"))({}))


def test_options():
    for settings in (
        dict(TABLE, split="dev", files="none.csv"),
        dict(LABELLED, part="dev", ann_file="none.tsv"),
        dict(LABELLED, labels=("1",), ann_file="none.tsv"),
        dict(type="UCIHARDataset", split="val", data_root="none"),
    ):
        assert "Fix: " in said_of(lambda settings=settings: DATASETS.build(settings))
