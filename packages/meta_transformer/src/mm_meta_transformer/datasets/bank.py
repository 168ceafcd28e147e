"""The bank marketing data of UCI: does a client subscribe to a term deposit after a call?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.table_rows import TableDataset
from mmrepro.datasets.generated.tables import bank_file

# Different values of the 41,188 rows: a split has as many or fewer.
SIZES = {
    **dict(age=78, job=12, marital=4, education=8, default=3, housing=3, loan=3, contact=2, month=10, day_of_week=5),
    **{"campaign": 42, "pdays": 27, "previous": 8, "poutcome": 3, "emp.var.rate": 10, "cons.price.idx": 26},
    **{"cons.conf.idx": 26, "euribor3m": 316, "nr.employed": 11},
}


@DATASETS.register_module()
class BankMarketingDataset(TableDataset):
    """Bank marketing as in the official script: ``duration`` is left out, every other column is categorical.

    19 columns with 597 codes. "unknown" is a category like the others; nothing is missing.

    Args:
        split: see :class:`.TableDataset`.
        files: ``bank-additional-full.csv``.
        kwargs: everything else as in :class:`.TableDataset`.
    """

    READING: ClassVar[dict[str, Any]] = {"separator": ";"}

    def __init__(self, split: str, files: str | Sequence[str] = "bank-additional-full.csv", **kwargs: Any) -> None:
        fixed = dict(target="y", drop=("duration",), sizes=SIZES, classes=("no", "yes"), split_seed=2)
        super().__init__(files, split, **(self.READING | fixed | kwargs))


@DATASETS.register_module()
class GeneratedBankDataset(BankMarketingDataset):
    """``BankMarketingDataset`` of generated rows, written to a file and read from it.

    Args:
        split: see :class:`.TableDataset`.
        generate: arguments of :func:`mmrepro.datasets.generated.tables.bank_file`.
        kwargs: everything else as in :class:`BankMarketingDataset`.
    """

    def __init__(self, split: str, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(split, files=str(bank_file(**(generate or {}))), **kwargs)
