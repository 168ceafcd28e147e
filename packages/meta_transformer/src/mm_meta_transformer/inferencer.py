"""Predictions for samples of any of the twelve modalities, from files and arrays, with tokens and attention drawn."""

from __future__ import annotations

import dataclasses
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.logging import MMLogger
from mmengine.registry import INFERENCERS, DefaultScope
from mmengine.runner import set_random_seed
from mmpretrain.registry import DATASETS
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mm_meta_transformer import checkpoint as converter
from mm_meta_transformer.attention import EncoderRecord, leading_tokens, recorded
from mm_meta_transformer.checkpoint_hook import MetaTransformerCheckpointHook
from mm_meta_transformer.models.pooling import pool
from mm_meta_transformer.prediction import MetaPrediction, TokenLayout
from mm_meta_transformer.readers import Facts, Sample, reader_of
from mmrepro import papers
from mmrepro.checkpoint import CheckpointMismatchError, differences, strip_wrappers
from mmrepro.engine.errors import UserError
from mmrepro.paper_config import read_config
from mmrepro.safe_loading import source_of

MODALITIES = (
    *("text", "image", "point-cloud", "audio", "video", "infrared", "hyperspectral", "xray", "imu", "tabular", "graph"),
    "time-series",
)
"""The paper's twelve, in its order; each has a small config, ``smoke_<modality>``."""
_PIXELS = 512  # of a scene at once


