"""What the values of label maps mean to a data set, and whether those that occur fit it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mm_vit_comer.datasets.label_survey import VALUES, Survey
from mmrepro.engine.errors import UserError

UNLABELLED = 255  # what mmsegmentation makes of the zero label, and of classes that are left out
_SHOWN = 5


class LabelError(UserError, ValueError):
    """The labels of a data set do not fit its classes; the message names files, values and the fix."""


@dataclass(frozen=True)
class LabelRules:
    """How labels are read.

    Attributes:
        classes: names of the classes.
        reduce_zero_label: whether 0 is no class, and 1 the first one.
        label_map: of the file's classes, counted from 0, to those that are trained, as mmsegmentation makes it of
            ``metainfo["classes"]``; None where they are the same.
        ignore_index: what the loss leaves out.
    """

    classes: tuple[str, ...]
    reduce_zero_label: bool = False
    label_map: Mapping[int, int] | None = None
    ignore_index: int = UNLABELLED

    @property
    def file_classes(self) -> int:
        """How many classes the files have."""
        return len(self.classes) if self.label_map is None else len(self.label_map)

    def loaded(self) -> np.ndarray:
        """Return what ``LoadAnnotations`` makes of each value of a file, ``(256,)``."""
        values = np.arange(VALUES)
        if self.reduce_zero_label:
            values = np.where((values == 0) | (values == UNLABELLED), UNLABELLED, values - 1)
        if self.label_map is not None:
            values = np.array([self.label_map.get(int(value), int(value)) for value in values])
        return values

    def outside(self) -> np.ndarray:
        """Return which values of a file are neither a class nor left out, ``(256,)`` bool."""
        loaded = self.loaded()
        return (loaded >= len(self.classes)) & (loaded != self.ignore_index)


def require_labels(found: Survey, rules: LabelRules, name: str) -> list[str]:
    """Check what was found in a data set's label maps.

    Args:
        found: the survey.
        rules: of the data set.
        name: what messages call it.

    Returns:
        Sentences about what is odd but may be meant.

    Raises:
        LabelError: files cannot be used, values are outside the classes, or 0 is plainly a class where
            ``reduce_zero_label`` leaves it out.
    """
    if found.faults:
        raise LabelError(
            f"{name}: {len(found.faults)} of {found.maps} label maps cannot be used:"
            f"{_lines(found.faults)}\nFix: replace these files, or remove them together with their pictures"
        )
    bad = np.flatnonzero((found.pixels > 0) & rules.outside()).tolist()
    if bad:
        lines = {found.first[value]: f"{value}, in {_files(found, value)}" for value in bad[:_SHOWN]}
        more = f"\n  ... and {len(bad) - _SHOWN} other values" if len(bad) > _SHOWN else ""
        raise LabelError(
            f"{name}: label values are outside the {rules.file_classes} classes, which are "
            f"{_range(rules)}:{_lines(lines)}{more}\nFix: {_advice(found, rules, bad)}"
        )
    sentence, sure = _zero_label(found, rules)
    if sure:
        raise LabelError(f"{name}: {sentence}")
    odd = [sentence] if sentence else []
    loaded = rules.loaded()
    missing = [one for k, one in enumerate(rules.classes) if not found.pixels[loaded == k].any()]
    if missing and found.maps:
        odd.append(f"no pixel is of {len(missing)} of the {len(rules.classes)} classes: {_some(missing)}")
    return [f"{name}: {one}" for one in odd]


def _zero_label(found: Survey, rules: LabelRules) -> tuple[str, bool]:
    """Return what the histogram says about ``reduce_zero_label``, and whether there is no doubt."""
    present = set(np.flatnonzero(found.pixels).tolist()) - {UNLABELLED}
    count = rules.file_classes
    share = found.pixels[0] / max(found.pixels.sum(), 1)
    if rules.reduce_zero_label and 0 in present and count not in present:
        # Files counted from 0 have exactly these values; of files counted from 1 the last class would have to be absent
        # while every other one is there.
        sure = present == set(range(count))
        sentence = (
            f"reduce_zero_label=True leaves out label 0, which is {share:.0%} of all pixels, and label {count}, "
            f"which then is the class {rules.classes[-1] if rules.label_map is None else count - 1!r}, does not occur: "
            f"the files look counted from 0. Fix: reduce_zero_label=False"
        )
        return (sentence if sure else f"{sentence}, unless that class is absent"), sure
    if not rules.reduce_zero_label and present and 0 not in present:
        return (
            f"label 0 does not occur, so nothing is of the class {rules.classes[0]!r}: if the files are counted from "
            "1, set reduce_zero_label=True"
        ), False
    return "", False


def _advice(found: Survey, rules: LabelRules, bad: list[int]) -> str:
    if not rules.reduce_zero_label and bad == [rules.file_classes]:
        zero = "0 then is no class" if found.pixels[0] else "0 does not occur"
        return (
            f"if the files are counted from 1, reduce_zero_label=True ({zero}); if {bad[0]} is a further class, name "
            "it in metainfo['classes'] and count it in the heads' num_classes; if it is nothing, write 255 there"
        )
    return (
        "name every class in metainfo['classes'], in the order of the values, and count them in the heads' "
        "num_classes; write 255 where nothing is labelled"
    )


def _range(rules: LabelRules) -> str:
    first = int(rules.reduce_zero_label)
    last = first + rules.file_classes - 1
    return f"{first} to {last}{', with 0' if first else ''}{' and' if first else ', with'} 255 for nothing"


def _files(found: Survey, value: int) -> str:
    count = int(found.files[value])
    return f"{int(found.pixels[value])} pixels of {count} file{'' if count == 1 else 's'}"


def _lines(reasons: Mapping[str, str]) -> str:
    shown = "".join(f"\n  {path}: {reason}" for path, reason in list(reasons.items())[:_SHOWN])
    return shown if len(reasons) <= _SHOWN else f"{shown}\n  ... and {len(reasons) - _SHOWN} more"


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
