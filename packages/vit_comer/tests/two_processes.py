"""The gradients of several networks on one of two processes, which meet once for all: ``test_training`` is the other.

The training entry point starts processes for each config, and their imports take longer than what is compared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from unittest import mock

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

import mm_vit_comer  # noqa: F401  registers, before mmdet is imported

RANDOM_CHOICE = "mmdet.models.task_modules.samplers.RandomSampler.random_choice"


def first_step(config: Config) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a config's model, drawn anew, and the losses of its first batch, of which this process has its part.

    The losses have been run back: the gradients are the mean of all processes'.
    """
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        model.init_weights()
        model.train()
        sampler = dict(type="DefaultSampler", shuffle=False)
        loader = dict(config.train_dataloader, sampler=sampler, batch_sampler=None)
        loader["batch_size"] //= get_world_size()
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))  # process r of n has every n-th sample from r on
        data = model.data_preprocessor(batch, training=True)
        wrapped = model
        if get_world_size() > 1:
            wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)
        losses = wrapped(**data, mode="loss")
        loss, log = model.parse_losses(losses)
        loss.backward()
    return model, log


def gradients(config: Config) -> dict[str, Tensor]:
    """Return the gradients of a config's first batch, without anything random but the weights."""
    with without_draws():
        model, _ = first_step(config)
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


@contextmanager
def without_draws() -> Iterator[None]:
    """Let samplers take the first instead of any, and Mask2Former read the same points of every mask.

    A process draws for its own pictures alone: the other one's draws would shift them.
    """

    def same(*given: int | tuple[int, ...], device: torch.device | None = None) -> Tensor:
        shape = given if isinstance(given[0], int) else given[0]
        points = torch.linspace(0, 1, shape[-2] * shape[-1], device=device)
        return (points * 97).frac().view(shape[-2:]).expand(shape).contiguous()

    def first(_self: object, gallery: Tensor, num: int) -> Tensor:
        return gallery[:num]

    with mock.patch(RANDOM_CHOICE, first), mock.patch("torch.rand", same):
        yield


def all_gradients(folder: Path, rank: int, port: int) -> dict[str, dict[str, Tensor]]:
    """Return the mean gradients of each config of a folder, by its name, together with the other process."""
    store = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", store, timedelta(minutes=2), world_size=2, rank=rank)
    try:
        return {path.stem: gradients(Config.fromfile(path)) for path in sorted(folder.glob("*.py"))}
    finally:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    all_gradients(Path(sys.argv[1]), rank=1, port=int(sys.argv[2]))
