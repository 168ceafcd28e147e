"""Any CSV file with a date column, split by ratios: Exchange, Weather, ECL, Traffic, and a user's own file.

Source: ``Dataset_Custom`` of thuml/iTransformer @ c2426e6.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.registry import DATASETS

from mmrepro.datasets.missing_values import fill_missing
from mmrepro.datasets.series import Series
from mmrepro.datasets.windows import Split, WindowDataset


def ratio_borders(n_rows: int, split: Split, seq_len: int, ratios: tuple[float, float, float]) -> tuple[int, int]:
    """Return the rows of a split: int() of the training and the test share, the rest between them is for validation.

    Validation and test begin ``seq_len`` rows early, so that their first forecast begins at the border.
    """
    n_train, n_test = int(n_rows * ratios[0]), int(n_rows * ratios[2])
    if split == "train":
        return 0, n_train
    if split == "val":
        return n_train - seq_len, n_rows - n_test
    return n_rows - n_test - seq_len, n_rows


@DATASETS.register_module()
class CSVForecastDataset(WindowDataset):
    """Windows of a CSV file.

    Args:
        ratios: the shares of train, val and test.
        missing_values: numbers that stand for a missing measurement, such as Weather's -9999: each is replaced by the
            last measurement before it. None by default, since the published runs train on them.
        args, kwargs: as in ``WindowDataset``.
    """

    def __init__(
        self,
        *args,
        ratios: tuple[float, float, float] = (0.7, 0.1, 0.2),
        missing_values: Sequence[float] = (),
        **kwargs,
    ) -> None:
        if isinstance(missing_values, (int, float, str)):
            raise ValueError(f"missing_values={missing_values!r} is no list. Fix: give [{missing_values}]")
        if isinstance(ratios, str) or len(ratios) != 3 or min(ratios) < 0 or abs(sum(ratios) - 1) > 1e-9:
            raise ValueError(f"ratios={ratios!r} must be three shares of train, val and test that add up to 1")
        self.ratios = tuple(ratios)
        self.missing_values = tuple(missing_values)
        super().__init__(*args, **kwargs)

    def read(self) -> Series:
        """Return the whole series, cleaned where that is asked for."""
        return fill_missing(super().read(), self.missing_values)

    @property
    def metainfo(self) -> dict:
        """As in ``WindowDataset``, and what stands for a missing measurement."""
        return super().metainfo | {"missing_values": list(self.missing_values)}

    def borders(self, n_rows: int, split: Split) -> tuple[int, int]:
        """Return the split's rows, see ``ratio_borders``."""
        return ratio_borders(n_rows, split, self.seq_len, self.ratios)
