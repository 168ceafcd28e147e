"""Two gloo processes, for every paper: the gradients of one with the whole batch, and equal parameters on both."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapperDict
from mmengine.registry import HOOKS

from mmrepro.engine import configuration

from .children import finish, free_port, load_config, start, train, write_config

_NO_VALIDATION = {"val_cfg": None, "val_dataloader": None, "val_evaluator": None}


@HOOKS.register_module()
class FirstGradientsHook(Hook):
    """Writes the gradients that the first step uses into a file, and ends the process.

    Of several optimizers each has its first step; the process ends at the last one's.

    Args:
        path: the file, written by the main process.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def before_train(self, runner: Any) -> None:
        """Look at the gradients when an optimizer is about to use them."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        names = {id(weight): name for name, weight in model.named_parameters()}
        wrapper = runner.optim_wrapper
        optimizers = [
            each.optimizer for each in (wrapper.values() if isinstance(wrapper, OptimWrapperDict) else [wrapper])
        ]
        gradients: dict[str, torch.Tensor] = {}
        stepped = set()

        def keep(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            stepped.add(id(optimizer))
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            gradients.update({names[id(p)]: p.grad.clone() for p in weights if p.grad is not None})
            if len(stepped) == len(optimizers):
                if is_main_process():
                    torch.save(gradients, self.path)
                raise SystemExit(0)

        for optimizer in optimizers:
            optimizer.register_step_pre_hook(keep)


@HOOKS.register_module()
class ParameterDigestHook(Hook):
    """Writes a digest of all parameters into a file per process after training.

    Args:
        folder: where the files go; their names are ``rank_<rank>``.
    """

    priority = "VERY_HIGH"  # before the best checkpoint is loaded, which would make the processes equal

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def after_train(self, runner: Any) -> None:
        """Write the digest and the number of iterations."""
        digest = hashlib.sha256()
        for parameter in runner.model.parameters():
            digest.update(parameter.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        path = Path(self.folder, f"rank_{get_rank()}")
        path.write_text(f"{digest.hexdigest()} {runner.iter}", encoding="utf-8")


def assert_two_ranks_equal_one(
    config: Config | str | Path,
    work_dir: Path,
    *,
    changes: Mapping[str, Any] | None = None,
    tolerance: float = 1e-5,
    floor: float = 1e-4,
) -> None:
    """Assert that two processes with half of a batch each average to the gradients of one with the whole batch.

    The samples are the same: a sampler gives rank r every second index of the order that one process sees. Dropout and
    augmentation must be off (by ``changes``, since every model names them otherwise), clipping is turned off here, and
    a batch sampler that groups the samples is removed.

    The error of a parameter is the largest absolute difference, divided by the largest absolute gradient of that
    parameter. Gradients that vanish in exact arithmetic (a key's bias under softmax) are rounding noise: where the
    largest gradient of a parameter is below ``floor`` times the largest of the model, the division is by that.

    Args:
        config: a config (a small one), its path, or the bare name of a paper's config; its batch size is the whole
            batch and must be even.
        work_dir: an empty folder.
        changes: dotted keys of the config and their values.
        tolerance: the largest error allowed.
        floor: see above.

    Raises:
        AssertionError: a gradient differs; all that do are named.
    """
    config = load_config(config)
    batch = config.train_dataloader.batch_size
    assert batch % 2 == 0, f"the batch size {batch} cannot be halved"
    for wrapper in configuration.optim_wrappers(config.optim_wrapper):
        wrapper["clip_grad"] = None
    gradients = {}
    children = {}
    for processes in (1, 2):
        path = work_dir / f"gradients_{processes}.pth"
        all_changes = {
            **_NO_VALIDATION,
            **(changes or {}),
            "train_dataloader.batch_size": batch // processes,
            "train_dataloader.batch_sampler": None,
        }
        hook = dict(type="FirstGradientsHook", path=str(path))
        file = write_config(config, work_dir / f"processes_{processes}.py", all_changes, [hook], __name__)
        children[path] = train(file, work_dir / f"run_{processes}", processes=processes)
        gradients[processes] = path
    for path, child in children.items():
        output = finish(child)
        assert path.is_file(), f"no step was made:\n{output[-4000:]}"
    one, two = (torch.load(gradients[processes], weights_only=True) for processes in (1, 2))
    assert one.keys() == two.keys(), f"only one of them has a gradient: {sorted(one.keys() ^ two.keys())}"
    errors = gradient_errors(one, two, floor)
    wrong = [f"{name} by {error:.1e}" for name, error in errors.items() if not error <= tolerance]
    assert not wrong, f"two processes do not average to the gradients of one: {', '.join(wrong)}"


def gradient_errors(one: Mapping[str, torch.Tensor], two: Mapping[str, torch.Tensor], floor: float) -> dict[str, float]:
    """Return the error of each gradient, as :func:`assert_two_ranks_equal_one` measures it."""
    largest = {name: gradient.abs().max().item() for name, gradient in one.items()}
    least = floor * max(largest.values())
    return {name: (two[name] - one[name]).abs().max().item() / max(largest[name], least) for name in one}


def assert_mim_two_ranks_train(
    paper: str,
    config: Config | str | Path,
    work_dir: Path,
    *,
    iterations: int = 20,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Assert that ``mim train mmrepro-<paper> CONFIG --launcher pytorch --gpus 2`` trains, equal on both processes.

    Args:
        paper: the paper's name.
        config: a config (a small one), its path, or the bare name of a paper's config.
        work_dir: an empty folder outside of the package.
        iterations: how many to train.
        changes: dotted keys of the config and their values.

    Raises:
        AssertionError: the command failed, or the parameters differ.
    """
    all_changes = {
        **_NO_VALIDATION,
        "train_cfg": dict(type="ResumableIterLoop", max_iters=iterations),
        "log_processor": dict(by_epoch=False),
        **(changes or {}),
    }
    hook = dict(type="ParameterDigestHook", folder=str(work_dir))
    path = write_config(load_config(config), work_dir / "two_ranks.py", all_changes, [hook], __name__)
    arguments = ["train", f"mmrepro-{paper.replace('_', '-')}", str(path), "--launcher", "pytorch", "--gpus", "2"]
    options = ["--port", str(free_port()), "--work-dir", str(work_dir / "run")]
    output = finish(start([sys.executable, "-m", "mim", *arguments, *options]))
    digests = [(work_dir / f"rank_{rank}").read_text(encoding="utf-8") for rank in (0, 1)]
    assert digests[0].endswith(f" {iterations}"), f"{digests[0]} iterations instead of {iterations}:\n{output[-4000:]}"
    assert digests[0] == digests[1], "the parameters differ between the two processes"
