"""The data registry: where files are found, that wrong ones are never used and right ones never fetched again."""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from mmrepro import papers
from mmrepro.datasets import registry

CONTENT = b"date,a\n2020-01-01,1\n"
OTHER_VERSION = CONTENT.replace(b"\n", b"\r\n")
SETS = ["etth1", "etth2", "ettm1", "ettm2", "exchange", "weather"]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Server(ThreadingHTTPServer):
    """A web server on the loopback that remembers what was asked; ``short`` cuts its answers."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.short = False
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        super().do_GET()

    def copyfile(self, source, outputfile) -> None:
        content = source.read()
        outputfile.write(content[: len(content) // 2] if self.server.short else content)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "web"
    folder.mkdir()
    (folder / "table.csv").write_bytes(CONTENT)
    with zipfile.ZipFile(folder / "table.zip", "w") as archive:
        archive.writestr("inner/table.csv", CONTENT)
    with Server(folder) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Return a function that declares a data set ``toy`` in a paper's own catalog, with changes to its entry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMREPRO_DATA_ROOT", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(papers, "names", lambda: ["a_paper"])
    monkeypatch.setattr(papers, "root", lambda name: tmp_path / "paper")

    def write(**changes) -> None:
        file = {"path": "toy/table.csv", "bytes": len(CONTENT), "sha256": sha(CONTENT)}
        file |= {key: changes.pop(key) for key in ("url", "accepts", "path") if key in changes}
        entry = {
            "title": "Toy",
            "files": [file],
            "folders": ["other", "."],
            "licence": "CC0 1.0",
            "homepage": "h",
            "citation": "c",
        }
        (tmp_path / "paper").mkdir(exist_ok=True)
        (tmp_path / "paper" / "data-sets.yml").write_text(yaml.safe_dump({"toy": entry | changes}))
        registry._catalog.cache_clear()

    yield write
    registry._catalog.cache_clear()


def put(path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def fetch(root: Path) -> str:
    """Download ``toy`` below ``root`` and return what was shown."""
    screen = io.StringIO()
    found = registry.download("toy", root, Console(file=screen))
    assert found["table.csv"].read_bytes() == CONTENT
    return screen.getvalue()


def test_the_core_declares_the_sets_of_the_papers_that_share_them():
    assert set(SETS) <= set(registry.names())
    for name in SETS:
        data = registry.get(name)
        assert data.licence
        assert data.citation
        assert data.homepage.startswith("https://")
        for file in data.files:
            assert len(file.sha256) == 64
            assert file.bytes > 0
            assert file.url.startswith("https://")


def test_names_are_known_in_upper_case_and_unknown_names_list_the_known_ones():
    assert registry.get("ETTh1") is registry.get("etth1")
    with pytest.raises(LookupError, match=r"no data set is named 'etth3'; known: .*etth1, etth2"):
        registry.get("etth3")


@pytest.mark.parametrize("path", ["toy/table.csv", "toy/table.csv.gz", "other/table.csv", "table.csv", "table.csv.gz"])
def test_a_file_is_found_in_each_accepted_layout(declare, tmp_path, path):
    declare()
    place = put(tmp_path / "root" / path)
    assert registry.locate("toy", tmp_path / "root") == {"table.csv": place}


def test_roots_are_searched_in_order(declare, tmp_path, monkeypatch):
    declare()
    monkeypatch.setenv("MMREPRO_DATA_ROOT", str(tmp_path / "environment"))
    here = put(tmp_path / "data/toy/table.csv")
    assert registry.locate("toy")["table.csv"].samefile(here)
    environment = put(tmp_path / "environment/toy/table.csv")
    assert registry.locate("toy")["table.csv"] == environment
    explicit = put(tmp_path / "explicit/toy/table.csv")
    assert registry.locate("toy", tmp_path / "explicit")["table.csv"] == explicit


def test_another_version_with_the_same_numbers_counts(declare, tmp_path):
    declare(accepts=[{"sha256": sha(OTHER_VERSION), "bytes": len(OTHER_VERSION), "note": "Windows line ends"}])
    put(tmp_path / "root/toy/table.csv", OTHER_VERSION)
    assert registry.status("toy", tmp_path / "root").files[0].detail == "Windows line ends"


def test_a_missing_file_names_the_places_and_the_command(declare, tmp_path):
    declare(url="https://example.invalid/table.csv")
    with pytest.raises(registry.DataNotFoundError) as caught:
        registry.locate("toy", tmp_path / "root")
    for part in (
        "table.csv of toy",
        str(tmp_path / "root/toy/table.csv"),
        "data/toy/table.csv",
        "mmrepro data get toy",
    ):
        assert part in str(caught.value)
    assert registry.status("toy", tmp_path / "root").state == "missing"


def test_a_wrong_file_is_never_used(declare, tmp_path):
    declare(url="https://example.invalid/table.csv")
    wrong = put(tmp_path / "root/toy/table.csv", CONTENT + b"2020-01-02,2\n")
    with pytest.raises(registry.DataCorruptError) as caught:
        registry.locate("toy", tmp_path / "root")
    for part in (str(wrong), sha(wrong.read_bytes()), sha(CONTENT), "mmrepro data get toy"):
        assert part in str(caught.value)
    assert registry.status("toy", tmp_path / "root").state == "wrong"


def test_a_right_file_elsewhere_wins_over_a_wrong_one(declare, tmp_path):
    declare()
    put(tmp_path / "root/toy/table.csv", b"wrong")
    right = put(tmp_path / "root/other/table.csv")
    assert registry.locate("toy", tmp_path / "root") == {"table.csv": right}


def test_a_cut_gzip_file_is_wrong(declare, tmp_path):
    declare()
    place = put(tmp_path / "root/toy/table.csv.gz")
    place.write_bytes(place.read_bytes()[:-12])
    with pytest.raises(registry.DataCorruptError, match=r"table\.csv\.gz cannot be unpacked"):
        registry.locate("toy", tmp_path / "root")


def test_a_file_that_changed_is_verified_again(declare, tmp_path):
    declare()
    place = put(tmp_path / "root/toy/table.csv")
    registry.locate("toy", tmp_path / "root")
    put(place, CONTENT + b"more")
    assert registry.status("toy", tmp_path / "root").state == "wrong"


def test_a_download_shows_source_and_licence_and_lands_in_the_official_place(declare, server, tmp_path):
    declare(url=f"{server.url}/table.csv")
    shown = fetch(tmp_path / "root")
    assert (tmp_path / "root/toy/table.csv").read_bytes() == CONTENT
    for part in (f"{server.url}/table.csv", "licence: CC0 1.0", "cite: c"):
        assert part in shown
    assert [path.name for path in (tmp_path / "root/toy").iterdir()] == ["table.csv"]


def test_a_right_file_is_never_fetched_again(declare, server, tmp_path):
    declare(url=f"{server.url}/table.csv")
    place = put(tmp_path / "root/table.csv.gz")
    screen = io.StringIO()
    assert registry.download("toy", tmp_path / "root", Console(file=screen)) == {"table.csv": place}
    assert "already there" in screen.getvalue()
    assert server.asked == []


def test_a_member_of_a_zip_is_fetched_by_its_name(declare, server, tmp_path):
    declare(url=f"{server.url}/table.zip")
    fetch(tmp_path / "root")
    assert [path.name for path in (tmp_path / "root/toy").iterdir()] == ["table.csv"]


def test_a_wrong_file_gives_way_to_the_right_one_and_is_kept(declare, server, tmp_path):
    declare(url=f"{server.url}/table.csv")
    put(tmp_path / "root/toy/table.csv", b"wrong")
    assert "kept as table.csv.wrong" in fetch(tmp_path / "root")
    assert (tmp_path / "root/toy/table.csv.wrong").read_bytes() == b"wrong"


@pytest.mark.parametrize("archive", ["table.csv", "table.zip"])
def test_a_truncated_download_leaves_nothing(declare, server, tmp_path, archive):
    declare(url=f"{server.url}/{archive}")
    server.short = True
    with pytest.raises(registry.DownloadError, match=archive):
        fetch(tmp_path / "root")
    assert list((tmp_path / "root/toy").iterdir()) == []


def test_a_download_with_other_content_is_refused_and_the_old_file_stays(declare, server, tmp_path):
    declare(url=f"{server.url}/table.csv")
    put(tmp_path / "web/table.csv", b"<html>moved</html>")
    old = put(tmp_path / "root/toy/table.csv", b"wrong")
    with pytest.raises(registry.DownloadError) as caught:
        fetch(tmp_path / "root")
    for part in (sha(b"<html>moved</html>"), sha(CONTENT), "Nothing was kept"):
        assert part in str(caught.value)
    assert old.read_bytes() == b"wrong"


def test_a_zip_without_the_file_says_so(declare, server, tmp_path):
    declare(url=f"{server.url}/table.zip", path="toy/absent.csv")
    with pytest.raises(registry.DownloadError, match=r"table\.zip holds no absent\.csv"):
        registry.download("toy", tmp_path / "root")


def test_a_server_that_does_not_answer_is_named_with_the_place_for_the_file(declare, server, tmp_path):
    declare(url=f"{server.url}/nothing.csv")
    with pytest.raises(registry.DownloadError) as caught:
        fetch(tmp_path / "root")
    for part in (f"{server.url}/nothing.csv", "404", str(tmp_path / "root/toy/table.csv")):
        assert part in str(caught.value)


def test_a_set_without_address_says_how_to_get_it_by_hand(declare, tmp_path):
    declare(instructions="Ask the authors for it.", homepage="https://example.org/toy")
    for attempt in (registry.locate, registry.download):
        with pytest.raises(registry.DataNotFoundError) as caught:
            attempt("toy", tmp_path / "root")
        for part in ("Ask the authors for it.", "<data root>/toy/table.csv", "https://example.org/toy"):
            assert part in str(caught.value)


def declare_by_size(declare, **changes) -> None:
    """Declare ``toy`` by rows and variates, as a set whose checksum nobody has published."""
    declare(**{"instructions": "Unpack the archive."} | changes)
    catalog = Path("paper/data-sets.yml")
    entry = yaml.safe_load(catalog.read_text())
    entry["toy"]["files"] = [{"path": "toy/table.csv", "rows": 1, "variates": 1}]
    catalog.write_text(yaml.safe_dump(entry))


@pytest.mark.parametrize("path", ["toy/table.csv", "toy/table.csv.gz", "other/table.csv"])
def test_a_set_without_known_checksum_counts_when_its_size_is_right(declare, tmp_path, path):
    declare_by_size(declare)
    place = put(tmp_path / "root" / path)
    found = registry.status("toy", tmp_path / "root")
    assert found.state == "unverified"
    assert f"{place} has 1 rows and 1 variates, as published; no checksum is known" in found.files[0].detail
    assert registry.locate("toy", tmp_path / "root") == {"table.csv": place}
    screen = io.StringIO()
    assert registry.download("toy", tmp_path / "root", Console(file=screen)) == {"table.csv": place}
    assert "no checksum is known" in screen.getvalue()


@pytest.mark.parametrize("content", [CONTENT + b"2020-01-02,2\n", b"date,a,b\n2020-01-01,1,2\n"])
def test_a_set_without_known_checksum_is_refused_when_its_size_is_wrong(declare, tmp_path, content):
    declare_by_size(declare)
    wrong = put(tmp_path / "root/toy/table.csv", content)
    attempts = {registry.locate: registry.DataCorruptError, registry.download: registry.DataNotFoundError}
    for attempt, error in attempts.items():
        with pytest.raises(error) as caught:
            attempt("toy", tmp_path / "root")
        for part in (str(wrong), "expected 1 rows and 1 variates", "Unpack the archive."):
            assert part in str(caught.value)
    right = put(tmp_path / "root/other/table.csv")
    assert registry.locate("toy", tmp_path / "root") == {"table.csv": right}


def test_a_file_whose_size_cannot_be_read_is_wrong(declare, tmp_path):
    declare_by_size(declare)
    place = put(tmp_path / "root/toy/table.csv.gz")
    place.write_bytes(place.read_bytes()[:-12])
    with pytest.raises(registry.DataCorruptError, match=r"table\.csv\.gz cannot be read \(.*Unpack the archive\."):
        registry.locate("toy", tmp_path / "root")


def test_a_missing_file_is_got_by_hand_where_it_has_no_address(declare, tmp_path):
    declare_by_size(declare)
    assert registry.status("toy", tmp_path / "root").by_hand
    put(tmp_path / "root/toy/table.csv")
    assert not registry.status("toy", tmp_path / "root").by_hand
    declare(url="https://example.invalid/table.csv")
    assert not registry.status("toy", tmp_path / "elsewhere").by_hand


def test_a_file_that_nothing_can_check_is_refused(declare, tmp_path):
    declare_by_size(declare)
    catalog = tmp_path / "paper/data-sets.yml"
    catalog.write_text(catalog.read_text().replace("rows: 1", "lines: 1"))
    with pytest.raises(ValueError, match=r"toy/table\.csv of 'toy' can be checked by nothing\. Fix: give bytes"):
        registry.names()


def test_two_catalogs_must_not_declare_one_name(declare, tmp_path):
    declare()
    catalog = tmp_path / "paper/data-sets.yml"
    catalog.write_text(catalog.read_text().replace("toy:", "etth1:", 1))
    registry._catalog.cache_clear()
    with pytest.raises(ValueError, match="'etth1' is already declared"):
        registry.names()


def test_importing_the_registry_and_listing_its_sets_stays_light():
    code = (
        "import sys; from mmrepro.datasets import registry; registry.names(); "
        "print([m for m in ('torch', 'mmengine', 'pandas', 'numpy', 'pooch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_terminal_shows_the_progress_of_a_download(declare, server, tmp_path):
    declare(url=f"{server.url}/table.csv")
    screen = io.StringIO()
    registry.download("toy", tmp_path / "root", Console(file=screen, force_terminal=True))
    assert "100%" in screen.getvalue()


@pytest.fixture
def pictures(declare, tmp_path):
    """Declare a folder of three pictures and return its place, in which two lie, one of them deeper."""
    file = {"path": "sr/Toys/HR", "pictures": 3}
    declare(files=[file], folders=["Toys"], instructions="Draw them.")
    put(tmp_path / "data/sr/Toys/HR/a.png")
    put(tmp_path / "data/sr/Toys/HR/deeper/b.JPEG")
    put(tmp_path / "data/sr/Toys/HR/read me.txt")
    return tmp_path / "data/sr/Toys/HR"


def test_a_folder_counts_with_as_many_pictures_as_published(pictures):
    put(pictures / "c.tif")
    status = registry.status("toy")
    assert status.state == "unverified"
    assert "holds 3 pictures, as published; no checksum is known" in status.files[0].detail
    assert registry.locate("toy") == {"HR": Path("data/sr/Toys/HR")}


@pytest.mark.parametrize("more", [0, 2])
def test_a_folder_with_fewer_or_more_pictures_is_wrong(pictures, more):
    for number in range(more):
        put(pictures / f"more{number}.png")
    assert registry.status("toy").state == "wrong"
    said = (
        rf"HR of toy: it holds {2 + more} pictures, expected 3\. Fix: complete or replace it: .*Draw them\. Put it at"
    )
    with pytest.raises(registry.DataCorruptError, match=said):
        registry.locate("toy")


def test_a_folder_is_found_in_another_place_that_the_catalogue_accepts(pictures, tmp_path):
    put(pictures / "c.tif")
    (tmp_path / "data/Toys").mkdir()
    pictures.rename(tmp_path / "data/Toys/HR")
    assert registry.locate("toy") == {"HR": Path("data/Toys/HR")}
    (tmp_path / "data/Toys/HR").rename(tmp_path / "elsewhere")
    with pytest.raises(
        registry.DataNotFoundError, match=r"searched data/sr/Toys/HR \(and in Toys\)\. Fix: .*Draw them"
    ):
        registry.locate("toy")


@pytest.mark.parametrize(
    ("count", "state", "said"),
    [
        (0, "wrong", "holds 0 pictures, expected 3"),
        (2, "unverified", "holds 2 of 3 pictures; no checksum"),
        (3, "unverified", "holds 3 pictures, as published"),
        (4, "wrong", "holds 4 pictures, expected 3"),
    ],
)
def test_a_part_counts_where_the_catalogue_says_so(declare, tmp_path, count, state, said):
    declare(files=[{"path": "Toys", "pictures": 3, "part": True}])
    (tmp_path / "data/Toys").mkdir(parents=True)
    for number in range(count):
        put(tmp_path / f"data/Toys/{number}.png")
    assert registry.status("toy").state == state
    assert said in registry.status("toy").files[0].detail


@pytest.mark.parametrize("ending", ["_label.png", ".wav"])
def test_only_names_with_the_ending_count(declare, tmp_path, ending):
    declare(files=[{"path": "Toys", "pictures": 1, "ending": ending}])
    put(tmp_path / "data/Toys/a.png")
    said = f"it holds 0 files whose names end in {ending}, expected 1"
    assert said in registry.status("toy").files[0].detail
    put(tmp_path / f"data/Toys/a{ending}")
    assert registry.status("toy").state == "unverified"


def test_any_number_of_pictures_counts_where_none_is_published(declare, tmp_path):
    declare(files=[{"path": "Toys", "pictures": 0}])
    (tmp_path / "data/Toys").mkdir(parents=True)
    assert "holds 0 pictures, expected at least one" in registry.status("toy").files[0].detail
    put(tmp_path / "data/Toys/a.webp")
    assert registry.status("toy").state == "unverified"


def test_files_of_one_name_are_told_apart_by_their_paths(declare, tmp_path):
    files = [{"path": f"Toys/{kind}/train", "pictures": 1} for kind in ("images", "annotations")]
    declare(files=[*files, {"path": "Toys/HR", "pictures": 1}], folders=[])
    for path in ("Toys/images/train", "Toys/annotations/train", "Toys/HR"):
        put(tmp_path / "data" / path / "a.png")
    paths = {key: Path("data/Toys", key.removeprefix("Toys/")) for key in registry.locate("toy")}
    assert list(paths) == ["Toys/images/train", "Toys/annotations/train", "HR"]
    assert registry.locate("toy") == paths


def test_folders_cannot_hold_two_files_of_one_name(declare):
    declare(files=[{"path": f"Toys/{kind}/train", "pictures": 1} for kind in ("images", "annotations")])
    with pytest.raises(ValueError, match=r"'toy' has files of one name(.|\n)*Fix: leave out folders"):
        registry.get("toy")
