"""Every label map of a training is looked at before its first step, so that no wrong value costs a day."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from torch.utils.data import Dataset

from mm_vit_comer.datasets.label_rules import UNLABELLED, LabelError, LabelRules, require_labels
from mm_vit_comer.datasets.label_survey import Survey, survey
from mmrepro.engine.strict_load_hook import model_of


@HOOKS.register_module()
class LabelCheckHook(Hook):
    """Stop before the first step where labels do not fit: unreadable or missing label maps, ones of another size than
    their picture, values outside the classes, a ``reduce_zero_label`` that the histogram contradicts, and heads with
    another number of classes than the data set.

    Of training and validation before training, of the test set before a test. Ranks share the files. Every
    file is read, so large data sets take a while: ``limit`` takes part of them.

    Args:
        limit: look at so many of a data set's label maps only, evenly spaced; None for all.
        workers: how many files a rank decodes at once.

    Raises:
        ValueError: an argument is below 1.
    """

    priority = "VERY_HIGH"

    def __init__(self, limit: int | None = None, workers: int = 8) -> None:
        if workers < 1 or (limit is not None and limit < 1):
            raise ValueError(f"limit={limit} and workers={workers} must be at least 1; limit=None looks at all")
        self.limit, self.workers = limit, workers

    def before_train(self, runner: Runner) -> None:
        """Check the training and validation data.

        Raises:
            LabelError: the labels do not fit; the message names files, values and the fix.
        """
        self._check(runner, runner.train_loop.dataloader.dataset, "training data")
        if runner.val_loop is not None:
            self._check(runner, runner.val_loop.dataloader.dataset, "validation data")

    def before_test(self, runner: Runner) -> None:
        """Check the test data; see :meth:`before_train`."""
        self._check(runner, runner.test_loop.dataloader.dataset, "test data")

    def _check(self, runner: Runner, data: Dataset, name: str) -> None:
        for leaf in leaves(data):
            require_head_classes(runner, leaf, name)
            pairs = label_pairs(leaf, self.limit)
            if not pairs:
                continue  # a test set whose labels are not public
            print_log(f"{name}: looking at {len(pairs)} label maps", logger="current")
            mine = survey(pairs[get_rank() :: get_world_size()], leaf.backend_args, self.workers)
            found = Survey()
            for part in all_gather_object(mine):
                found.merge(part)
            for sentence in require_labels(found, rules_of(runner, leaf), name):
                print_log(sentence, logger="current", level=30)


def leaves(data: Dataset) -> Iterator[BaseSegDataset]:
    """Yield the segmentation data sets inside concatenated, repeated and mixed ones."""
    if isinstance(data, BaseSegDataset):
        yield data
    for inner in (*getattr(data, "datasets", ()), *([data.dataset] if hasattr(data, "dataset") else ())):
        yield from leaves(inner)


def label_pairs(data: BaseSegDataset, limit: int | None = None) -> list[tuple[str, str]]:
    """Return the paths of pictures and label maps; evenly spaced ones where there are more than ``limit``."""
    count = len(data)
    chosen = range(count) if limit is None or count <= limit else [k * count // limit for k in range(limit)]
    entries = (data.get_data_info(index) for index in chosen)
    return [(one["img_path"], one["seg_map_path"]) for one in entries if one.get("seg_map_path")]


def rules_of(runner: Runner, data: BaseSegDataset) -> LabelRules:
    """Return how a data set's labels are read and what the model's loss leaves out."""
    return LabelRules(
        tuple(data.metainfo.get("classes") or ()),
        data.reduce_zero_label,
        data.label_map,
        getattr(_head(runner), "ignore_index", UNLABELLED),
    )


def require_head_classes(runner: Runner, data: BaseSegDataset, name: str) -> None:
    """Compare the number of classes.

    Raises:
        LabelError: the head has another number of classes than the data set, or that names none.
    """
    classes, head = data.metainfo.get("classes"), _head(runner)
    if not classes:
        raise LabelError(f"{name}: the classes have no names. Fix: metainfo=dict(classes=(...)) in the data set")
    expected = getattr(head, "num_classes", len(classes))
    if expected != len(classes):
        raise LabelError(
            f"{name} has {len(classes)} classes, the model's decode_head {expected}. Fix: num_classes={len(classes)} "
            "in decode_head and auxiliary_head, or correct metainfo['classes']"
        )


def _head(runner: Runner) -> object:
    return getattr(model_of(runner), "decode_head", None)
