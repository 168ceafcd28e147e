"""Vocabularies: words as uncased BERT has them, longest pieces first, and what is learned of texts."""

import pytest

from mm_meta_transformer.datasets.vocabulary import WordPieceVocabulary, build_vocabulary, words_of

SPECIAL = ("[PAD]", "[UNK]", "[SEP]")


def pieces(vocabulary, text):
    return [vocabulary.pieces[number] for number in vocabulary.encode(text)]


def test_words_are_cut_as_by_uncased_bert():
    assert words_of("It's  Déjà\tvu!") == ["it", "'", "s", "deja", "vu", "!"]
    assert words_of("a_b 5€ 你好\x00") == ["a", "_", "b", "5€", "你", "好"]
    assert words_of(" \n") == []


def test_the_longest_piece_is_taken_first():
    vocabulary = WordPieceVocabulary((*SPECIAL, "un", "una", "##aff", "##ff", "##able", "##a", "##ble"))
    assert pieces(vocabulary, "unaffable") == ["una", "##ff", "##able"]
    assert pieces(vocabulary, "unaff unknown") == ["una", "##ff", "[UNK]"]
    assert pieces(vocabulary, "un" * 51) == ["[UNK]"]


def test_a_vocabulary_is_learned_of_words_and_of_pieces_of_rare_ones():
    texts = ["good good bad bad good", "joyful", "tasteful"]
    found = WordPieceVocabulary.learned(texts, 100)
    assert pieces(found, "Good bad") == ["good", "bad"]
    assert "##ful" in found.pieces
    assert "joyful" not in found.pieces
    assert pieces(found, "bade") == ["bad", "##e"]
    assert "[UNK]" not in pieces(found, "tasty yolbda")  # every character of the texts is a piece
    small = WordPieceVocabulary.learned(texts, len({*"".join(texts)} - {" "}) * 2 + 4)
    assert small.pieces[-1] == "good"  # the most frequent one
    assert WordPieceVocabulary.learned(texts[::-1], 100).pieces == found.pieces


def test_what_is_no_vocabulary_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"the vocabulary has no \[UNK\]"):
        WordPieceVocabulary(("[PAD]", "[SEP]"))
    with pytest.raises(ValueError, match="has 'a' twice"):
        WordPieceVocabulary((*SPECIAL, "a", "a"))
    with pytest.raises(ValueError, match=r"the texts have 3 characters alone. Fix: at least 9"):
        WordPieceVocabulary.learned(["abc"], 8)
    with pytest.raises(FileNotFoundError, match=r"vocab.txt: no such file. Fix: vocab.txt of bert-base-uncased"):
        build_vocabulary(dict(type="file", path=tmp_path / "vocab.txt"), [])
    with pytest.raises(ValueError, match=r"type 'bpe' is not known. Fix: one of file, learned, pieces, clip"):
        build_vocabulary(dict(type="bpe"), [])


def test_a_file_has_one_piece_on_each_line(tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join((*SPECIAL, "film")) + "\n")
    found = build_vocabulary(dict(type="file", path=tmp_path / "vocab.txt"), [])
    assert (len(found), found.encode("Film films")) == (4, [3, 1])
    assert build_vocabulary(dict(type="pieces", pieces=found.pieces), []).pieces == found.pieces


def test_clips_byte_pairs_are_those_of_the_published_vocabulary():
    found = build_vocabulary(dict(type="clip"), [])
    assert len(found) == 49408
    assert found.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]  # as openai/clip-vit-large-patch14 has them
    assert found.separator == 49407


def test_a_piece_may_be_a_character_that_ends_lines_elsewhere(tmp_path):
    (tmp_path / "vocab.txt").write_bytes("\n".join((*SPECIAL, "\u2028", "\x85", "film")).encode() + b"\n")
    assert WordPieceVocabulary.of_file(tmp_path / "vocab.txt").numbers["film"] == 5
