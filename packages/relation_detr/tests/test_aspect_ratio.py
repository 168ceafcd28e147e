"""Batches of similar shapes."""

from collections import Counter

import pytest
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS

from mm_relation_detr.datasets.aspect_ratio import AspectRatioGroupBatchSampler, aspect_group


class Shapes:
    """A data set of shapes; it counts how often it is asked."""

    def __init__(self, shapes):
        self.shapes, self.asked = shapes, 0

    def __len__(self):
        return len(self.shapes)

    def get_data_info(self, index):
        self.asked += 1
        return dict(width=self.shapes[index][0], height=self.shapes[index][1])


def sampler(shapes, batch_size, shuffle=True):
    return AspectRatioGroupBatchSampler(DefaultSampler(Shapes(shapes), shuffle=shuffle, seed=3), batch_size)


@pytest.mark.parametrize(
    ("shape", "group"), [((33, 97), 0), ((48, 64), 2), ((60, 60), 4), ((64, 48), 5), ((90, 30), 7)]
)
def test_groups(shape, group):
    assert aspect_group(*shape) == group


def test_every_batch_is_of_one_group_and_as_many_as_promised():
    shapes = [(100, 30), (30, 100), (50, 50)] * 7
    batches = list(sampler(shapes, 4))
    assert len(batches) == len(sampler(shapes, 4)) == 5
    assert all(len(batch) == 4 for batch in batches)
    assert all(len({shapes[index] for index in batch}) == 1 for batch in batches)


def test_full_groups_are_drawn_once_each():
    shapes = [(100, 30)] * 8 + [(30, 100)] * 4
    drawn = Counter(index for batch in sampler(shapes, 4) for index in batch)
    assert drawn == Counter(range(12))


def test_what_is_left_is_filled_with_images_of_the_group_the_fullest_first():
    shapes = [(100, 30)] * 3 + [(30, 100)] * 2 + [(50, 50)]
    batches = list(sampler(shapes, 4, shuffle=False))
    assert batches == [[0, 1, 2, 0]]


def test_shapes_are_asked_for_once():
    given = sampler([(100, 30), (30, 100)] * 4, 2)
    for _ in range(3):
        list(given)
    assert given.sampler.dataset.asked == 8


def test_it_stands_below_the_resumable_loops_batches():
    base = DefaultSampler(Shapes([(100, 30), (30, 100)] * 4), seed=3)
    config = dict(
        type="SeededBatchSampler",
        batch_sampler=dict(type="mmdet.AspectRatioGroupBatchSampler"),
        sampler=base,
        batch_size=2,
    )
    seeded = DATA_SAMPLERS.build(config)
    seeded.start(0)
    batches = [one.indices for one in seeded]
    seeded.start(0, skip=2)
    assert [one.indices for one in seeded] == batches[2:]


def test_too_few_images_are_an_error():
    with pytest.raises(ValueError, match=r"3 images for batches of 4\. Fix"):
        sampler([(1, 1)] * 3, 4)
