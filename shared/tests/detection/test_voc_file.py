"""Lists and XML files at fault are refused with the file, the entries and the fix."""

import pytest

pytest.importorskip("mmdet", reason="mmdet is no dependency of the core")

from PIL import Image

from mmrepro.datasets.coco_file import AnnotationError
from mmrepro.detection.voc_file import read_voc

BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>7</ymax></bndbox>"
SIZE = "<size><width>40</width><height>30</height><depth>3</depth></size>"


@pytest.fixture
def folder(tmp_path):
    """A data set of no picture yet, and how to add one."""
    for name in ("Annotations", "JPEGImages"):
        (tmp_path / name).mkdir()
    return tmp_path


def add(folder, name, objects=f"<object><name>cat</name>{BOX}</object>", size=SIZE, suffix=".jpg", extra=""):
    (folder / "Annotations" / f"{name}.xml").write_text(f"<annotation>{extra}{size}{objects}</annotation>")
    if suffix:
        Image.new("RGB", (40, 30)).save(folder / "JPEGImages" / f"{name}{suffix}")


def read(folder, names):
    (folder / "list.txt").write_text("".join(f"{name}\n" for name in names))
    return read_voc(str(folder / "list.txt"), str(folder / "Annotations"), str(folder / "JPEGImages"))


def test_names_keep_their_order_and_coordinates_count_from_zero(folder):
    objects = f"<object><name>owl</name><difficult>1</difficult>{BOX}</object><object><name> cat </name>{BOX}</object>"
    add(folder, "b", objects)
    add(folder, "a", "")
    file = read(folder, ["b", "", "a"])
    assert file.images == [
        dict(id="b", file_name="b.jpg", width=40, height=30),
        dict(id="a", file_name="a.jpg", width=40, height=30),
    ]
    assert file.categories == [dict(id=0, name="cat"), dict(id=1, name="owl")]
    assert [(one["category_id"], one["bbox"], one["difficult"]) for one in file.annotations["b"]] == [
        (1, [0, 1, 10, 5], 1),
        (0, [0, 1, 10, 5], 0),
    ]
    assert "a" not in file.annotations


@pytest.mark.parametrize("suffix", [".png", ".JPG", ".jpeg", ".bmp", ".tif", ".webp"])
def test_pictures_have_any_suffix(folder, suffix):
    add(folder, "my.picture", suffix=suffix)
    (folder / "JPEGImages" / "my.picture.txt").write_text("")
    assert read(folder, ["my.picture"]).images[0]["file_name"] == f"my.picture{suffix}"


def test_of_two_pictures_the_xml_files_is_taken(folder):
    add(folder, "a", suffix=".png", extra="<filename>a.png</filename>")
    add(folder, "a", suffix=".jpg", extra="<filename>a.png</filename>")
    assert read(folder, ["a"]).images[0]["file_name"] == "a.png"
    add(folder, "a", extra="<filename>elsewhere.png</filename>")
    with pytest.raises(AnnotationError, match=r"names that several pictures have \(1: a: a\.jpg, a\.png\)"):
        read(folder, ["a"])


@pytest.mark.parametrize(
    "size", ["", "<size><width>0</width><height>0</height></size>", "<size><width>w</width></size>"]
)
def test_a_size_that_is_not_written_is_the_pictures(folder, size):
    add(folder, "a", size=size)
    assert read(folder, ["a"]).images == [dict(id="a", file_name="a.jpg", width=40, height=30)]
    (folder / "JPEGImages" / "a.jpg").write_text("")
    with pytest.raises(AnnotationError, match=r"neither the XML file nor the picture tells \(1: .*a\.xml\)"):
        read(folder, ["a"])


@pytest.mark.parametrize("fault", [OSError("Truncated File Read"), Image.DecompressionBombError("too large")])
def test_a_header_that_pillow_stops_at_is_named(folder, monkeypatch, fault):
    def stop(file):
        raise fault

    add(folder, "a", size="")
    monkeypatch.setattr(Image, "open", stop)
    with pytest.raises(AnnotationError, match=r"neither the XML file nor the picture tells \(1: .*a\.xml\)"):
        read(folder, ["a"])


def test_names_may_have_folders(folder):
    for name in ("Annotations", "JPEGImages"):
        (folder / name / "day1").mkdir()
    add(folder, "day1/a", suffix=".png", size="", extra="<filename>a.png</filename>")
    add(folder, "day1/a", suffix=".jpg", size="", extra="<filename>a.png</filename>")
    add(folder, "a")
    assert read(folder, ["day1/a", "a"]).images == [
        dict(id="day1/a", file_name="day1/a.png", width=40, height=30),
        dict(id="a", file_name="a.jpg", width=40, height=30),
    ]


def test_a_picture_that_is_not_there_is_left_to_the_data_set(folder):
    add(folder, "a", suffix=None, size="")
    assert read(folder, ["a"]).images[0]["file_name"] == "a.*"
    (folder / "JPEGImages").rmdir()
    assert read(folder, ["a"]).images[0]["file_name"] == "a.*"


@pytest.mark.parametrize("corners", [(5, 5, 5, 9), (9, 9, 4, 4), (-20, -20, 400, 400)])
def test_boxes_that_the_data_set_drops_or_clips_are_in_order(folder, corners):
    inside = "".join(f"<{n}>{v}</{n}>" for n, v in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    add(folder, "a", f"<object><name>cat</name><bndbox>{inside}</bndbox></object>")
    x1, y1, x2, y2 = corners
    assert read(folder, ["a"]).annotations["a"][0]["bbox"] == [x1 - 1, y1 - 1, x2 - x1, y2 - y1]


@pytest.mark.parametrize(
    ("objects", "said"),
    [
        (f"<object>{BOX}</object>", r"objects without a name \(1: .*a\.xml, object 0\)"),
        ("<object><name>cat</name></object>", r"bndbox is not four numbers xmin, ymin, xmax, ymax \(1: .*object 0\)"),
        (f"<object><name>cat</name>{BOX.replace('7', 'seven')}</object>", "bndbox is not four numbers"),
        (f"<object><name>cat</name>{BOX.replace('7', 'nan')}</object>", "bndbox is not four numbers"),
        (f"<object><name>cat</name><difficult>yes</difficult>{BOX}</object>", "difficult is neither 0 nor 1"),
    ],
)
def test_a_fault_of_an_object_is_named(folder, objects, said):
    add(folder, "a", objects)
    with pytest.raises(AnnotationError, match=rf"list\.txt: .*{said}.*Fix: "):
        read(folder, ["a"])


def test_faults_of_the_list_are_counted_and_named(folder):
    for name in "ab":
        add(folder, name)
    (folder / "Annotations" / "b.xml").write_text("<annotation>")
    (folder / "Annotations" / "c.xml").write_text("")
    with pytest.raises(AnnotationError, match=r"list\.txt: names that occur twice \(1: a\)") as found:
        read(folder, ["a", "b", "a", "c", "a.jpg", "d -1"])
    for said in (
        "files that are no XML (2: ",
        "b.xml: no element found",
        "names (without suffix) that have no XML file (2: ",
        "a.jpg.xml",
        "d -1.xml",
    ):
        assert said in str(found.value)


def test_an_empty_list_and_one_that_is_not_there(folder):
    with pytest.raises(AnnotationError, match=r"list\.txt is empty. Fix: a name per line"):
        read(folder, ["", " "])
    (folder / "list.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"list\.txt"):
        read_voc(str(folder / "list.txt"), str(folder), str(folder))
