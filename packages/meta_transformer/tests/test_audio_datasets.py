"""Data sets of sound files: classes by folder, the lists of Speech Commands, the names of the spoken digits."""

import shutil

import numpy as np
import pytest
from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.speech_commands import WORDS
from mmrepro.datasets.generated.tones import KINDS, tones_folder
from mmrepro.testing import require_data


@pytest.fixture(scope="module")
def tones():
    return tones_folder(train=8, test=4, seconds=0.2)


@pytest.fixture
def words(tmp_path):
    """Return an archive of three files for each word, in which validation and test have one each."""
    for word in WORDS:
        (tmp_path / word).mkdir()
        for number in range(3):
            (tmp_path / word / f"{number}.wav").touch()
    (tmp_path / "_background_noise_").mkdir()
    (tmp_path / "_background_noise_" / "tap.wav").touch()
    (tmp_path / "validation_list.txt").write_text("".join(f"{word}/1.wav\n" for word in WORDS))
    (tmp_path / "testing_list.txt").write_text("".join(f"{word}/2.wav\n" for word in WORDS))
    return tmp_path


def build(kind, root, **settings):
    # without serialising, which collects garbage first: slow in a process with everything imported
    return DATASETS.build(dict(type=kind, data_root=str(root), serialize_data=False, **settings))


def paths(found, root):
    return [info["path"].removeprefix(f"{root}/") for info in map(found.get_data_info, range(len(found)))]


def test_folders_are_classes(tones):
    found = build("AudioFilesDataset", tones / "train")
    assert found.metainfo["classes"] == KINDS
    assert [info["gt_label"] for info in map(found.get_data_info, range(8))] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert paths(found, tones / "train")[:3] == ["falling/0000.wav", "falling/0004.wav", "high/0001.wav"]
    assert found[0]["num_classes"] == 4
    chosen = build("AudioFilesDataset", tones / "train", classes=("low", "high"))
    assert [chosen[index]["gt_label"] for index in range(4)] == [0, 0, 1, 1]
    assert "low" in chosen[0]["path"]


def test_endings_in_capitals_count_and_hidden_files_do_not(tones, tmp_path):
    (tmp_path / "low").mkdir()
    shutil.copy(next((tones / "train" / "low").iterdir()), tmp_path / "low" / "A.WAV")
    (tmp_path / "low" / "._A.wav").write_text("what some file managers leave")
    assert paths(build("AudioFilesDataset", tmp_path), tmp_path) == ["low/A.WAV"]


def test_partners_are_drawn_where_they_are_wanted(tones):
    assert "partner" not in build("AudioFilesDataset", tones / "train")[0]
    found = build("AudioFilesDataset", tones / "train", partners=True)
    drawn = [found[0]["partner"] for _ in range(40)]
    assert {info["gt_label"] for info in drawn} == {0, 1, 2, 3}
    assert len({info["path"] for info in drawn}) > 4


def test_a_whole_pipeline_gives_what_the_model_reads():
    pipeline = [
        dict(type="LoadAudio"),
        dict(type="MixWaveforms", prob=1.0),
        dict(type="FilterBank", num_bins=16, target_length=24),
        dict(type="MaskSpectrogram", max_bins=4, max_frames=4),
        dict(type="NormalizeSpectrogram"),
        dict(type="JitterSpectrogram"),
        dict(type="PackMetaInputs", keys="spectrogram"),
    ]
    tones = dict(type="GeneratedTonesDataset", partners=True, pipeline=pipeline, serialize_data=False)
    sample = DATASETS.build(tones)[3]
    assert sample["inputs"].shape == (24, 16)
    assert sample["data_samples"].gt_score.sum() == pytest.approx(1)
    assert sample["data_samples"].path.endswith("falling/0012.wav")


def test_what_is_missing_is_named(tones, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent is no folder\. Fix: data_root"):
        build("AudioFilesDataset", tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match="train/loud is no folder: the class 'loud' has no files"):
        build("AudioFilesDataset", tones / "train", classes=("low", "loud"))
    (tmp_path / "quiet").mkdir()
    with pytest.raises(ValueError, match=r"holds no \.wav file of quiet"):
        build("AudioFilesDataset", tmp_path)


def test_the_lists_of_speech_commands_split_it(words):
    parts = {split: build("SpeechCommandsDataset", words, split=split) for split in ("train", "val", "test")}
    assert {split: {path.split("/")[1] for path in paths(part, words)} for split, part in parts.items()} == {
        "train": {"0.wav"},
        "val": {"1.wav"},
        "test": {"2.wav"},
    }
    for part in parts.values():
        assert len(part) == 35
        assert [part[index]["gt_label"] for index in range(35)] == list(range(35))
        assert part[34]["path"].split("/")[-2] == "zero"


def test_an_incomplete_archive_of_speech_commands_is_named(words):
    with pytest.raises(ValueError, match="split='validation' is not known"):
        build("SpeechCommandsDataset", words, split="validation")
    (words / "zero" / "2.wav").unlink()
    assert len(build("SpeechCommandsDataset", words, split="train")) == 35
    with pytest.raises(ValueError, match=r"testing_list\.txt names zero/2\.wav and 0 other files that are missing"):
        build("SpeechCommandsDataset", words, split="test")
    (words / "testing_list.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"testing_list\.txt is missing"):
        build("SpeechCommandsDataset", words, split="train")


def test_spoken_digits_are_split_by_take_and_speaker(tones, tmp_path):
    for digit in range(10):
        for speaker in ("anna", "ben"):
            for take in range(3):
                shutil.copy(tones / "train" / "low" / "0002.wav", tmp_path / f"{digit}_{speaker}_{take}.wav")
    assert len(build("SpokenDigitsDataset", tmp_path)) == 60
    found = build("SpokenDigitsDataset", tmp_path, takes=(0, 2), speakers=("ben",))
    assert [found[index]["gt_label"] for index in range(20)] == list(np.arange(10).repeat(2))
    assert paths(found, tmp_path)[:2] == ["0_ben_0.wav", "0_ben_2.wav"]
    with pytest.raises(ValueError, match=r"holds no \.wav file of 0, 1.* by takes=\[7\] and speakers=\[\]"):
        build("SpokenDigitsDataset", tmp_path, takes=(7,))
    (tmp_path / "noise.wav").touch()
    with pytest.raises(ValueError, match=r"noise\.wav is not named <digit>_<speaker>_<take>\.wav"):
        build("SpokenDigitsDataset", tmp_path)


def test_the_real_digits_give_spectrograms():
    (folder,) = require_data("spoken-digits").values()
    pipeline = [dict(type="LoadAudio", sample_rate=8000), dict(type="FilterBank", num_bins=64, target_length=64)]
    parts = [build("SpokenDigitsDataset", folder, takes=takes, pipeline=pipeline) for takes in ((0, 1), range(2, 8))]
    assert [len(part) for part in parts] == [60, 180]
    sample = parts[0][0]
    assert sample["spectrogram"].shape == (64, 64)
    assert sample["path"].endswith("0_jackson_0.wav")
    assert sample["frames"] == 62
