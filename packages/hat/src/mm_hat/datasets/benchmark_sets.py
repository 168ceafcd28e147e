"""Several test sets in one pass: those that are there are measured, the others are named.

arXiv 2205.04437, section 4.1, tests on five sets; two of them cannot be downloaded by a command, and nobody should have
to edit a config to test on the rest.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from itertools import accumulate

from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from mm_hat.datasets.benchmark import SRBenchmarkDataset
from mm_hat.datasets.degraded import SCALE, degraded_pipeline


@DATASETS.register_module()
class SRBenchmarkSets(Dataset):
    """Test sets one after the other; every sample's meta information says its ``set``, by which the metric groups.

    Args:
        names: the sets, such as ``["Set5", "Set14"]``.
        scale: of all of them.
        data_root: where their folders are, see :class:`SRBenchmarkDataset`; by default ``$MMREPRO_DATA_ROOT``.
        skip_missing: go on without a set that is not there, and log which; False to stop instead.
        degradation, grey: at scale 1, what :func:`mm_hat.datasets.degraded.degraded_pipeline` does to the pictures.
            Give noise a ``seed``, so that a picture gets the same every time.

    Raises:
        FileNotFoundError: a set is not there and may not be skipped, or none is there; each is named with its places.
        ValueError: a degradation at another scale than 1, or none at scale 1.
    """

    def __init__(
        self,
        names: Sequence[str],
        scale: int,
        data_root: str | None = None,
        skip_missing: bool = True,
        degradation: dict | None = None,
        grey: bool = False,
    ) -> None:
        if (scale == SCALE) != (degradation is not None):
            raise ValueError(
                f"scale {scale} with degradation {degradation}. Fix: give it at scale {SCALE}, and only then"
            )
        pipeline = degraded_pipeline(degradation, grey) if degradation else None
        found = {name: _set_or_reason(name, scale, data_root, pipeline) for name in names}
        missing = [reason for reason in found.values() if isinstance(reason, str)]
        self.sets = {name: one for name, one in found.items() if not isinstance(one, str)}
        if missing and not (skip_missing and self.sets):
            raise FileNotFoundError("\n".join(missing))
        for reason in missing:
            print_log(f"left out: {reason}", logger="current")
        self._ends = list(accumulate(len(one) for one in self.sets.values()))

    @property
    def metainfo(self) -> dict:
        """The sets that are there."""
        return {"sets": list(self.sets)}

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict:
        number = bisect.bisect_right(self._ends, index)
        name, one = list(self.sets.items())[number]
        sample = one[index - (self._ends[number - 1] if number else 0)]
        sample["data_samples"].set_metainfo({"set": name})
        return sample


def _set_or_reason(
    name: str, scale: int, data_root: str | None, pipeline: list[dict] | None
) -> SRBenchmarkDataset | str:
    try:
        return SRBenchmarkDataset(name, scale, data_root, pipeline)
    except FileNotFoundError as error:
        return str(error)
