"""Generated tables have the form of UCI's files."""

import pytest

from mmrepro.datasets.generated.tables import adult_files, bank_file
from mmrepro.datasets.table_size import table_size


def test_adult_has_the_two_files_with_their_peculiarities():
    folder = adult_files(30)
    train, test = ((folder / name).read_text().splitlines() for name in ("adult.data", "adult.test"))
    assert len(train) == 20 + 1  # a blank line ends the real file, too
    assert test[0] == "|1x3 Cross validator"
    assert {len(line.split(", ")) for line in train[:20] + test[1:11]} == {15}
    assert {line.split(", ")[-1] for line in train[:20]} == {"<=50K", ">50K"}
    assert all(line.endswith("50K.") for line in test[1:11])


def test_the_bank_has_quoted_names_and_semicolons():
    path = bank_file(30)
    assert table_size(path) == (30, 20)
    assert path.read_text().startswith('"age";"job";')


def test_the_same_settings_give_the_same_rows():
    assert bank_file(30) == bank_file(30)
    first, again = adult_files(30, seed=1) / "adult.data", adult_files(30) / "adult.data"
    assert first.read_text() != again.read_text()
    with pytest.raises(ValueError, match="at least 1"):
        adult_files(0)
