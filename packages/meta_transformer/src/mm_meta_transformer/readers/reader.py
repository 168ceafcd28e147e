"""What all readers share: files and folders become samples, and samples go through the test pipeline."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mmengine.config import Config
from mmengine.dataset import Compose

from mm_meta_transformer.readers.facts import Facts
from mmrepro.engine.errors import UserError


@dataclass(frozen=True)
class Sample:
    """One thing to predict.

    Attributes:
        name: what its files are called.
        results: what the test pipeline begins with.
        raw: what is drawn, as the reader's modality has it.
        repairs: what the reader changed; the pipeline's steps say theirs in the packed sample.
    """

    name: str
    results: dict[str, Any] = field(repr=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    repairs: tuple[str, ...] = ()


class Reader(ABC):
    """Read inputs of one modality.

    Args:
        config: with ``model`` and ``test_dataloader``.
        facts: of the training data.

    Attributes:
        modality: its name.
        options: names of what :meth:`read` takes besides.
        suffixes: of the files that are taken from a folder.
        key: what a user would give of a data set's sample.
    """

    modality: ClassVar[str]
    options: ClassVar[frozenset[str]] = frozenset()
    suffixes: ClassVar[tuple[str, ...]] = ()
    key: ClassVar[str] = "path"

    def __init__(self, config: Config, facts: Facts) -> None:
        self.model, self.facts = config.model, facts
        self.dataset = config.test_dataloader.dataset
        while "dataset" in self.dataset:  # a data set of features that wraps another one
            self.dataset = self.dataset.dataset
        self.pipeline = Compose(self.steps([dict(step) for step in self.dataset.get("pipeline", ())]))

    def steps(self, pipeline: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the steps that a sample goes through; by default those of the config's test data.

        Args:
            pipeline: those of the config's test data.
        """
        return pipeline

    def samples(self, inputs: Any, **options: Any) -> Iterator[Sample]:
        """Yield the samples of an input, a folder, or a list of inputs.

        Args:
            inputs: what the user gave.
            options: of the modality, arguments of :meth:`read`.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: a folder or a file holds nothing to read, or an input cannot be used.
        """
        sources = self.sources(inputs)
        if not sources:
            raise UserError(f"there is no {self.modality} sample in an empty list")
        for number, source in enumerate(sources):
            name = stem(source) if isinstance(source, (str, Path)) else self.name_of(number)
            sample = None
            for sample in self.read(source, name, **options):
                yield sample
            if sample is None:
                said = source if isinstance(source, (str, Path)) else name
                raise UserError(f"{said} holds no {self.modality} sample. Fix: leave it out")

    def sources(self, inputs: Any) -> list[Any]:
        """Return the single inputs of what the user gave: files of a folder, in the order of their names."""
        found = []
        for one in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
            found += self.expanded(one) if isinstance(one, (str, Path)) else [one]
        return found

    def expanded(self, path: str | Path) -> list[str | Path]:
        """Return the files of a folder, or the path of a file.

        Raises:
            UserError: the folder holds no file of this modality.
        """
        if not os.path.isdir(path):  # unlike Path.is_dir, it takes any text, however long
            return [path]
        files = sorted(file for file in Path(path).iterdir() if file.suffix.lower() in self.suffixes)
        if not files:
            raise UserError(f"{path} holds no file that ends in {', '.join(self.suffixes)}")
        return files

    def name_of(self, number: int) -> str:
        """Return what an input without a file is called."""
        return f"{self.modality}_{number + 1}"

    @abstractmethod
    def read(self, source: Any, name: str, **options: Any) -> Iterator[Sample]:
        """Yield the samples of one input.

        Args:
            source: a file or an array, as the modality takes it.
            name: what it is called.
            options: of the modality.
        """

    def example(self, dataset: Any, number: int) -> tuple[Any, dict[str, Any]]:
        """Return a sample of a data set as a user would give it, and the options to read it with.

        Args:
            dataset: the config's, built.
            number: of the sample.
        """
        return dataset.get_data_info(number)[self.key], {}

    def packed(self, sample: Sample) -> dict[str, Any]:
        """Return a sample as the data set would give it."""
        return self.pipeline(dict(sample.results))


def existing(source: str | Path) -> Path:
    """Return the path of a file.

    Raises:
        FileNotFoundError: there is none.
    """
    path = Path(source)
    if not os.path.isfile(path):  # unlike Path.is_file, it takes any text, however long
        raise FileNotFoundError(f"{path}: no such file. Fix: check the path (relative ones start at {Path.cwd()})")
    return path


def stem(path: str | Path) -> str:
    """Return the name of a file without its ending; of a compressed one without both."""
    path = Path(path)
    return Path(path.stem).stem if path.suffix == ".gz" else path.stem
