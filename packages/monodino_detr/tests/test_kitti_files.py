"""KITTI's text files: what is read, what is written, and what is refused by file, line and fix."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mm_monodino_detr.evaluation.kitti_files import (
    KittiFileError,
    parse_objects,
    read_objects,
    read_split,
    result_text,
    write_results,
)

CAR = "Car 0.10 1 0.30 300.00 150.00 400.00 193.00 1.50 1.60 4.00 0.50 1.70 20.00 0.20"
DONT_CARE = "DontCare -1 -1 -10 700.00 150.00 800.00 200.00 -1 -1 -1 -1000 -1000 -1000 -10"


def test_fields_have_their_places():
    found = parse_objects(f"{CAR}\n\n{DONT_CARE}\n", "a.txt")
    assert found.names.tolist() == ["Car", "DontCare"]
    assert (found.truncated[0], found.occluded[0], found.alphas[0], found.rotations[0]) == (0.1, 1, 0.3, 0.2)
    assert found.boxes[0].tolist() == [300, 150, 400, 193]
    assert found.sizes[0].tolist() == [1.5, 1.6, 4]
    assert found.locations[0].tolist() == [0.5, 1.7, 20]
    assert found.boxes_3d[0].tolist() == [1.5, 1.6, 4, 0.5, 1.7, 20, 0.2]
    assert found.scores is None
    assert parse_objects(f"{CAR} 1.25", "a.txt", scored=True).scores.tolist() == [1.25]
    assert parse_objects(f"{CAR} 1.25", "a.txt").scores is None  # a pseudo-label


@pytest.mark.parametrize("scored", [False, True])
def test_an_empty_file_is_a_frame_without_objects(tmp_path, scored):
    (tmp_path / "a.txt").write_text("\n")
    found = read_objects(tmp_path / "a.txt", scored)
    assert (len(found), found.boxes.shape, found.names.dtype.kind) == (0, (0, 4), "U")
    assert (found.scores is not None) == scored


@pytest.mark.parametrize(
    ("text", "scored", "message"),
    [
        (f"{CAR}\n{CAR} 1 2", False, "a.txt, line 2: 17 fields, a label has 15"),
        (CAR[:-5], False, "a.txt, line 1: 14 fields"),
        (CAR, True, "15 fields, a result has 16"),
        (CAR.replace("1.70", "low"), False, "line 1: y is 'low'"),
        (CAR.replace("20.00", "nan"), False, "z is 'nan'. Fix: a finite number"),
        (f"{CAR} inf", True, "score is 'inf'"),
        (CAR.replace("Car", "Lorry"), False, "class 'Lorry' is not known. Fix: one of Car, Van"),
        (CAR.replace("1.60", "-1.60"), False, r"the size \[1.5, -1.6, 4.0\] of a Car is not positive"),
        (CAR.replace("4.00", "0.00"), False, "is not positive"),
        (f"\n{CAR.replace('400.00', '299.99')}", False, "line 2: the 2D box .* ends before it begins"),
    ],
)
def test_a_broken_line_is_named(text, scored, message):
    with pytest.raises(KittiFileError, match=message):
        parse_objects(text, "a.txt", scored)


def test_other_classes_where_they_are_named():
    lorry = CAR.replace("Car", "Lorry")
    assert parse_objects(lorry, "a.txt", classes=("lorry",)).names.tolist() == ["Lorry"]
    assert len(parse_objects(lorry, "a.txt", classes=None)) == 1


def test_sizes_of_results_are_the_models_own():
    assert parse_objects(f"{CAR.replace('1.60', '-0.10')} 0.5", "a.txt", scored=True).sizes[0, 1] == -0.1


def test_a_missing_file_and_one_of_bytes(tmp_path):
    with pytest.raises(KittiFileError, match=r"none\.txt cannot be read \(No such file"):
        read_objects(tmp_path / "none.txt")
    with pytest.raises(KittiFileError, match="without a line where the frame has no object"):
        read_objects(tmp_path / "none.txt")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KittiFileError, match=r"b\.txt is no text file"):
        read_objects(tmp_path / "b.txt")
    with pytest.raises(KittiFileError, match=r"b\.txt is no text file. Fix: a list of frames"):
        read_split(tmp_path / "b.txt")


def test_files_of_other_editors(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf" + f"{CAR}\r\n{DONT_CARE}\r\n".encode())
    assert read_objects(tmp_path / "a.txt").names.tolist() == ["Car", "DontCare"]
    (tmp_path / "val.txt").write_bytes(b"\xef\xbb\xbf000001\r\n000002\r\n")
    assert read_split(tmp_path / "val.txt") == ["000001", "000002"]


def test_a_split_needs_no_last_newline(tmp_path):
    (tmp_path / "val.txt").write_text("000002\n000001")
    assert read_split(tmp_path / "val.txt") == ["000002", "000001"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no frame"),
        ("000001\n000002\n000001", "line 3: 000001 stands in line 1 too"),
        ("000001 000002", "is no frame"),
        ("../000001", "is no frame"),
        ("000001\n000002.PNG", "line 2: '000002.PNG' is no frame"),
    ],
)
def test_a_broken_split_is_named(tmp_path, text, message):
    (tmp_path / "val.txt").write_text(text)
    with pytest.raises(KittiFileError, match=message):
        read_split(tmp_path / "val.txt")


def detections(labels, seed=0) -> dict:
    random = torch.Generator().manual_seed(seed)
    count = len(labels)
    shapes = dict(alphas=(count,), bboxes=(count, 4), bboxes_3d=(count, 7), scores=(count,))
    drawn = {name: 30 * torch.randn(shape, generator=random, dtype=torch.float64) for name, shape in shapes.items()}
    return dict(labels=torch.tensor(labels, dtype=torch.int64)) | drawn


def test_results_are_written_with_two_decimals_and_read_back(tmp_path):
    given = detections([1, 2, 1])
    text = result_text(given, ["Pedestrian", "Car", "Cyclist"])
    assert text.startswith(f"Car 0.0 0 {given['alphas'][0]:.2f} {given['bboxes'][0, 0]:.2f} ")
    assert result_text(InstanceData(**given), ["Pedestrian", "Car", "Cyclist"]) == text
    write_results({"000007": text, "000008": ""}, tmp_path / "new")
    found = read_objects(tmp_path / "new" / "000007.txt", scored=True)
    assert found.names.tolist() == ["Car", "Cyclist", "Car"]
    written = np.c_[given["alphas"], given["bboxes"], given["bboxes_3d"]]
    np.testing.assert_allclose(found.values[:, 2:], written, atol=0.005 + 1e-9)
    np.testing.assert_allclose(found.scores, given["scores"], atol=0.005 + 1e-9)
    assert (tmp_path / "new" / "000008.txt").read_text() == ""


def test_no_detections_are_an_empty_text():
    assert result_text(detections([]), ["Car"]) == ""


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_without_a_name_is_an_error_of_the_text(label):
    with pytest.raises(ValueError, match=rf"of 000007: the labels \[{label}\] have no name.*known_classes=3 of"):
        result_text(detections([1, label]), ["Pedestrian", "Car", "Cyclist"], "predictions of 000007")


@pytest.mark.parametrize(("key", "name"), [("scores", "score"), ("alphas", "alpha"), ("bboxes_3d", "height")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_no_line_of_a_result(key, name, value):
    given = detections([0, 0])
    given[key][1] = value
    with pytest.raises(KittiFileError, match=rf"of 000007: {name} of detection 2 is {value}\. Fix: "):
        result_text(given, ["Car"], "predictions of 000007")
