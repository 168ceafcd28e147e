"""One model for several modalities: a shared encoder, and around it the tokenizers and heads of all (paper, section 3).

The paper trains each modality alone from the same encoder. Here they share one encoder object, in batches of one task
after the other or of all at once, and a sample may have several modalities, of which some are missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, Literal

import torch
from mmengine.dist import get_world_size
from mmengine.model import BaseModel, ModuleDict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from mm_meta_transformer.models.meta_classifier import MetaTransformerClassifier
from mm_meta_transformer.models.unified_preprocessor import TaskBatch, UnifiedDataPreprocessor


@MODELS.register_module()
class MetaTransformerUnified(BaseModel):
    """Models of several modalities with one encoder between them.

    A task is either a modality's own, of samples that have this modality alone, or a fused one, in which the modalities
    that a sample has become one feature. By default that is the mean of their features, and where there are labels each
    modality's own head learns from them too. With a :class:`.TokenFusion` their tokens are encoded as one sequence; the
    modalities' own heads then learn from their own tasks alone. For pictures and sounds, where one may be missing::

        model = dict(
            type="MetaTransformerUnified",
            encoder=dict(type="MetaTransformerEncoder"),
            models=dict(image=dict(type="MetaTransformerClassifier", ...), audio=...),
            fused=dict(digit=dict(type="MetaLinearHead", num_classes=10)),
            fusion=dict(type="TokenFusion", modality_embedding=("image", "audio"), pooled_norm=1e-5),
        )

    Args:
        encoder: config of the shared encoder.
        models: by modality, the config of its model without an encoder: a :class:`.MetaTransformerClassifier`, a
            :class:`.MetaTransformerGraphRegressor`, a :class:`.MetaTransformerForecaster` or any other model that takes
            a built ``encoder``. One without ``data_samples`` among its arguments reads a sample's inputs as keywords,
            a window's ``inputs``, ``marks`` and ``targets`` for example; what it predicts becomes fields of samples.
        fused: by task, the config of its head, which reads features ``(B, C)``. All modalities of such samples need
            classifiers; for the mean, with features of one width.
        fusion: config of a :class:`.TokenFusion`; ``None`` for the mean of features.
        loss_weights: by task, what its losses are multiplied by; 1 where it is not named.
        init_cfg: as in mmengine.

    Raises:
        ValueError: there is no model, names of tasks are used twice or unknown, or there is a fusion of nothing.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        models: Mapping[str, dict[str, Any]],
        fused: Mapping[str, dict[str, Any]] | None = None,
        fusion: dict[str, Any] | None = None,
        loss_weights: Mapping[str, float] | None = None,
        init_cfg: dict[str, Any] | list[dict[str, Any]] | None = None,
    ) -> None:
        fused, weights = dict(fused or {}), dict(loss_weights or {})
        _check_names(models, fused, fusion, weights)
        shared = MODELS.build(encoder)
        parts = {name: MODELS.build(dict(config, encoder=shared)) for name, config in models.items()}
        keywords = {name for name, part in parts.items() if "data_samples" not in signature(part.forward).parameters}
        preprocessors = {name: part.data_preprocessor for name, part in parts.items()}
        preprocessor = UnifiedDataPreprocessor(preprocessors, tuple(fused), keywords)
        super().__init__(preprocessor, init_cfg)
        self.encoder = shared
        for part in parts.values():
            # the encoder is this model's, and each part only refers to it: it is in checkpoints once
            del part.encoder
            object.__setattr__(part, "encoder", shared)
        self.models = ModuleDict(parts)  # of mmengine: torch's hides them from init_weights
        dims = shared.embed_dims
        self.fused = ModuleDict({name: MODELS.build({"in_channels": dims} | head) for name, head in fused.items()})
        self.fusion = None if fusion is None else MODELS.build({"embed_dims": dims} | fusion)
        self.loss_weights, self.keywords = weights, keywords

    def forward(
        self,
        inputs: dict[str, TaskBatch],
        data_samples: list[DataSample] | None = None,
        mode: Literal["tensor", "loss", "predict"] = "tensor",
    ) -> dict[str, Any] | list[DataSample]:
        """Return by task what its model returns for the mode, losses as ``<task>.<name>``, or samples with predictions.

        Args:
            inputs: the tasks of the batch, as the data preprocessor gives them.
            data_samples: of the whole batch.
            mode: ``"tensor"``, raw outputs by task; ``"loss"``; ``"predict"``, samples in the order of the batch.

        Raises:
            ValueError: the mode is unknown, or there is nothing to compute losses with.
        """
        if mode == "tensor":
            return {task: self._outputs(task, batch) for task, batch in inputs.items()}
        if mode == "loss":
            if data_samples is None:
                raise ValueError("mode='loss' needs data_samples with labels")
            return self.loss(inputs)
        if mode == "predict":
            return self.predict(inputs)
        raise ValueError(f"mode={mode!r} is not known. Fix: 'tensor', 'loss' or 'predict'")

    def loss(self, inputs: dict[str, TaskBatch]) -> dict[str, Tensor]:
        """Return the losses of all tasks of a batch, weighted; with several processes their sum for each task."""
        losses: dict[str, Any] = {}
        for task, batch in inputs.items():
            weight = self.loss_weights.get(task, 1.0)
            found = self._fused_losses(task, batch) if task in self.fused else self._own(task, batch, "loss")
            losses.update({f"{task}.{name}": _weighted(name, value, weight) for name, value in found.items()})
        if get_world_size() > 1:  # processes average what they log, so that all must name the same
            zero = next(self.encoder.parameters()).new_zeros(())
            tasks = (*self.models, *self.fused)
            return {f"{task}.loss": zero + sum(_losses_of(task, losses)) for task in tasks}
        return losses

    def predict(self, inputs: dict[str, TaskBatch]) -> list[DataSample]:
        """Return the samples with what their tasks' models predict, in the order of the batch."""
        predicted: dict[int, DataSample] = {}
        for task, batch in inputs.items():
            if task in self.fused:
                samples = self.fused[task].predict(self.fused_features(batch), batch.data_samples)
            else:
                samples = self._own(task, batch, "predict")
                if task in self.keywords:
                    samples = _as_samples(samples, batch.data_samples)
            predicted.update(zip(batch.places, samples, strict=True))
        return [predicted[place] for place in sorted(predicted)]

    def features(self, batch: TaskBatch) -> dict[str, Tensor]:
        """Return by modality the features ``(b, C)`` of the samples that have it, each modality encoded by itself.

        Raises:
            ValueError: a modality's model is no classifier.
        """
        return {name: self._classifier(name).extract_feat(inputs) for name, inputs in batch.inputs.items()}

    def fused_features(self, batch: TaskBatch, features: dict[str, Tensor] | None = None) -> Tensor:
        """Return each sample's feature ``(B, C)`` of the modalities that it has.

        Args:
            batch: of a fused task.
            features: by modality, where they are known; only a mean needs them.

        Raises:
            ValueError: a modality's model is no classifier, or the features of two modalities differ in width.
        """
        if self.fusion is not None:
            parts = {name: self._classifier(name).extract_tokens(inputs) for name, inputs in batch.inputs.items()}
            return self.fusion(self.encoder, parts, batch.rows, len(batch.places))
        features = self.features(batch) if features is None else features
        widths = {modality: feature.shape[1] for modality, feature in features.items()}
        if len(set(widths.values())) > 1:
            raise ValueError(f"features of several widths cannot be averaged: {widths}. Fix: pooling of these models")
        total = sum(
            feature.new_zeros(len(batch.places), feature.shape[1]).index_add(0, batch.rows[modality], feature)
            for modality, feature in features.items()
        )
        present = torch.cat(list(batch.rows.values())).bincount(minlength=len(batch.places))
        return total / present[:, None]

    def _outputs(self, task: str, batch: TaskBatch) -> Any:
        if task in self.fused:
            return self.fused[task](self.fused_features(batch))
        return self._own(task, batch, "tensor")

    def _own(self, task: str, batch: TaskBatch, mode: str) -> Any:
        part, inputs = self.models[task], batch.inputs[task]
        return part(**inputs, mode=mode) if task in self.keywords else part(inputs, batch.data_samples, mode=mode)

    def _classifier(self, modality: str) -> MetaTransformerClassifier:
        part = self.models[modality]
        if not isinstance(part, MetaTransformerClassifier):
            raise ValueError(
                f"{modality} of a fused sample has a {type(part).__name__}, which has no feature for a class. Fix: "
                "another modality of the model, with a MetaTransformerClassifier"
            )
        return part

    def _fused_losses(self, task: str, batch: TaskBatch) -> dict[str, Tensor]:
        if self.fusion is not None:
            return self.fused[task].loss(self.fused_features(batch), batch.data_samples)
        features = self.features(batch)
        losses = dict(self.fused[task].loss(self.fused_features(batch, features), batch.data_samples))
        for modality, feature in features.items():
            samples = [batch.data_samples[row] for row in batch.rows[modality].tolist()]
            own = self.models[modality].head.loss(feature, samples)
            losses.update({f"{modality}.{name}": value for name, value in own.items()})
        return losses


