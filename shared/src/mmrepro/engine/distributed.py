"""Several processes on the CPU: gloo, set up before mmengine's Runner, which assumes an accelerator."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def set_up(config: Config, launcher: str, local_rank: int) -> None:
    """Prepare the processes that ``launcher`` has started; on an accelerator mmengine does it itself.

    Raises:
        UserError: the launcher works on accelerators only, or it has not started this process.
    """
    import torch

    config.launcher = launcher
    if launcher == "none":
        return
    _log_means(config)
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    _average_by_parts(config)
    if torch.cuda.is_available():
        return
    if launcher != "pytorch":
        raise UserError(f"--launcher {launcher} needs an accelerator: on the CPU use --launcher pytorch")
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UserError(
            f"--launcher pytorch without {', '.join(missing)} in the environment: start the processes with "
            "`mim train ... --launcher pytorch`, `torchrun` or `python -m torch.distributed.launch`"
        )
    torch.distributed.init_process_group("gloo")
    defaults = dict(
        type="MMDistributedDataParallel",
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=config.get("find_unused_parameters", False),
    )
    config.model_wrapper_cfg = {**defaults, **(config.get("model_wrapper_cfg") or {})}


def _average_by_parts(config: Config) -> None:
    """Set the model wrapper that several optimizers need, unless the config names one."""
    from .configuration import has_several_optimizers

    if config.get("optim_wrapper") and has_several_optimizers(config):
        wrapper = {"type": "PartwiseDistributedDataParallel", **(config.get("model_wrapper_cfg") or {})}
        if "find_unused_parameters" in config:
            wrapper.setdefault("find_unused_parameters", config.find_unused_parameters)
        config.model_wrapper_cfg = wrapper


def _log_means(config: Config) -> None:
    """Add the hook that logs the mean loss of all processes, unless the config has it."""
    from .reduced_losses_hook import ReducedLossesHook

    hooks = config.get("custom_hooks") or []
    if not any(hook.get("type") in (ReducedLossesHook, ReducedLossesHook.__name__) for hook in hooks):
        config.custom_hooks = [*hooks, dict(type=ReducedLossesHook.__name__)]


def tear_down() -> None:
    """Leave the process group, if there is one."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
