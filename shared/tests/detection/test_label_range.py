"""Labels of a batch against the classes of a model."""

import pytest
import torch
from mmengine.structures import InstanceData

from mmrepro.detection.label_range import checked_labels

METAS = [dict(img_path="a.jpg"), dict(img_path="b.jpg"), {}]


def batch(*labels):
    return [InstanceData(labels=torch.tensor(of_image, dtype=torch.long)) for of_image in labels]


def test_labels_in_range_are_returned_by_image():
    assert checked_labels(batch([0, 4], [], [2]), METAS, 5) == [[0, 4], [], [2]]
    assert checked_labels(batch([], [], []), METAS, 5) == [[], [], []]
    assert checked_labels(batch([-1, 0], [], []), METAS, 5, first=-1) == [[-1, 0], [], []]


@pytest.mark.parametrize(
    ("labels", "first", "fault"),
    [
        (([0], [5, 9, 5], [7]), 0, r"b\.jpg: labels \[5, 9\], .* num_classes=5, that is labels 0 to 4; .* largest id"),
        (([0], [], [-1]), 0, r"an image: labels \[-1\], .* labels 0 to 4"),
        (([-2], [], []), -1, r"a\.jpg: labels \[-2\], .* labels -1 to 4"),
    ],
)
def test_the_first_image_at_fault_is_named(labels, first, fault):
    with pytest.raises(ValueError, match=fault):
        checked_labels(batch(*labels), METAS, 5, first)
