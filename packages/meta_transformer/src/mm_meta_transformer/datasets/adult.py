"""The Adult census data of UCI: does a person earn more than 50,000 dollars a year?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.table_rows import TableDataset
from mmrepro.datasets.generated.tables import adult_files

COLUMNS = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship"),
    *("race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "target"),
)
# Different values of the 45,222 rows without missing cells: a split has as many or fewer.
SIZES = {
    **dict(age=74, workclass=7, education=16, marital_status=7, occupation=14, relationship=6, race=5, sex=2),
    **dict(capital_gain=121, capital_loss=97, hours_per_week=96, native_country=41),
}


@DATASETS.register_module()
class AdultDataset(TableDataset):
    """Adult as in the official script: ``education_num`` is left out, ``fnlwgt`` alone is continuous.

    12 categorical columns with 486 codes, one continuous one. The order of rows is drawn from a seed; the official
    script has none, so its split cannot be had again.

    Args:
        split: see :class:`.TableDataset`.
        files: UCI's ``adult.data`` and ``adult.test``, or one of them; a first line of names may be there.
        kwargs: everything else as in :class:`.TableDataset`.
    """

    READING: ClassVar[dict[str, Any]] = {"names": COLUMNS, "comment": "|"}

    def __init__(self, split: str, files: str | Sequence[str] = ("adult.data", "adult.test"), **kwargs: Any) -> None:
        fixed = dict(target="target", drop=("education_num",), continuous=("fnlwgt",), sizes=SIZES, split_seed=1)
        super().__init__(files, split, **(self.READING | fixed | dict(classes=("<=50K", ">50K")) | kwargs))


@DATASETS.register_module()
class GeneratedAdultDataset(AdultDataset):
    """``AdultDataset`` of generated rows, written to a file and read from it.

    Args:
        split: see :class:`.TableDataset`.
        generate: arguments of :func:`mmrepro.datasets.generated.tables.adult_files`.
        kwargs: everything else as in :class:`AdultDataset`.
    """

    def __init__(self, split: str, generate: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(split, data_root=str(adult_files(**(generate or {}))), **kwargs)
