"""Any CSV file with a date column, split by ratios: Exchange, Weather, ECL, Traffic, and a user's own file.

Source: ``Dataset_Custom`` of thuml/iTransformer @ c2426e6.
"""

from __future__ import annotations

from mmengine.registry import DATASETS

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
    """Windows of a CSV file. ``ratios`` are the shares of train, val and test; the rest as in ``WindowDataset``."""

    def __init__(self, *args, ratios: tuple[float, float, float] = (0.7, 0.1, 0.2), **kwargs) -> None:
        if len(ratios) != 3 or min(ratios) < 0 or abs(sum(ratios) - 1) > 1e-9:
            raise ValueError(f"ratios={ratios!r} must be three shares of train, val and test that add up to 1")
        self.ratios = tuple(ratios)
        super().__init__(*args, **kwargs)

    def borders(self, n_rows: int, split: Split) -> tuple[int, int]:
        """Return the split's rows, see ``ratio_borders``."""
        return ratio_borders(n_rows, split, self.seq_len, self.ratios)
