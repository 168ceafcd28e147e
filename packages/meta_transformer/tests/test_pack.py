"""The last step of a pipeline."""

import numpy as np
import pytest
import torch

from mm_meta_transformer.datasets.data_error import DataError
from mm_meta_transformer.datasets.pack import PackMetaInputs


def test_one_key_gives_a_tensor_and_several_a_dict():
    sample = {"wave": np.arange(4.0), "rate": np.int64(3), "gt_label": 2, "sample_idx": 7}
    packed = PackMetaInputs("wave")(sample)
    assert packed["inputs"].dtype == torch.float32
    assert packed["data_samples"].gt_label.tolist() == [2]
    assert packed["data_samples"].sample_idx == 7
    both = PackMetaInputs(("wave", "rate", "marks"), optional=("marks",))(sample)["inputs"]
    assert {key: (value.shape, value.dtype) for key, value in both.items()} == {
        "wave": ((4,), torch.float32),
        "rate": ((), torch.int64),
    }


def test_scores_and_further_fields_go_to_the_data_sample():
    sample = {"wave": np.zeros(2), "gt_score": [0.2, 0.8], "gt_value": 1.5}
    found = PackMetaInputs("wave", fields=("gt_value",))(sample)["data_samples"]
    assert found.gt_score.tolist() == pytest.approx([0.2, 0.8])
    assert found.gt_value == 1.5


def test_repairs_always_go_to_the_data_sample():
    sample = {"wave": np.zeros(2), "repairs": ["2 frames repeated"]}
    assert PackMetaInputs("wave", meta_keys=())(sample)["data_samples"].repairs == ("2 frames repeated",)
    assert "repairs" not in PackMetaInputs("wave")({"wave": np.zeros(2), "repairs": []})["data_samples"]


def test_a_missing_key_is_named():
    with pytest.raises(DataError, match=r"the sample has no marks; it has wave. Fix: keys or optional"):
        PackMetaInputs(("wave", "marks"))({"wave": np.zeros(2)})
    with pytest.raises(DataError, match="the sample has no gt_points; it has wave"):
        PackMetaInputs("wave", fields=("gt_points",))({"wave": np.zeros(2)})
