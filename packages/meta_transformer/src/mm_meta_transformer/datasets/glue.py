"""The sentence tasks of GLUE (arXiv 1804.07461) that the paper reports: SST-2, MRPC and QQP, in their TSV files."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from mmpretrain.registry import DATASETS

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.labelled_texts import LabelledTextDataset


class _Task(NamedTuple):
    texts: tuple[str, ...]  # columns
    label: str
    classes: tuple[str, str]


TASKS = {
    "sst2": _Task(("sentence",), "label", ("negative", "positive")),
    "mrpc": _Task(("#1 String", "#2 String"), "Quality", ("different", "paraphrase")),
    "qqp": _Task(("question1", "question2"), "is_duplicate", ("different", "duplicate")),
}


@DATASETS.register_module()
class GLUEDataset(LabelledTextDataset):
    """Sentences, or pairs of them, and yes or no, written as 1 and 0.

    Args:
        ann_file: a file with a line of column names, without quoting.
        task: ``"sst2"``, ``"mrpc"`` or ``"qqp"``.
        kwargs: as in :class:`.LabelledTextDataset`.

    Raises:
        DataError: the task is unknown; or as there.
    """

    columns_are_set_by = "task"

    def __init__(self, ann_file: str, task: Literal["sst2", "mrpc", "qqp"] = "sst2", **kwargs: Any) -> None:
        if task not in TASKS:
            raise DataError(f"task={task!r} is not known. Fix: one of {', '.join(TASKS)}")
        super().__init__(ann_file, **TASKS[task]._asdict(), labels=("0", "1"), **kwargs)
