"""A toy model, data set and metric that exercise the engine: dropout, random augmentation, shuffling, several losses.

Children of the engine's own tests import this by ``custom_imports``. A step takes well under a millisecond.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from torch import nn

import mmrepro.engine.components  # noqa: F401  registers the engine


@DATASETS.register_module()
class ToyDataset(torch.utils.data.Dataset):
    """Vectors and their sums, with noise drawn from Python, numpy and torch.

    Args:
        length: number of samples.
        noise: scale of the augmentation.
        poison: index of a sample that holds NaN.
    """

    def __init__(self, length: int = 44, noise: float = 0.1, poison: int | None = None) -> None:
        self.inputs = torch.randn(length, 8, generator=torch.Generator().manual_seed(0))
        self.noise, self.poison = noise, poison

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        drawn = random.random() + np.random.rand() + torch.rand(8)  # noqa: NPY002  what augmentations draw from
        inputs = self.inputs[index] + self.noise * drawn
        if index == self.poison:
            inputs = inputs * torch.nan
        return {"inputs": inputs, "targets": self.inputs[index].sum().reshape(1)}


@MODELS.register_module()
class ToyModel(BaseModel):
    """Two linear layers with dropout between them.

    Args:
        dropout: probability of the dropout.
        explode_at: step at whose forward pass the second layer gives infinities.
    """

    def __init__(self, dropout: float = 0.2, explode_at: int | None = None) -> None:
        super().__init__()
        self.first, self.dropout, self.second = nn.Linear(8, 16), nn.Dropout(dropout), nn.Linear(16, 1)
        self.explode_at, self.steps = explode_at, 0

    def forward(self, inputs: torch.Tensor, targets: torch.Tensor, mode: str = "tensor") -> Any:
        """Return the output, the losses, or one dict per sample."""
        hidden = self.dropout(torch.relu(self.first(inputs)))
        self.steps += mode == "loss" and torch.is_grad_enabled()
        if self.explode_at is not None and self.steps >= self.explode_at:
            hidden = hidden / 0
        output = self.second(hidden)  # (B, 8) -> (B, 1)
        if mode == "loss":
            error = output - targets
            return {"loss_square": error.square().mean(), "loss_absolute": error.abs().mean()}
        if mode == "predict":
            return [{"output": each, "target": target} for each, target in zip(output, targets, strict=True)]
        return output


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """The mean squared error.

    Args:
        scores: what to report instead, one value per evaluation.
    """

    def __init__(self, scores: Sequence[float] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scores = list(scores or [])

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the squared errors."""
        self.results += [(each["output"] - each["target"]).square().item() for each in data_samples]

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return their mean."""
        return {"mse": self.scores.pop(0) if self.scores else float(np.mean(results))}


def config(by_epoch: bool = True, **changes: Any) -> Config:
    """Return a config of the toy: 5 epochs of 5 batches, a rate that halves, validation, early stopping, the best kept.

    Args:
        by_epoch: with the epoch loop, else 25 iterations with the iteration loop and an infinite sampler.
        changes: dotted keys (``__`` for ``.``) and their values.
    """
    data = dict(batch_size=8, num_workers=0, collate_fn=dict(type="default_collate"), dataset=dict(type="ToyDataset"))
    shuffled = dict(type="DefaultSampler" if by_epoch else "InfiniteSampler", shuffle=True)
    straight = dict(type="DefaultSampler", shuffle=False, round_up=False)
    loop = (
        dict(type="ResumableEpochLoop", max_epochs=5)
        if by_epoch
        else dict(type="ResumableIterLoop", max_iters=25, val_interval=5)
    )
    result = Config(
        dict(
            custom_imports=dict(imports=["mmrepro.testing.toy"], allow_failed_imports=False),
            default_scope="mmengine",
            model=dict(type="ToyModel"),
            train_dataloader=dict(**data, sampler=shuffled, drop_last=by_epoch),
            val_dataloader=dict(**data, sampler=straight),
            test_dataloader=dict(**data, sampler=straight),
            train_cfg=loop,
            val_cfg=dict(type="ValLoop"),
            test_cfg=dict(type="TestLoop"),
            val_evaluator=dict(type="ToyMetric"),
            test_evaluator=dict(type="ToyMetric"),
            optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=0.01)),
            param_scheduler=dict(type="ExponentialLR", gamma=0.7, by_epoch=by_epoch),
            auto_scale_lr=dict(enable=False, base_batch_size=8),
            default_hooks=dict(
                checkpoint=dict(
                    type="AtomicCheckpointHook", interval=1, by_epoch=by_epoch, save_best="mse", rule="less"
                ),
                logger=dict(type="LoggerHook", interval=5),
            ),
            custom_hooks=[
                dict(type="ReducedLossesHook"),
                dict(type="NonFiniteGuardHook"),
                dict(type="ResumableEarlyStoppingHook", monitor="mse"),
                dict(type="LoadBestHook"),
                dict(type="HistoryCapHook"),
                dict(type="ProgressHook"),
            ],
            log_processor=dict(by_epoch=by_epoch),
            randomness=dict(seed=3),
            env_cfg=dict(dist_cfg=dict(backend="gloo")),
        )
    )
    result.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return result
