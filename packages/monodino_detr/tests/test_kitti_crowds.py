"""The measurement of the metric's time: its files are what it says, and both ways find the same."""

from pathlib import Path

import pytest

from mm_monodino_detr.evaluation.kitti_files import read_objects, read_split
from mmrepro.testing import SplitAdapter

crowds = SplitAdapter(Path(__file__).resolve().parent, {}).part("kitti_crowds")


def test_files_and_memory_give_the_same_numbers(tmp_path):
    folders = crowds.write_crowds(tmp_path, 12, 9)
    labels, results, split = folders
    frames = read_split(split)
    assert len(frames) == 12
    assert {len(read_objects(results / f"{frame}.txt", scored=True)) for frame in frames} == {9}
    assert {len(read_objects(labels / f"{frame}.txt")) for frame in frames} == {crowds.LABELS}
    found = crowds.from_files(*folders)
    assert found["Car_AP3D_R40_moderate"] > 0
    in_memory = crowds.from_memory(crowds.samples_of(*folders))
    assert in_memory == pytest.approx(found, abs=1e-9)


def test_a_row_for_each_way():
    table = crowds.measure(frames=2, detections=3)
    assert len(table.rows) == 2
    assert all(float(cell) >= 0 for row in table.rows for cell in row[1:])
    assert "2 generated frames of 7 labels and 3 detections" in table.note
