"""What all readers share: files and folders become samples, and samples go through the test pipeline."""

from __future__ import annotations

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
    """

    name: str
    results: dict[str, Any] = field(repr=False)
    raw: dict[str, Any] = field(default_factory=dict, repr=False)


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
            options: of the modality.

        Raises:
            FileNotFoundError: there is no such file.
            UserError: an option is unknown, a folder holds nothing to read, or an input cannot be used.
        """
        if unknown := sorted(options.keys() - self.options):
            known = ", ".join(sorted(self.options)) or "none"
            raise UserError(f"{', '.join(unknown)}: no option of {self.modality}. Options are: {known}")
        sources = self.sources(inputs)
        for number, source in enumerate(sources):
            name = Path(source).stem if isinstance(source, (str, Path)) else self.name_of(number)
            yield from self.read(source, name, **options)

    def sources(self, inputs: Any) -> list[Any]:
        """Return the single inputs of what the user gave: files of a folder, in the order of their names."""
        found = []
        for one in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
            if isinstance(one, (str, Path)) and Path(one).is_dir():
                files = sorted(file for file in Path(one).iterdir() if file.suffix.lower() in self.suffixes)
                if not files:
                    raise UserError(f"{one} holds no file that ends in {', '.join(self.suffixes)}")
                found += files
            else:
                found.append(one)
        if not found:
            raise UserError(f"there is no {self.modality} sample in an empty list")
        return found

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
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Fix: check the path (relative ones start at {Path.cwd()})")
    return path
