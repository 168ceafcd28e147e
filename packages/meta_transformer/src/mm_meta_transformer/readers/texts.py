"""Texts, given as they are or as lines of a file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mm_meta_transformer.datasets.glue import TASKS
from mm_meta_transformer.datasets.texts import text_ids
from mm_meta_transformer.datasets.vocabulary import Vocabulary, build_vocabulary
from mm_meta_transformer.readers.reader import Reader, Sample, existing
from mmrepro.engine.errors import UserError


class TextReader(Reader):
    """Read texts: strings, or for tasks of two texts pairs of strings; a ``Path`` is a file with one text in each line.

    A text beyond the context length is cut, with a warning that counts the pieces; ``cut`` of the sample says it too.
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
        """Return the texts; a tuple is one sample of several texts."""
        return list(inputs) if isinstance(inputs, list) else [inputs]

    def samples(self, inputs: Any, **options: Any) -> Iterator[Sample]:
        """Yield the texts; see the class."""
        for number, sample in enumerate(super().samples(inputs, **options), 1):
            yield Sample(f"{self.modality}_{number}", sample.results, sample.raw)

    def read(self, source: Any, name: str) -> Iterator[Sample]:
        """Yield the text, or the lines of a file.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: it is no text, or not as many as the task has.
            TextError: a text is empty.
        """
        if isinstance(source, Path):
            for line in existing(source).read_text(encoding="utf-8").splitlines():
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
        raw = {"text": " | ".join(texts), "pieces": [pieces[at] if pieces else str(at) for at in ids], "cut": cut}
        yield Sample(name, {"ids": ids, "path": name}, raw)
