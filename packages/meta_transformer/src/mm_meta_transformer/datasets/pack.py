"""The last step of every pipeline: what the tokenizer reads and what the head compares with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample
from torch import Tensor

from mm_meta_transformer.datasets.data_error import DataError


@TRANSFORMS.register_module()
class PackMetaInputs(BaseTransform):
    """Make ``inputs`` and ``data_samples`` of a sample, without any change of axes.

    Args:
        keys: the sample's key that becomes the tensor ``inputs``, or keys of which it becomes a dict of tensors.
        fields: further keys that go into the data sample as tensors, beside ``gt_label`` (class numbers) and
            ``gt_score`` (one value per class), which always go there: a ``gt_value`` to regress, for example.
        meta_keys: keys that go into the data sample as they are, beside ``repairs``, the words of the steps that had to
            change the sample to read it, which always go there as a tuple if there are any.
        optional: of ``keys``, those that a sample may lack; those of one batch must be alike.

    Raises:
        DataError: a sample lacks one of ``keys`` or of ``fields``.
    """

    def __init__(
        self,
        keys: str | Sequence[str],
        fields: Sequence[str] = (),
        meta_keys: Sequence[str] = ("sample_idx", "path"),
        optional: Sequence[str] = (),
    ) -> None:
        self.keys = keys if isinstance(keys, str) else tuple(keys)
        self.fields, self.meta_keys, self.optional = tuple(fields), tuple(meta_keys), tuple(optional)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``inputs`` and ``data_samples``."""
        wanted = (self.keys,) if isinstance(self.keys, str) else self.keys
        needed = [key for key in (*wanted, *self.fields) if key not in self.optional]
        absent = [key for key in needed if key not in results]
        if absent:
            raise DataError(
                f"the sample has no {', '.join(absent)}; it has {', '.join(results)}. "
                "Fix: keys or optional or fields of PackMetaInputs, or the step before that should make it"
            )
        tensors = {key: _tensor(results[key]) for key in wanted if key in results}
        sample = DataSample(metainfo={key: results[key] for key in self.meta_keys if key in results})
        if results.get("repairs"):
            sample.set_metainfo({"repairs": tuple(results["repairs"])})
        if "gt_label" in results:
            sample.set_gt_label(results["gt_label"])
        if "gt_score" in results:
            sample.set_gt_score(np.asarray(results["gt_score"], np.float32))
        for key in self.fields:
            sample.set_field(_tensor(results[key]), key)
        return {"inputs": tensors[self.keys] if isinstance(self.keys, str) else tensors, "data_samples": sample}


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    array = np.asarray(value)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