def _weighted(name: str, value: Tensor | Sequence[Tensor], weight: float) -> Tensor | list[Tensor]:
    if "loss" not in name:  # mmengine adds up what has this name, anything else is only logged
        return value
    return value * weight if isinstance(value, Tensor) else [one * weight for one in value]


def _losses_of(task: str, losses: dict[str, Any]) -> list[Tensor]:
    mine = [value for name, value in losses.items() if name.startswith(f"{task}.") and "loss" in name]
    return [one for value in mine for one in ([value] if isinstance(value, Tensor) else value)]


def _as_samples(found: list[dict[str, Any]], data_samples: list[DataSample] | None) -> list[DataSample]:
    """Return samples with the fields of dicts."""
    samples = data_samples or [DataSample() for _ in found]
    for sample, fields in zip(samples, found, strict=True):
        for name, value in fields.items():
            sample.set_field(value, name)
    return samples


def _check_names(
    models: Mapping[str, Any], fused: Mapping[str, Any], fusion: Mapping[str, Any] | None, weights: Mapping[str, Any]
) -> None:
    if not models:
        raise ValueError("models={} has no modality. Fix: one model at least")
    if twice := sorted(models.keys() & fused.keys()):
        raise ValueError(f"{', '.join(twice)} is in models and in fused: a task needs a name of its own")
    if fusion is not None and not fused:
        raise ValueError("there is a fusion and no task for it. Fix: fused, by task the config of its head")
    if unknown := sorted(set((fusion or {}).get("modality_embedding", ())) - models.keys()):
        raise ValueError(f"modality_embedding of {', '.join(unknown)}; the modalities are {', '.join(models)}")
    if unknown := sorted(weights.keys() - models.keys() - fused.keys()):
        raise ValueError(f"loss_weights of {', '.join(unknown)}; the tasks are {', '.join((*models, *fused))}")
