"""`kitti_eval`: tables, files and one-line errors."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[1] / "tools" / "kitti_eval.py"
main = runpy.run_path(str(TOOL))["main"]
LABEL = "Car 0.00 0 0.30 300.00 150.00 400.00 210.00 1.50 1.60 4.00 0.00 1.60 20.00 0.00"


@pytest.fixture
def folders(tmp_path):
    for name, end in (("labels", ""), ("results", " 0.80")):
        (tmp_path / name).mkdir()
        for frame in ("000001", "000002"):
            (tmp_path / name / f"{frame}.txt").write_text(f"{LABEL}{end}\n")
    (tmp_path / "labels" / "000003.txt").write_text("")
    (tmp_path / "results" / "000077.txt").write_text("not looked at")
    (tmp_path / "val.txt").write_text("000001\n000002\n000003")
    return [str(tmp_path / name) for name in ("labels", "results", "val.txt")]


def test_help_needs_no_torch():
    code = f"""
import runpy, sys
sys.argv = ["kitti_eval.py", "--help"]
try:
    runpy.run_path({str(TOOL)!r}, run_name="__main__")
except SystemExit as stop:
    assert stop.code == 0
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_tables_numbers_and_curves(folders, tmp_path, capsys):
    numbers, picture = tmp_path / "new" / "ap.json", tmp_path / "curves.png"
    main([*folders, "--classes", "Car", "--distances", "--json", str(numbers), "--curves", str(picture)])
    said = capsys.readouterr().out
    assert "Car AP_R40@0.70, 0.70, 0.70:\nbbox AP:2.5000, 2.5000, 2.5000\n" in said
    assert "with fewer than 41 objects no result reaches 100" in said
    assert "frames: 3; without a result file, taken as empty: 1 (000003); " in said
    assert "result files of other frames, left out: 1 (000077)\n" in said
    found = json.loads(numbers.read_text())
    assert (found["frames"], found["missing"], found["others"]) == (3, ["000003"], ["000077"])
    assert found["ap"]["Car_AP3D_R40_moderate"] == pytest.approx(2.5)
    assert "Car_AP3D_R40_30m" in found["ap"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_other_classes_by_name_or_any(folders, tmp_path, capsys):
    for name in ("labels", "results"):
        path = tmp_path / name / "000001.txt"
        path.write_text(path.read_text().replace("Car", "Kart"))
    with pytest.raises(SystemExit, match=r"000001\.txt, line 1: the class 'Kart' is not known"):
        main(folders)
    main([*folders, "--classes", "Kart"])
    assert "Kart AP@0.50, 0.50, 0.50:\nbbox AP:9.0909" in capsys.readouterr().out
    main([*folders, "--any-class"])


def test_folders_that_do_not_fit_are_one_line(folders, tmp_path):
    labels, _, split = folders
    with pytest.raises(SystemExit, match=r"error: .*nowhere is no folder. Fix: the folder of the results"):
        main([labels, str(tmp_path / "nowhere"), split])
    (tmp_path / "val.txt").write_text("000009")
    with pytest.raises(SystemExit, match=r"has results of none of the 1 frames .* Fix: files like 000009\.txt"):
        main(folders)
    (tmp_path / "val.txt").write_text("000001\n000002")
    broken = tmp_path / "results" / "000002.txt"
    whole = broken.read_text()
    for text, said in ((LABEL, "15 fields, a result has 16"), (f"{LABEL} nan", "score is 'nan'")):
        broken.write_text(f"{whole}{text}\n")
        with pytest.raises(SystemExit, match=rf"error: .*000002\.txt, line 2: {said}.* Fix: "):
            main([*folders[:2], split])
    (tmp_path / "val.txt").write_text("000001\n000077")
    with pytest.raises(SystemExit, match=r"000077\.txt cannot be read"):
        main(folders)


@pytest.mark.parametrize(
    ("option", "name", "said"),
    [
        ("--json", "labels", "labels is a folder. Fix: a file in it"),
        ("--curves", "labels", "labels is a folder. Fix: a file in it"),
        ("--curves", "curves.jpg", "the drawing is a PNG. Fix: a name that ends in .png"),
    ],
)
def test_places_to_write_to_are_looked_at_first(folders, tmp_path, capsys, option, name, said):
    with pytest.raises(SystemExit, match="2"):
        main([*folders, option, str(tmp_path / name)])
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
    assert not (tmp_path / "curves.jpg").exists()


def test_rules_of_classes_are_those_of_the_metric(folders, tmp_path, capsys):
    rules = tmp_path / "rules.json"
    rules.write_text('{"Car": {"overlaps": [[0.9, 0.8, 0.8], [0.9, 0.6, 0.6]]}}')
    main([*folders, "--rules", str(rules)])
    assert "Car AP_R40@0.90, 0.80, 0.80:\n" in capsys.readouterr().out
    for text in ("[]", "{", '{"Car": 1}', '{"Car": {"overlap": 1}}', '{"Car": {"overlaps": [0.7, 0.7, 0.7]}}'):
        rules.write_text(text)
        with pytest.raises(SystemExit, match=r"error: .*rules\.json holds no rules of classes .* Fix: JSON like"):
            main([*folders, "--rules", str(rules)])
    with pytest.raises(SystemExit, match=r"none\.json holds no rules of classes \(.*No such file"):
        main([*folders, "--rules", str(tmp_path / "none.json")])
