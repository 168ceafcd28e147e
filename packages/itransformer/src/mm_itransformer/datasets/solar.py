"""Solar (137 photovoltaic plants, every 10 minutes): a text file of comma-separated numbers without header or dates.

Source: ``Dataset_Solar`` of thuml/iTransformer @ c2426e6.
"""

from __future__ import annotations

from mmengine.registry import DATASETS

from mmrepro.datasets.series import Series, read_csv
from mmrepro.datasets.windows import Split, WindowDataset


@DATASETS.register_module()
class SolarDataset(WindowDataset):
    """Windows of a file of numbers alone; columns are named by position, there are no marks."""

    def __init__(self, *args, time_features: bool = False, **kwargs) -> None:
        super().__init__(*args, time_features=time_features, **kwargs)

    def borders(self, n_rows: int, split: Split) -> tuple[int, int]:
        """Return the split's rows: 0.7, 0.1 and 0.2 of the file, each rounded down; test ends at the file's end."""
        n_train, n_val, n_test = int(n_rows * 0.7), int(n_rows * 0.1), int(n_rows * 0.2)
        if split == "train":
            return 0, n_train
        if split == "val":
            return n_train - self.seq_len, n_train + n_val
        return n_rows - n_test - self.seq_len, n_rows

    def read(self) -> Series:
        """Return the series, without dates."""
        return read_csv(self.path(), date_column=None, header=False, encoding=self.encoding)
