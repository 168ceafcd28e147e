"""The gradients of several detectors on one of several processes, which start once for all: ``test_training`` runs it.

The training entry point starts processes for each config, and their imports take longer than what is compared.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import Tensor

import mm_relation_detr  # noqa: F401  registers


def gradients(config: Config) -> dict[str, Tensor]:
    """Return the gradients of a config's first batch, of which this process has its part."""
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.init_weights()
    model.train()
    rank, processes = get_rank(), get_world_size()
    sampler = dict(type="DefaultSampler", shuffle=False)
    loader = dict(config.train_dataloader, sampler=sampler, batch_sampler=None)
    loader["batch_size"] //= processes
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))  # process r of n has every n-th sample from r on
    assert len(batch["inputs"]) * processes == config.train_dataloader.batch_size, rank
    data = model.data_preprocessor(batch, training=True)
    wrapped = model
    if processes > 1:
        searching = config.get("find_unused_parameters", False)
        wrapped = MMDistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=searching)
    loss, _ = model.parse_losses(wrapped(**data, mode="loss"))
    loss.backward()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def main(folder: Path) -> None:
    """Write the gradients of each config of a folder beside it."""
    torch.distributed.init_process_group("gloo")
    for path in sorted(folder.glob("*.py")):
        found = gradients(Config.fromfile(path))
        if get_rank() == 0:
            torch.save(found, path.with_suffix(".pth"))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
