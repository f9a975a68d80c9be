"""Data sets from a server on loopback to files that the commands read, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

from sparserec_np.data.formats import read_interactions
from sparserec_np.data.published import CONVERSIONS, already_fetched, fetch, parts_left, read_record
from sparserec_np.errors import DataError
from tests.makers import archives

pytestmark = pytest.mark.usefixtures("web")  # and with it no pauses between tries


@pytest.fixture
def get(web, tmp_path):
    """Fetches a tiny data set into a folder."""

    def call(name, contents=None, **options):
        archives.mirror(web, name, contents)
        row = archives.tiny(name, contents)
        return fetch(row, str(tmp_path / "data"), web.address, **options)

    return call


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def test_archives_are_the_same_whenever_they_are_made(monkeypatch):
    now = archives.archive("ml-20m")
    monkeypatch.setattr("zipfile.time.time", lambda: 1e9)
    assert archives.archive("ml-20m") == now


@pytest.mark.parametrize("name", ["ml-100k", "ml-1m", "ml-20m"])
def test_ratings_and_items(get, folder, name):
    get(name)
    lines = (folder / "ratings.csv").read_text().splitlines()
    assert lines[0] == "userId,movieId,rating,timestamp"
    log = read_interactions(folder / "ratings.csv")
    assert log.n_interactions == len(lines) - 1 and log.times is not None
    items = (folder / "items.csv").read_text(encoding="utf-8").splitlines()
    assert items[0] == "movieId,title,genres" and items[-1].startswith('2,"Café, Le (1996)",')


def test_ratings_are_what_the_own_readers_read(get, folder, tmp_path):
    get("ml-1m")
    (tmp_path / "u.data").write_text(archives.RATED)
    (tmp_path / "ratings.dat").write_text(archives.RATED.replace("\t", "::"))
    digests = {
        read_interactions(path).digest()
        for path in (folder / "ratings.csv", tmp_path / "u.data", tmp_path / "ratings.dat")
    }
    assert len(digests) == 1
    assert read_interactions(folder / "ratings.csv", min_rating=4).n_interactions < 40


def test_genres_are_those_that_are_marked(get, folder):
    get("ml-100k")
    assert "1,Toy Story (1995),Animation|Comedy" in (folder / "items.csv").read_text(encoding="utf-8")
    assert len(list(folder.glob("fold*-train.csv"))) == len(list(folder.glob("fold*-test.csv"))) == 5


def test_lists_stay_as_they_are(get, folder):
    get("gowalla")
    assert (folder / "train.txt").read_bytes() == (folder / "test.txt").read_bytes() == archives.LISTS
    assert read_interactions(folder / "train.txt").n_interactions == 6


def test_pairs_become_sorted_lists_from_0(get, folder):
    get("lastfm")
    assert (folder / "train.txt").read_bytes() == b"0 2 3\n2 1\n"


def test_the_record_says_where_it_is_from(get, folder):
    done = get("lastfm")
    record = json.loads((folder / "SOURCE.json").read_text())
    assert record == done.record == read_record(str(folder)) and done.downloaded
    assert record["name"] == "lastfm" and "non-commercial" in record["licence"]
    assert [row["compared"] for row in record["published"]] == ["sha256", "sha256"]
    assert sorted(os.listdir(folder)) == ["SOURCE.json", "test.txt", "train.txt"]


def test_what_is_published_can_be_kept(get, folder, web):
    get("lastfm", keep=True)
    assert (folder / "original" / "data1.txt").read_bytes() == archives.PAIRS
    get("lastfm", keep=True)
    assert len(web.asked) == 2


def test_no_name_in_an_archive_is_written_to(get, folder, tmp_path):
    get("ml-1m")
    assert sorted(os.listdir(folder)) == ["SOURCE.json", "items.csv", "ratings.csv"]
    assert not list(tmp_path.parent.rglob("escaped.txt"))


def test_what_is_there_already_is_known(get, folder):
    row = archives.tiny("lastfm")
    assert already_fetched(row, str(folder)) is None
    get("lastfm")
    found = already_fetched(row, str(folder))
    assert found is not None and not found.downloaded and found.record["name"] == "lastfm"


def test_files_from_elsewhere_are_not_replaced_unasked(get, folder):
    get("lastfm")
    for row in (archives.tiny("gowalla"), archives.tiny("lastfm")):
        with pytest.raises(DataError, match=r"holds train\.txt, test\.txt already.*--overwrite"):
            already_fetched(row, str(folder))
        assert already_fetched(row, str(folder), overwrite=True) is None
        (folder / "train.txt").write_text("0 1\n")  # changed by somebody
    get("ml-1m")
    for part in ("train.txt", "test.txt"):
        (folder / part).unlink()
    with pytest.raises(DataError, match="holds ml-1m already, not as lastfm has it"):
        already_fetched(archives.tiny("lastfm"), str(folder))
    for record in ("{", "[]", '{"name": "lastfm"}'):
        (folder / "SOURCE.json").write_text(record)
        assert read_record(str(folder)) is None


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        ({"ml-1m.zip": b"<html>no archive</html>"}, "no sound archive"),
        ({"ml-1m.zip": archives.archive("ml-100k")}, "holds no ml-1m/ratings.dat"),
    ],
)
def test_what_cannot_be_converted_leaves_nothing_behind(get, folder, contents, said):
    with pytest.raises(DataError, match=said):
        get("ml-1m", contents)
    assert sorted(os.listdir(folder)) == ["original"]  # verified, and no file of ours


def test_a_damaged_member_is_refused(get, folder):
    packed = bytearray(archives.archive("ml-1m"))
    place = packed.index(b"ml-1m/ratings.dat") + len(b"ml-1m/ratings.dat")
    packed[place + 5] ^= 0xFF
    with pytest.raises(DataError, match="no sound archive"):
        get("ml-1m", {"ml-1m.zip": bytes(packed)})
    assert not (folder / "ratings.csv").exists()


def test_a_line_that_is_no_rating_is_named(tmp_path):
    with open(tmp_path / "in", "wb+") as given, open(tmp_path / "out", "wb") as made:
        given.write(b"1::2::3::4\n1::2\n")
        given.seek(0)
        with pytest.raises(ValueError, match="line 2 has 2 fields"):
            CONVERSIONS["colons"](given, made)


def test_a_failure_keeps_the_part_and_nothing_else(get, folder, web):
    archives.mirror(web, "lastfm")
    for page in web.pages.values():
        page.drops, page.tag = [4, *[0] * 9], '"one"'
    row = archives.tiny("lastfm")
    with pytest.raises(DataError):
        fetch(row, str(folder), web.address)
    assert parts_left(str(folder)) == [str(folder / "original" / "data1.txt.part")]
    for page in web.pages.values():
        page.drops = []
    assert fetch(row, str(folder), web.address).downloaded and parts_left(str(folder)) == []


def test_a_failure_without_a_byte_leaves_no_folder(folder, web):
    with pytest.raises(DataError, match="404"):
        fetch(archives.tiny("lastfm"), str(folder), web.address)
    assert not folder.exists()


def test_without_a_known_checksum_the_digest_is_told(folder, web):
    archives.mirror(web, "lastfm")
    row = archives.tiny("lastfm")
    files = tuple(dataclasses.replace(file, checksum=None, bytes=None) for file in row.files)
    done = fetch(dataclasses.replace(row, files=files), str(folder), web.address)
    published = done.record["published"][0]
    assert published["compared"] is None and len(published["sha256"]) == 64
