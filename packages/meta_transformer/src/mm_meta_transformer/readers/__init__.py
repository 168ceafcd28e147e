"""What a user gives, of any modality, as the samples that a config's test pipeline begins with."""

from __future__ import annotations

from mmengine.config import Config

from mm_meta_transformer.readers.clips import ClipReader
from mm_meta_transformer.readers.clouds import CloudReader
from mm_meta_transformer.readers.facts import Facts
from mm_meta_transformer.readers.forecasts import ForecastReader
from mm_meta_transformer.readers.graphs import GraphReader
from mm_meta_transformer.readers.pictures import PictureReader
from mm_meta_transformer.readers.reader import Reader, Sample
from mm_meta_transformer.readers.sounds import SoundReader
from mm_meta_transformer.readers.spectra import SpectrumReader
from mm_meta_transformer.readers.table_cells import RowReader
from mm_meta_transformer.readers.texts import TextReader
from mm_meta_transformer.readers.windows import WindowReader
from mmrepro.engine.errors import UserError

__all__ = ["READERS", "Facts", "Reader", "Sample", "reader_of"]

READERS: dict[str, type[Reader]] = {
    "AudioTokenizer": SoundReader,
    "GraphTokenizer": GraphReader,
    "HyperspectralTokenizer": SpectrumReader,
    "ImageTokenizer": PictureReader,
    "P3Tokenizer": CloudReader,
    "PointPatchTokenizer": CloudReader,
    "SeriesTokenizer": WindowReader,
    "TabularTokenizer": RowReader,
    "TextTokenizer": TextReader,
    "VideoTokenizer": ClipReader,
}
"""By tokenizer; a forecaster, which has none in its config, reads with a ``ForecastReader``."""


def reader_of(config: Config, facts: Facts) -> Reader:
    """Return what reads the inputs of a config's model.

    Args:
        config: with ``model`` and ``test_dataloader``.
        facts: of the training data.

    Raises:
        UserError: the config's model is of no modality that has a reader.
    """
    model = config.model
    if model.type == "MetaTransformerForecaster":
        return ForecastReader(config, facts)
    tokenizer = model.get("tokenizer", {}).get("type")
    if tokenizer not in READERS:
        raise UserError(
            f"a {model.type} is not for this inferencer. Fix: a config of one modality; for dense prediction "
            "mmdet's DetInferencer or mmseg's MMSegInferencer"
        )
    return READERS[tokenizer](config, facts)
