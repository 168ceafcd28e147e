"""Batch norms of official files that do not count their batches, as those that torch wrote before 0.4.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmrepro.key_rules import KeyRules, Rename


@dataclass(frozen=True)
class _Uncounted(Rename):
    """A running mean without its count of batches, which is taken as 0, as torch does when it loads such a file.

    A batch norm reads the count only where it has no momentum, which no official one is without.
    """

    @property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The running mean; the running mean and the count."""
        return (self.source,), (self.target, f"{self.target.removesuffix('running_mean')}num_batches_tracked")

    def forward(self, tensors: list[Tensor]) -> list[Tensor]:
        """The running mean and a count of 0."""
        return [*tensors, torch.zeros((), dtype=torch.int64, device=tensors[0].device)]

    def backward(self, tensors: list[Tensor]) -> list[Tensor]:
        """The running mean."""
        return tensors[:1]


def with_counts(rules: Sequence[Rename], official: Mapping[str, Tensor]) -> KeyRules:
    """Return rules that besides take every ``num_batches_tracked`` that an official state dict lacks as 0.

    Args:
        rules: the rules of the file, were it complete.
        official: the official state dict.
    """
    plain, extra = KeyRules(rules), []
    for key, mean in official.items():
        stem = key.removesuffix("running_mean")
        if stem != key and f"{stem}num_batches_tracked" not in official:
            extra += [_Uncounted(key, ours) for ours in plain.known({key: mean})]
    return KeyRules([*extra, *rules])
