"""Pieces of words and their numbers: a WordPiece vocabulary of a file or of the training texts, or CLIP's."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.text_file import read_text

PAD, UNKNOWN, SEPARATOR = "[PAD]", "[UNK]", "[SEP]"
_WORD_LENGTH = 100  # characters; a longer word is unknown as a whole, as with BERT
_PIECE_LENGTH = 6  # characters, of pieces that are learned beside whole words


class Vocabulary(Protocol):
    """What turns a text into numbers below ``len(vocabulary)``."""

    separator: int

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces."""

    def __len__(self) -> int:
        """Return how many pieces there are."""


class WordPieceVocabulary:
    """Words are cut into the longest pieces that the vocabulary has, from the left; later pieces begin with ``##``.

    Texts are lower-cased and lose their accents, and every punctuation mark is a word, as with uncased BERT.

    Args:
        pieces: all pieces in the order of their numbers, with ``[PAD]``, ``[UNK]`` and ``[SEP]``.
        source: what an error calls it.

    Raises:
        DataError: one of the three is missing, or a piece stands twice.
    """

    def __init__(self, pieces: Sequence[str], source: str = "the vocabulary") -> None:
        self.pieces = tuple(pieces)
        self.numbers = {piece: number for number, piece in enumerate(self.pieces)}
        absent = [piece for piece in (PAD, UNKNOWN, SEPARATOR) if piece not in self.numbers]
        if absent:
            raise DataError(f"{source} has no {', '.join(absent)}. Fix: a vocab.txt of BERT's kind, one piece per line")
        if len(self.numbers) < len(self.pieces):
            twice = next(piece for piece, count in Counter(self.pieces).items() if count > 1)
            raise DataError(f"{source} has {twice!r} twice. Fix: leave one out")
        self.unknown, self.separator = self.numbers[UNKNOWN], self.numbers[SEPARATOR]

    @classmethod
    def of_file(cls, path: str | Path) -> WordPieceVocabulary:
        """Read a file with one piece on each line, such as BERT's ``vocab.txt``.

        Raises:
            FileNotFoundError: no such file.
            DataError: see the class.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(
                f"{path}: no such file. Fix: vocab.txt of bert-base-uncased "
                "(https://huggingface.co/google-bert/bert-base-uncased), or a vocabulary of type 'learned'"
            )
        # a piece may be a character at which splitlines would break the line, and shift the numbers of all after it
        return cls(read_text(path).rstrip("\n").split("\n"), str(path))

    @classmethod
    def learned(cls, texts: Iterable[str], size: int) -> WordPieceVocabulary:
        """Return a vocabulary of the most frequent words of texts, and of pieces for the others.

        Every character of the texts is in it; the rest are words and, of words that stand once, beginnings and
        endings, in the order of how often they stand. Equal ones come in alphabetic order, so the same texts give the
        same vocabulary.

        Args:
            texts: the training texts alone.
            size: the most pieces; it has fewer where the texts have no more.

        Raises:
            DataError: the size does not even hold the characters.
        """
        words = Counter(word for text in texts for word in words_of(text))
        letters = {letter for word in words for letter in word}
        basis = [PAD, UNKNOWN, SEPARATOR, *sorted(letters), *(f"##{letter}" for letter in sorted(letters))]
        if size < len(basis):
            raise DataError(
                f"a vocabulary of {size} pieces: the texts have {len(letters)} characters alone. "
                f"Fix: at least {len(basis)}"
            )
        counts = Counter({word: count for word, count in words.items() if count > 1})
        for word in (word for word, count in words.items() if count == 1):
            for length in range(2, min(_PIECE_LENGTH, len(word) - 1) + 1):
                counts[word[:length]] += 1
                counts[f"##{word[-length:]}"] += 1
        known = set(basis)
        ranked = sorted((piece for piece in counts if piece not in known), key=lambda piece: (-counts[piece], piece))
        return cls((*basis, *ranked[: size - len(basis)]))

    def __len__(self) -> int:
        """Return how many pieces there are."""
        return len(self.pieces)

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces; a word that no pieces make up is one unknown piece."""
        return [number for word in words_of(text) for number in self._cut(word)]

    def _cut(self, word: str) -> list[int]:
        found, start = [], 0
        if len(word) > _WORD_LENGTH:
            return [self.unknown]
        while start < len(word):
            prefix = "##" if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in self.numbers)
            end = next(ends, None)
            if end is None:
                return [self.unknown]
            found.append(self.numbers[prefix + word[start:end]])
            start = end
        return found


class CLIPVocabulary:
    """The byte pairs of CLIP, 49,408 pieces, by mmsegmentation, which brings the file; without start and end marks."""

    def __init__(self) -> None:
        from mmseg.utils.tokenizer import SimpleTokenizer  # here, for importing mmseg takes seconds

        self.tokenizer = SimpleTokenizer()
        self.separator = self.tokenizer.encoder["<end_of_text>"]

    def __len__(self) -> int:
        """Return how many pieces there are."""
        return self.tokenizer.vocab_size

    def encode(self, text: str) -> list[int]:
        """Return the numbers of a text's pieces."""
        return self.tokenizer.encode(text)


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case and without accents; punctuation marks are words."""
    plain = unicodedata.normalize("NFD", text.lower())
    return "".join(map(_spaced, plain)).split()


def build_vocabulary(config: dict[str, Any], texts: Iterable[str]) -> Vocabulary:
    """Build a vocabulary.

    Args:
        config: ``dict(type="file", path=...)``, ``dict(type="learned", size=...)`` of the training texts,
            ``dict(type="pieces", pieces=[...])`` or ``dict(type="clip")``.
        texts: the training texts, read only where they are needed.

    Raises:
        DataError: the type is unknown; or see :class:`WordPieceVocabulary`.
    """
    kinds = {
        "file": WordPieceVocabulary.of_file,
        "learned": lambda size: WordPieceVocabulary.learned(texts, size),
        "pieces": WordPieceVocabulary,
        "clip": CLIPVocabulary,
    }
    kind = config.get("type")
    if kind not in kinds:
        raise DataError(f"a vocabulary of type {kind!r} is not known. Fix: one of {', '.join(kinds)}")
    return kinds[kind](**{key: value for key, value in config.items() if key != "type"})


@cache
def _spaced(letter: str) -> str:
    """Return a character as uncased BERT has it: spaced if it is a word of its own, none if it is an accent."""
    kind = unicodedata.category(letter)
    if letter.isspace():
        return " "
    if kind in ("Mn", "Cc", "Cf") or letter == "\ufffd":
        return ""
    ascii_mark = letter.isascii() and not letter.isalnum()
    ideograph = "\u3400" <= letter <= "\u4dbf" or "\u4e00" <= letter <= "\u9fff" or "\uf900" <= letter <= "\ufaff"
    return f" {letter} " if ascii_mark or ideograph or kind.startswith("P") else letter
