"""GLUE's sentence tasks: columns, pairs, splits of one file, and lines or texts that do not fit."""

import pytest

from mm_meta_transformer.datasets.glue import GLUEDataset
from mm_meta_transformer.datasets.texts import TextError

WORDS = ("[PAD]", "[UNK]", "[SEP]", *"abcdefgh")
GIVEN = dict(type="pieces", pieces=WORDS)


def file(path, *lines, header="sentence\tlabel"):
    path = path / "train.tsv"
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return str(path)


def dataset(path, **settings):
    return GLUEDataset(path, serialize_data=False, **{"vocabulary": GIVEN} | settings)


def ids(data, number=0):
    return [WORDS[piece] for piece in data.get_data_info(number)["ids"]]


def test_a_sentence_is_read_with_its_label_and_line(tmp_path):
    data = dataset(file(tmp_path, 'a b "c\t1', "d\t0"))
    first = data.get_data_info(0)
    assert ids(data) == ["a", "b", "[UNK]", "c"]  # quotes are nothing but characters
    assert (first["gt_label"], first["path"], first["text"]) == (1, "train.tsv, line 2", 'a b "c')
    assert data.metainfo["classes"] == ("negative", "positive")
    assert data.metainfo["pieces"] == WORDS


@pytest.mark.parametrize(
    ("task", "header", "line"),
    [
        ("mrpc", "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", "1\t7\t8\ta b\tc"),
        ("qqp", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate", "0\t1\t2\ta b\tc\t1"),
    ],
)
def test_pairs_have_a_separator_between_them(tmp_path, task, header, line):
    data = dataset(file(tmp_path, line, header=header), task=task)
    assert ids(data) == ["a", "b", "[SEP]", "c"]
    assert data.get_data_info(0)["gt_label"] == 1


def test_parts_of_one_file_are_disjoint_stratified_and_complete(tmp_path):
    path = file(tmp_path, *(f"{'ab'[number % 2]} {'cdefgh'[number % 6]}\t{number % 2}" for number in range(20)))
    train, test = (dataset(path, part=part, test_share=0.2, seed=3) for part in ("train", "test"))
    lines = [{one["path"] for one in map(half.get_data_info, range(len(half)))} for half in (train, test)]
    assert (len(lines[0]), len(lines[1]), len(lines[0] | lines[1])) == (16, 4, 20)
    assert sum(test.get_data_info(number)["gt_label"] for number in range(4)) == 2
    again = dataset(path, part="test", test_share=0.2, seed=3)
    assert {one["path"] for one in map(again.get_data_info, range(4))} == lines[1]


def test_a_vocabulary_is_learned_of_the_training_texts_alone(tmp_path):
    rows = [f"{'good' if number % 2 else 'bad'} film{number}\t{number % 2}" for number in range(10)]
    path, learned = file(tmp_path, *rows), dict(type="learned", size=200)
    train, test = (dataset(path, part=part, vocabulary=learned) for part in ("train", "test"))
    assert train.metainfo["pieces"] == test.metainfo["pieces"]
    other = tmp_path / "dev.tsv"
    other.write_text("sentence\tlabel\nnovelty novelty\t1\n")
    held = dataset(str(other), vocabulary=learned, learn_from=path)
    assert not any("nov" in piece for piece in held.metainfo["pieces"])


def test_texts_beyond_the_context_are_cut_and_counted_or_an_error(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr("mm_meta_transformer.datasets.texts.print_log", lambda text, logger: said.append(text))
    path = file(tmp_path, "a b c d\t1", "a b\t0")
    assert ids(dataset(path, max_length=3)) == ["a", "b", "c"]
    assert said == ["GLUEDataset: 1 of 2 texts are cut to 3 pieces"]
    with pytest.raises(TextError, match=r"train.tsv, line 2: 4 pieces, the context has 3. Fix: max_length"):
        dataset(path, max_length=3, too_long="error")
    header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String"
    pair = file(tmp_path, "1\t7\t8\ta b\tc d e f g", header=header)
    assert ids(dataset(pair, task="mrpc", max_length=6)) == ["a", "b", "[SEP]", "c", "d", "e"]  # the longer one


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("a b", "train.tsv, line 3: 1 columns, the first line has 2"),
        ("\t1", "line 3: a text is empty"),
        ("a\t2", "line 3: the label is '2', not 0 or 1"),
    ],
)
def test_a_line_that_does_not_fit_is_an_error_or_left_out_and_counted(tmp_path, line, what, monkeypatch):
    said = []
    monkeypatch.setattr("mm_meta_transformer.datasets.labelled_texts.print_log", lambda text, logger: said.append(text))
    path = file(tmp_path, "a\t1", line)
    with pytest.raises(TextError, match=f"{what}. Fix: the line, or faults='drop'"):
        dataset(path)
    assert len(dataset(path, faults="drop")) == 1
    assert what in said[0]


def test_a_text_of_accents_alone_is_named(tmp_path):
    with pytest.raises(TextError, match="line 2: a text is empty"):
        dataset(file(tmp_path, "\u0301\t1"))


def test_what_is_no_file_of_the_task_is_named(tmp_path):
    with pytest.raises(TextError, match="has no column #1 String, #2 String, Quality; it has sentence, label"):
        dataset(file(tmp_path, "a\t1"), task="mrpc")
    with pytest.raises(TextError, match="has no line that can be used"):
        dataset(file(tmp_path, "a\t2"), faults="drop")
    with pytest.raises(FileNotFoundError, match=r"dev.tsv: no such file"):
        dataset(str(tmp_path / "dev.tsv"))
    for setting, value in (("task", "cola"), ("part", "dev"), ("faults", "skip"), ("too_long", "drop")):
        with pytest.raises(ValueError, match=f"{setting}='{value}'"):
            dataset(file(tmp_path, "a\t1"), **{setting: value})
