"""The gradients of several detectors on one of two processes, which meet once for all: ``test_training`` is the other.

The training entry point starts processes for each config, and their imports take longer than what is compared.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn

import mm_vidt  # noqa: F401  registers, before mmdet is imported


def first_step(config: Config) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a config's model, drawn anew, and the losses of its first batch, of which this process has its part.

    Layers that begin at zero, and so pass no gradient on, get small weights. The losses have been run back: the
    gradients are the mean of all processes'.
    """
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        model.init_weights()
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
        model.train()
        sampler = dict(type="DefaultSampler", shuffle=False)
        loader = dict(config.train_dataloader, sampler=sampler, batch_sampler=None)
        loader["batch_size"] //= get_world_size()
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))  # process r of n has every n-th sample from r on
        data = model.data_preprocessor(batch, training=True)
        wrapped = model
        if get_world_size() > 1:
            wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)  # fails where a weight is not used
        loss, log = model.parse_losses(wrapped(**data, mode="loss"))
        loss.backward()
    return model, log


def gradients(config: Config) -> dict[str, Tensor]:
    """Return the gradients of a config's first batch."""
    model, _ = first_step(config)
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


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
