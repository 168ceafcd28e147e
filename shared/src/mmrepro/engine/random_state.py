"""The random states of this process: Python's, numpy's, torch's, and the current accelerator's.

``capture`` returns tensors, ints and strings only, so that a checkpoint with them loads with ``weights_only=True``.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def capture() -> dict:
    """Return the random states of this process in inert types."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002  the state that libraries draw from
    state = {
        "python": {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss},
        "numpy": {
            "name": name,
            "keys": torch.from_numpy(keys.astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore(state: dict) -> None:
    """Set the random states of this process to what :func:`capture` returned."""
    python, numpy = state["python"], state["numpy"]
    random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
    keys = numpy["keys"].cpu().numpy().astype(np.uint32)
    np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))  # noqa: NPY002
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def preserved() -> Iterator[dict]:
    """Give the random states back, whatever the block drew; yields the states from before it."""
    state = capture()
    try:
        yield state
    finally:
        restore(state)


@contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Seed Python, numpy and torch on the CPU from ``key`` for the block, and give the states back afterwards.

    Two different keys give unrelated streams (numpy's ``SeedSequence`` mixes them). The accelerator's state is left
    alone: data is prepared on the CPU.
    """
    python, numpy, generator = random.getstate(), np.random.get_state(), torch.default_generator  # noqa: NPY002
    state = generator.get_state()
    generator.manual_seed(_seed_python_and_numpy(key))
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        generator.set_state(state)


def seed(*key: int) -> None:
    """Seed Python, numpy and torch from ``key``, on the CPU and the accelerator."""
    torch.manual_seed(_seed_python_and_numpy(key))


def _seed_python_and_numpy(key: tuple[int, ...]) -> int:
    """Seed both, and return the seed for torch."""
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002
    return int(words[2]) << 32 | int(words[3])
