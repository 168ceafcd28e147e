"""How many samples had to be changed to be read, in the log: a repair is never silent."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RepairCountHook(Hook):
    """Counts the samples by the kind of their ``repairs``, and logs a line after each epoch, validation and test.

    Numbers in the words do not tell kinds apart: "2 frames repeated" and "9 frames repeated" are one, "… frames
    repeated". A sample that every epoch reads anew counts in every epoch. Without a repair nothing is logged.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def _after_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None, mode: str = "train"
    ) -> None:
        samples = (data_batch.get("data_samples") if isinstance(data_batch, Mapping) else None) or ()
        for sample in samples:
            kinds = {re.sub(r"\d+", "…", words) for words in getattr(sample, "repairs", ())}
            self._counts[mode].update(kinds)

    def _after_epoch(self, runner: Any, mode: str = "train") -> None:
        total = sum(all_gather_object(self._counts.pop(mode, Counter())), Counter())
        if total:
            listed = "; ".join(f"{kind}: {count}" for kind, count in sorted(total.items()))
            runner.logger.info(f"samples that were repaired to be read ({mode}): {listed}")
