"""Texts, given as they are or as lines of a file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mm_meta_transformer.datasets.glue import TASKS
from mm_meta_transformer.datasets.text_file import read_text
from mm_meta_transformer.datasets.texts import text_ids
from mm_meta_transformer.datasets.vocabulary import Vocabulary, build_vocabulary
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class TextReader(Reader):
    """Read texts: strings, or for tasks of two texts pairs of strings.

    A ``Path`` is a file with one text in each line, or a folder of such files (``.txt``). A text beyond the context
    length is cut, with a warning that counts the pieces; ``repairs`` of the prediction say it too.
    """

    modality = "text"
    key = "text"
    suffixes = (".txt",)

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the config's steps."""
        self._vocabulary: Vocabulary | None = None
        self.max_length = self.dataset.get("max_length", 128)
        task = TASKS.get(self.dataset.get("task", ""))
        texts = task.texts if task else self.dataset.get("texts", 1)  # columns, or their number
        self.count = texts if isinstance(texts, int) else len(texts)
        return pipeline

    @property
    def vocabulary(self) -> Vocabulary:
        """The training's vocabulary."""
        if self._vocabulary is None:
            config = dict(self.dataset.vocabulary)
            if config["type"] == "learned" or "pieces" in self.facts:
                config = dict(type="pieces", pieces=self.facts["pieces"])
            self._vocabulary = build_vocabulary(config, ())
        return self._vocabulary

    def sources(self, inputs: Any) -> list[Any]:
        """Return the texts and files; a tuple is one sample of several texts."""
        found = []
        for one in inputs if isinstance(inputs, list) else [inputs]:
            found += self.expanded(one) if isinstance(one, Path) else [one]
        return found

    def samples(self, inputs: Any, **options: Any) -> Iterator[Sample]:
        """Yield the texts; see the class."""
        for number, sample in enumerate(super().samples(inputs, **options), 1):
            yield replace(sample, name=f"{self.modality}_{number}")

    def read(self, source: Any, name: str) -> Iterator[Sample]:
        """Yield the text, or the lines of a file.

        Raises:
            FileNotFoundError: there is no such file.
            DataError: a file is no text in UTF-8.
            UserError: the input is no text, or not as many as the task has.
            TextError: a text is empty.
        """
        if isinstance(source, Path):
            for line in read_text(existing(source)).splitlines():
                if line.strip():
                    yield from self.read(line if self.count == 1 else tuple(line.split("\t")), name)
            return
        texts = (source,) if isinstance(source, str) else source
        if not isinstance(texts, tuple) or len(texts) != self.count or not all(isinstance(one, str) for one in texts):
            raise UserError(
                f"{source!r} is no sample. Fix: {'a string' if self.count == 1 else f'a tuple of {self.count} strings'}"
            )
        ids, cut = text_ids(texts, self.vocabulary, self.max_length, repr(texts[0][:30]))
        if cut:
            warnings.warn(
                f"{texts[0][:30]!r}: {cut} pieces beyond the context of {self.max_length} are cut off", stacklevel=3
            )
        pieces = getattr(self.vocabulary, "pieces", None)
        raw = {"text": " | ".join(texts), "pieces": [pieces[at] if pieces else str(at) for at in ids]}
        yield Sample(name, {"ids": ids, "path": name}, raw, (f"{cut} pieces cut off",) if cut else ())
