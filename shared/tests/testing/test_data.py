from __future__ import annotations

import pytest

from mmrepro.datasets import registry
from mmrepro.testing import require_data


@pytest.fixture
def missing(monkeypatch):
    def locate(name):
        raise registry.DataNotFoundError(f"{name} was not found")

    monkeypatch.setattr(registry, "locate", locate)


def test_missing_data_skips(missing, monkeypatch):
    monkeypatch.delenv("MMREPRO_REQUIRE_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception, match="etth1 was not found"):
        require_data("etth1")


def test_missing_data_fails_where_it_is_required(missing, monkeypatch):
    monkeypatch.setenv("MMREPRO_REQUIRE_DATA", "1")
    with pytest.raises(pytest.fail.Exception, match="MMREPRO_REQUIRE_DATA is set, and etth1 was not found"):
        require_data("etth1")


def test_a_wrong_file_is_an_error_everywhere(monkeypatch, tmp_path):
    monkeypatch.delenv("MMREPRO_REQUIRE_DATA", raising=False)
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ETTh1.csv").write_text("date,OT\n")
    with pytest.raises(registry.DataCorruptError):
        require_data("etth1")


def test_found_files_are_returned(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "locate", lambda name: {f"{name}.csv": tmp_path / "a.csv"})
    assert require_data("a") == {"a.csv": tmp_path / "a.csv"}
