"""Looking at label maps: what can be read, what fits its picture, and what stands in it."""

import numpy as np
import pytest
from PIL import Image

from mm_vit_comer.datasets.label_survey import LabelMapError, label_counts, survey


@pytest.fixture
def pair(tmp_path):
    picture, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    Image.new("RGB", (6, 4)).save(picture)
    Image.fromarray(np.array([[0, 0, 3, 3, 3, 255]] * 4, np.uint8)).save(mask)
    return str(picture), str(mask)


def test_pixels_are_counted_by_value(pair):
    counts = label_counts(*pair)
    assert {value: int(counts[value]) for value in np.flatnonzero(counts)} == {0: 8, 3: 12, 255: 4}
    assert counts.shape == (256,)


def test_of_a_palette_the_places_count(pair):
    image = Image.fromarray(np.full((4, 6), 7, np.uint8))
    image.putpalette([200] * 768)
    image.save(pair[1])
    assert label_counts(*pair)[7] == 24


def test_small_values_of_sixteen_bits_can_be_loaded(pair):
    Image.fromarray(np.full((4, 6), 9, np.uint16)).save(pair[1])
    assert label_counts(*pair)[9] == 24


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (6, 4)), r"has colours \(mode RGB\)"),
        (Image.new("L", (5, 4)), r"has 5 x 4 pixels, its picture .*a\.jpg 6 x 4$"),
        (Image.fromarray(np.full((4, 6), 300, np.uint16)), "values reach from 300 to 300"),
    ],
)
def test_a_label_map_that_cannot_be_used_is_named_with_its_fault(pair, image, message):
    image.save(pair[1])
    with pytest.raises(LabelMapError, match=message):
        label_counts(*pair)


def test_missing_and_unreadable_files(pair, tmp_path):
    picture, mask = pair
    with pytest.raises(LabelMapError, match=r"it is missing; its picture is .*a\.jpg"):
        label_counts(picture, str(tmp_path / "none.png"))
    with pytest.raises(LabelMapError, match=r"its picture .*none\.jpg is missing"):
        label_counts(str(tmp_path / "none.jpg"), mask)
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:40])
    with pytest.raises(LabelMapError, match="it cannot be read"):
        label_counts(picture, mask)
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(LabelMapError, match=r"its picture .*a\.jpg cannot be read"):
        label_counts(picture, mask)


def test_a_photograph_counts_as_it_is_turned_upright(pair):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (4, 6)).save(pair[0], exif=exif)  # stored lying
    assert label_counts(*pair).sum() == 24
    Image.new("RGB", (6, 4)).save(pair[0], exif=exif)
    with pytest.raises(LabelMapError, match="4 x 6 when it is turned upright as its EXIF entry says"):
        label_counts(*pair)


def test_a_survey_adds_up_and_goes_on_after_a_fault(pair, tmp_path):
    other = tmp_path / "b.png"
    Image.fromarray(np.full((4, 6), 3, np.uint8)).save(other)
    lost = str(tmp_path / "lost.png")
    found = survey([pair, (pair[0], str(other)), (pair[0], lost)], workers=2)
    assert (found.maps, list(found.faults)) == (3, [lost])
    assert (found.pixels[3], found.files[3], found.first[3]) == (36, 2, pair[1])
    whole = survey([pair])
    whole.merge(survey([(pair[0], str(other)), (pair[0], lost)]))
    np.testing.assert_array_equal(whole.pixels, found.pixels)
    np.testing.assert_array_equal(whole.files, found.files)
    assert (whole.maps, whole.first, whole.faults) == (found.maps, found.first, found.faults)
    remote = survey([pair], backend_args=dict(backend="local"))
    np.testing.assert_array_equal(remote.pixels, label_counts(*pair))
