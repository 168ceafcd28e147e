"""Texts of one's own: columns, labels and their names are the user's."""

import pytest

from mm_meta_transformer.datasets.labelled_texts import LabelledTextDataset
from mm_meta_transformer.datasets.texts import TextError

GIVEN = dict(type="pieces", pieces=("[PAD]", "[UNK]", "[SEP]", *"abcd"))
COLUMNS = dict(texts=("text",), label="mood", classes=("sad", "glad", "angry"))


def dataset(path, *lines, **settings):
    path = path / "mine.tsv"
    path.write_text("\n".join(("mood\tauthor\ttext", *lines)), encoding="utf-8")
    return LabelledTextDataset(str(path), **{"vocabulary": GIVEN, "serialize_data": False} | COLUMNS | settings)


def test_labels_are_the_names_of_the_classes_or_stand_for_them(tmp_path):
    named = dataset(tmp_path, "angry\tme\ta b", "sad\tme\tc")
    assert [named.get_data_info(at)["gt_label"] for at in (0, 1)] == [2, 0]
    assert named.get_data_info(0)["ids"].tolist() == [3, 4]
    numbered = dataset(tmp_path, "7\tme\ta", "5\tme\tb", labels=(5, 6, 7))
    assert [numbered.get_data_info(at)["gt_label"] for at in (0, 1)] == [2, 0]
    assert numbered.metainfo["classes"] == ("sad", "glad", "angry")


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(TextError, match="line 2: the label is 'bored', not sad or glad or angry"):
        dataset(tmp_path, "bored\tme\ta")
    with pytest.raises(TextError, match=r"has no column words; it has mood, author, text. Fix: texts and label, or"):
        dataset(tmp_path, "sad\tme\ta", texts=("words",))
    with pytest.raises(ValueError, match="Fix: one label for each class"):
        dataset(tmp_path, "sad\tme\ta", labels=("sad", "glad"))
