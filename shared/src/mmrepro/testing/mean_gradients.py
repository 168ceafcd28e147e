"""A model's first step, and the gradients of two processes against one's, for many configs at once.

The training entry point starts processes for each config, and their imports take longer than what is compared.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner
from mmengine.utils import apply_to
from torch import Tensor, nn

from .children import finish, free_port, start
from .distributed import gradient_errors


def first_step(config: Config, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a config's model, drawn anew, and the losses of its first batch, of which this process has its part.

    Layers that begin at zero, and so pass no gradient on, get small weights. The losses have been run back: the
    gradients are the mean of all processes'.

    Args:
        config: of any model; whole numbers among its inputs stay what they are.
        dtype: of the weights and the inputs.
    """
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
        model.init_weights()
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.05)
        model.to(dtype).train()
        sampler = dict(type="DefaultSampler", shuffle=False)
        loader = dict(config.train_dataloader, sampler=sampler, batch_sampler=None)
        loader["batch_size"] //= get_world_size()
        batch = next(iter(Runner.build_dataloader(loader, seed=0)))  # process r of n has every n-th sample from r on
        data = model.data_preprocessor(batch, training=True)
        data["inputs"] = apply_to(data["inputs"], _is_real, lambda tensor: tensor.to(dtype))
        wrapped = model
        if get_world_size() > 1:
            wrapped = MMDistributedDataParallel(model, broadcast_buffers=False)  # fails where a weight is not used
        loss, log = model.parse_losses(wrapped(**data, mode="loss"))
        loss.backward()
    return model, log


def gradients(config: Config, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Return the gradients of a config's first batch; see :func:`first_step`."""
    model, _ = first_step(config, dtype)
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def assert_two_ranks_average_to_one(
    configs: Mapping[str, Config],
    work_dir: Path,
    *,
    dtype: torch.dtype = torch.float32,
    tolerance: float = 1e-5,
    floor: float = 1e-4,
) -> None:
    """Assert that two processes with half of each config's first batch average to the gradients of one with all of it.

    This process is the first of the two. What is drawn in training (dropout, augmentation) must be off.

    Args:
        configs: small configs by name, with ``custom_imports`` and an even batch size.
        work_dir: an empty folder.
        dtype: ``torch.float64`` where gradients that all but vanish would be float32's rounding.
        tolerance, floor: see :func:`mmrepro.testing.distributed.assert_two_ranks_equal_one`.

    Raises:
        AssertionError: a gradient differs, or one of them has none; config and parameters are named.
    """
    for name, config in configs.items():
        config.dump(work_dir / f"{name}.py")
    port = free_port()
    child = start([sys.executable, "-m", __name__, str(work_dir), str(port), str(dtype).removeprefix("torch.")])
    try:
        expected = {path.stem: gradients(Config.fromfile(path), dtype) for path in work_dir.glob("*.py")}
        found = _all_gradients(work_dir, 0, port, dtype)
        finish(child)
    finally:
        child.kill()  # it waits for this process, which may have failed
    for name, one in expected.items():
        alone = one.keys() ^ found[name].keys()
        assert not alone, f"{name}: with one process or two alone there is a gradient of {', '.join(sorted(alone))}"
        errors = gradient_errors(one, found[name], floor)
        wrong = [f"{key} by {error:.1e}" for key, error in errors.items() if not error <= tolerance]
        assert not wrong, f"{name}: two processes do not average to the gradients of one: {', '.join(wrong)}"


def _all_gradients(folder: Path, rank: int, port: int, dtype: torch.dtype) -> dict[str, dict[str, Tensor]]:
    """Return the mean gradients of each config of a folder, by its name, together with the other process."""
    configs = {path.stem: Config.fromfile(path) for path in sorted(folder.glob("*.py"))}  # which takes long imports
    store = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", store, timedelta(minutes=2), world_size=2, rank=rank)
    try:
        return {name: gradients(config, dtype) for name, config in configs.items()}
    finally:
        torch.distributed.destroy_process_group()


def _is_real(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


if __name__ == "__main__":
    _all_gradients(Path(sys.argv[1]), rank=1, port=int(sys.argv[2]), dtype=getattr(torch, sys.argv[3]))