@INFERENCERS.register_module()
class MetaTransformerInferencer(BaseInferencer):
    """Read samples of one modality, predict them, and draw what the network sees and says.

    Example:
        >>> inferencer = MetaTransformerInferencer("audio", "work_dirs/smoke_audio/epoch_60.pth")
        >>> prediction = inferencer("7_jackson_0.wav", with_attention=True, out_dir="out")["predictions"][0]
        >>> prediction.name, round(prediction.score, 2)
        ('7', 0.98)

    What a modality reads, and which options it has, says its reader in :mod:`mm_meta_transformer.readers`: pictures
    (photographs, infrared, X-rays), sound with its ``rate``, videos or frames, point clouds, graphs, texts, tables,
    hyperspectral scenes and spectra, windows of inertial sensors, and series to forecast.

    Args:
        model: a modality, which is that of its small config; or a config of this package: its name, a path, or a
            ``Config``.
        weights: a checkpoint, ours or an official one, or safetensors; a path or a URL. None draws random weights from
            the config's seed, with a warning.
        device: such as ``cuda:0``; None for what is there.
        classes: names of the classes; None for those of the checkpoint or of the config's data set.
        dataset_meta: what is known of the training data, for files that do not say it: ``metainfo`` of the data set,
            such as a vocabulary's ``pieces``, a ``table``'s codes, ``columns``, ``mean`` and ``std`` of series. It goes
            before what the checkpoint says; what neither has is looked up in the config's data set.
        show_progress: draw a progress bar.

    Raises:
        FileNotFoundError: the config or the checkpoint does not exist.
        UserError: the config is another package's, or of no single modality; or there are more names than classes.
        CheckpointMismatchError: the checkpoint belongs to another model than the config's.
    """

    forward_kwargs: ClassVar[set[str]] = {"with_tokens", "with_attention", "block"}
    visualize_kwargs: ClassVar[set[str]] = {"out_dir"}

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        device: str | None = None,
        classes: Sequence[str] | None = None,
        dataset_meta: Mapping[str, Any] | None = None,
        show_progress: bool = False,
    ) -> None:
        config = read_config("meta_transformer", f"smoke_{model}" if model in MODALITIES else model)
        scope = config.get("default_scope", "mmpretrain")
        self.subject = (config.get("smoke") or {}).get("subject")
        with DefaultScope.overwrite_default_scope(scope):
            self.facts = Facts(dataset_meta or {}, dict)
            reader_of(config, self.facts)  # an unsuitable config is refused before anything is loaded
            super().__init__(
                config, None if weights is None else str(weights), device, scope=scope, show_progress=show_progress
            )
            self.reader = reader_of(self.cfg, self.facts)
        self.preprocess_kwargs = set(self.reader.options)
        self.classes = self._class_names(classes)

    @property
    def modality(self) -> str:
        """The config's modality, where it says one; else that of what it reads."""
        return self.subject or self.reader.modality

    def __call__(
        self,
        inputs: Any,
        with_tokens: bool = False,
        with_attention: bool = False,
        block: int = -1,
        batch_size: int = 1,
        out_dir: str | Path | None = None,
        **options: Any,
    ) -> dict[str, list]:
        """Predict an input, the files of a folder, or each of a list of inputs.

        Args:
            inputs: files, folders or arrays, as the modality's reader takes them.
            with_tokens: keep the tokens that the encoder reads; a scene, whose pixels are read one by one, has none.
            with_attention: keep the attention of the token, or the mean of those tokens, that the head reads; not of
                a scene.
            block: of which block, the last one by default.
            batch_size: samples that go through the network at once.
            out_dir: draw every prediction into ``<out_dir>/<sample>.png``; of a forecast all curves too, and a table.
                A second sample of the same name gets ``_2`` behind it.
            options: of the modality: ``rate`` of audio, ``category`` of point clouds, ``names`` and ``separator`` of
                tables, ``key`` of hyperspectral files, ``standardised`` of IMU windows, ``start``, ``freq`` and
                ``date_column`` of series.

        Returns:
            ``predictions``: a list of :class:`.MetaPrediction`; ``visualization``: a list of each one's files.

        Raises:
            FileNotFoundError: there is no such file.
            UserError, ValueError: an input cannot be used; the message names it and the fix.
        """
        self._check_options(options)
        with DefaultScope.overwrite_default_scope(self.scope):
            return super().__call__(
                inputs,
                batch_size=batch_size,
                with_tokens=with_tokens or out_dir is not None,
                with_attention=with_attention or out_dir is not None,
                block=block,
                out_dir=out_dir,
                **options,
            )

    def preprocess(self, inputs: Any, batch_size: int = 1, **options: Any) -> Iterator[list[Sample]]:
        """Yield lists of ``batch_size`` samples."""
        yield from self._get_chunk_data(self.reader.samples(inputs, **options), batch_size)

    @torch.no_grad()
    def forward(
        self, inputs: list[Sample], with_tokens: bool = False, with_attention: bool = False, block: int = -1
    ) -> list[MetaPrediction]:
        """Return the predictions of samples."""
        if len(inputs) > 1 and any("scene" in sample.raw for sample in inputs):
            shown = dict(with_tokens=with_tokens, with_attention=with_attention, block=block)
            return [found for sample in inputs for found in self.forward([sample], **shown)]
        if "scene" in inputs[0].raw:
            return [self._land_cover(inputs[0])]
        packed = [self.reader.packed(sample) for sample in inputs]
        batch = self._collated(packed)
        if not (with_tokens or with_attention):
            return self._predictions(inputs, packed, self.model.test_step(batch))
        with recorded(self.model, block) as record:
            outputs = self.model.test_step(batch)
        predictions = self._predictions(inputs, packed, outputs)
        views = len(record.inputs) // len(inputs)  # of a video; the first one is shown
        attention = record.weights(leading_tokens(self.model)) if with_attention else None
        return [
            dataclasses.replace(one, **_shown(record, attention, number * views, with_tokens))
            for number, one in enumerate(predictions)
        ]

    @torch.no_grad()
    def encodings(self, inputs: Any, batch_size: int = 16, **options: Any) -> np.ndarray:
        """Return for each sample the mean of its encoded tokens ``(S, C)``, class tokens and padding left out.

        Args:
            inputs, options: as when called, but no whole scenes.
            batch_size: samples that go through the network at once.

        Raises:
            FileNotFoundError: there is no such file.
            UserError, ValueError: an input is a scene or cannot be used; the message names it and the fix.
        """
        self._check_options(options)
        found = []
        with DefaultScope.overwrite_default_scope(self.scope):
            for samples in self.preprocess(inputs, batch_size, **options):
                if scenes := [one.name for one in samples if "scene" in one.raw]:
                    raise UserError(
                        f"{scenes[0]} is a scene, whose pixels are encoded one by one. Fix: spectra (N, bands), "
                        "such as scene[rows, columns]"
                    )
                data = self.model.data_preprocessor(self._collated([self.reader.packed(one) for one in samples]), False)
                tokens = self.model.extract_tokens(_tokenizer_inputs(data))
                info = tokens.info
                encoded = self.model.encoder(tokens.tokens, tokens.padding, info.get("position"))
                pooled = pool(encoded, tokens.padding, info.get("prefix", 0), "mean")
                found.append(pooled.unflatten(0, (len(samples), -1)).mean(1).float().cpu().numpy())
        return np.concatenate(found)

    def visualize(
        self, inputs: list, preds: list[MetaPrediction], out_dir: str | Path | None = None
    ) -> list[list[Path]]:
        """Draw the predictions into ``out_dir``, and return their files."""
        if out_dir is None:
            return [[] for _ in preds]
        from mm_meta_transformer.visualization import write_drawings  # matplotlib costs half a second

        seen: Counter[str] = Counter()
        written = []
        for one in preds:
            seen[one.sample.name] += 1
            again = f"_{seen[one.sample.name]}" if seen[one.sample.name] > 1 else ""
            written.append(write_drawings(one, out_dir, one.sample.name + again))
        return written

    def postprocess(
        self, preds: list[MetaPrediction], visualization: list[list[Path]], return_datasamples: bool = False
    ) -> dict[str, list]:
        """Pack predictions and files."""
        return {"predictions": preds, "visualization": visualization}

    def _check_options(self, options: Mapping[str, Any]) -> None:
        """Refuse options of another modality, before mmengine does it in its own words."""
        if unknown := sorted(options.keys() - self.reader.options):
            known = ", ".join(sorted(self.reader.options)) or "none"
            raise UserError(f"{', '.join(unknown)}: no option of {self.reader.modality}. Its options: {known}")

    def _predictions(
        self, samples: list[Sample], packed: list[dict[str, Any]], outputs: list[DataSample | dict[str, Tensor]]
    ) -> list[MetaPrediction]:
        return [self._prediction(*one) for one in zip(samples, packed, outputs, strict=True)]

    def _prediction(
        self, sample: Sample, packed: dict[str, Any], output: DataSample | Mapping[str, Tensor]
    ) -> MetaPrediction:
        inputs = packed["inputs"]
        common = dict(modality=self.modality, sample=sample, classes=self.classes, inputs=inputs)
        packed_sample = packed.get("data_samples", DataSample())  # a forecaster's has none
        common["repairs"] = (*sample.repairs, *packed_sample.metainfo.get("repairs", ()))
        if isinstance(output, Mapping):
            return MetaPrediction(**common, forecast=_in_units(output["forecast"], sample))
        for name in ("pred_points", "pred_feature"):
            if name in output:
                common[name.removeprefix("pred_")] = output.get(name).cpu().numpy()
        if "pred_value" in output:
            return MetaPrediction(**common, value=float(output.pred_value))
        if "pred_score" not in output:
            return MetaPrediction(**common)
        label, scores = int(output.pred_label), output.pred_score.float().cpu().numpy()
        return MetaPrediction(
            **common, label=label, name=self.classes[label], score=float(scores[label]), scores=scores
        )

    def _land_cover(self, sample: Sample) -> MetaPrediction:
        """Classify every pixel of a scene."""
        labels = []
        for pixels in self._get_chunk_data(self.reader.pixels(sample), _PIXELS):
            labels += [int(one.pred_label) for one in self.model.test_step(self._collated(pixels))]
        found = np.array(labels).reshape(sample.raw["scene"].shape[:2])
        return MetaPrediction(self.modality, sample, classes=self.classes, land_cover=found, repairs=sample.repairs)

    def _collated(self, packed: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a batch as the config's loader makes it."""
        return pseudo_collate(packed) if "data_samples" in packed[0] else default_collate(packed)

    def _class_names(self, given: Sequence[str] | None) -> tuple[str, ...]:
        head = getattr(self.model, "head", None)
        count = getattr(head, "num_classes", 0)
        count = 2 if count == 1 else count
        if isinstance(given, str) or (given is not None and len(given) != count):
            raise UserError(f"classes={given!r}: the model has {count} classes. Fix: a name for each")
        dataset = self.reader.dataset
        known = given or self.facts.stored.get("classes") or (dataset.get("metainfo") or {}).get("classes")
        known = known or dataset.get("classes") or getattr(DATASETS.get(dataset.type), "METAINFO", {}).get("classes")
        names = tuple(map(str, known or ()))[:count]
        return (*names, *(f"class {label}" for label in range(len(names), count)))

    def _load_weights_to_model(self, model: nn.Module, checkpoint: Mapping[str, Any] | None, cfg: Config) -> None:
        """Load strictly, converting an official file, or draw weights; and remember what is known of the data."""
        stored: Mapping[str, Any] = {}
        if checkpoint is None:
            warnings.warn("no weights are given, so they are random, and so are the predictions", stacklevel=4)
            set_random_seed((cfg.get("randomness") or {}).get("seed") or 0)
            logger = MMLogger.get_current_instance()
            level = logger.level
            logger.setLevel(logging.WARNING)  # mmengine lists every parameter
            model.init_weights()
            logger.setLevel(level)
        else:
            source = source_of(checkpoint)
            MetaTransformerCheckpointHook().compare(model, checkpoint)
            state = strip_wrappers(checkpoint, source)
            if converter.is_official(state):
                state = converter.from_official(state, source=source)
            problems = differences(state, model)
            if any(problems.values()):
                raise CheckpointMismatchError(source, problems)
            model.load_state_dict(state)
            meta = checkpoint.get("meta")
            stored = (meta.get("dataset_meta") if isinstance(meta, Mapping) else None) or {}
        dataset = cfg.test_dataloader.dataset
        while "dataset" in dataset:
            dataset = dataset.dataset
        self.facts = Facts({**stored, **self.facts.stored}, lambda: DATASETS.build(dataset).metainfo)

    def _inputs_to_list(self, inputs: Any) -> Any:
        """Return the inputs; the modality's reader takes them apart."""
        return inputs

    def _init_pipeline(self, cfg: Config) -> None:
        """Return nothing; the modality's reader has the pipeline."""

    def _init_collate(self, cfg: Config) -> None:
        """Return nothing; :meth:`forward` collates."""


def small_config(modality: str) -> Path:
    """Return a modality's small config."""
    return Path(papers.find_config("meta_transformer", f"smoke_{modality}"))


def _tokenizer_inputs(data: Mapping[str, Any]) -> Any:
    """Return what a model's tokenizer reads: views of videos as clips, windows with their time features."""
    inputs = data["inputs"]
    if "future_marks" in data:
        return {"series": inputs, "marks": data.get("marks")}
    if isinstance(inputs, Tensor) and inputs.dim() == 6:
        return inputs.flatten(0, 1)
    return inputs


def _in_units(forecast: Tensor, sample: Sample) -> pd.DataFrame:
    mean, std = sample.raw["scale"]
    values = forecast.double().cpu().numpy()
    outputs = slice(-values.shape[1], None)  # the target alone, or all
    columns = sample.raw["history"].columns[outputs]
    return pd.DataFrame(values * std[outputs] + mean[outputs], sample.raw["index"], columns)


def _shown(record: EncoderRecord, attention: Tensor | None, at: int, with_tokens: bool) -> dict[str, Any]:
    """Return tokens, attention and layout of one sample of a batch, without its padding."""
    tokens = record.tokens
    kept = slice(None) if tokens.padding is None else ~tokens.padding[at]
    info, prefix = tokens.info, tokens.info.get("prefix", 0)
    pairs, centres = info.get("pairs"), info.get("centres")
    if pairs is not None:
        pairs = pairs[at][kept[prefix:] if tokens.padding is not None else slice(None)].cpu().numpy()
    return {
        "tokens": record.inputs[at][kept].float().cpu().numpy() if with_tokens else None,
        "attention": None if attention is None else attention[at][:, kept].float().cpu().numpy(),
        "layout": TokenLayout(prefix, info.get("grid"), None if centres is None else centres[at].cpu().numpy(), pairs),
    }
