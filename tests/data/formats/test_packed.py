"""Compressed files: every kind in every format, damaged ones, and Pythons that lack a module."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from sparserec_np.data.formats import read_interactions, write_interactions
from sparserec_np.errors import ConfigError, DataError
from tests.makers.files import pairs, pairs_of, put, reading, refusal

WANTED = [(1, 10), (1, 11), (2, 10)]


def zipped(
    content: bytes, name: str = "inside/ratings", *more: str, method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", method) as archive:
        archive.writestr(name, content)
        for other in more:
            archive.writestr(other, "something")
    return whole.getvalue()


PACK: dict[str, Any] = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zip": zipped}
CONTENTS = {
    "csv": b"user,item\n1,10\n1,11\n2,10\n",
    "udata": b"1\t10\t3\t5\n1\t11\t3\t6\n2\t10\t3\t7\n",
    "ratings-dat": b"1::10::3::5\n1::11::3::6\n2::10::3::7\n",
    "adjacency": b"1 10 11\n2 10\n",
    "jsonl": b'{"user": 1, "item": 10}\n{"user": 1, "item": 11}\n{"user": 2, "item": 10}\n',
    "mtx": b"%%MatrixMarket matrix coordinate pattern general\n2 11 3\n1 10\n1 11\n2 10\n",
}


@pytest.mark.parametrize("kind", CONTENTS)
@pytest.mark.parametrize("how", PACK)
def test_what_is_compressed_is_read_as_it_is(kind: str, how: str, tmp_path: Path) -> None:
    found = reading(tmp_path, "a", PACK[how](CONTENTS[kind]))
    assert (pairs_of(found), found.format) == (WANTED, kind)


@pytest.mark.parametrize("how", PACK)
def test_matrices_and_mapped_files_are_read_compressed(how: str, tmp_path: Path) -> None:
    log = read_interactions(put(tmp_path, "a.csv", CONTENTS["csv"]))
    write_interactions(log, tmp_path / "a.safetensors")
    assert pairs(tmp_path, "b", PACK[how]((tmp_path / "a.safetensors").read_bytes())) == WANTED
    if how != "zip":  # a zip archive in a zip archive is refused, as what is compressed twice
        whole = io.BytesIO()
        sparse.save_npz(whole, sparse.csr_matrix(np.eye(2)))
        assert pairs(tmp_path, "c", PACK[how](whole.getvalue())) == [(0, 0), (1, 1)]


@pytest.mark.parametrize("how", PACK)
def test_they_come_from_pipes_too(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    receiving, sending = os.pipe()
    with os.fdopen(sending, "wb") as stream:
        stream.write(PACK[how](CONTENTS["csv"]))
    with os.fdopen(receiving, "r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert read_interactions("-").n_interactions == 3


@pytest.mark.parametrize("how", ["gz", "bz2", "xz"])
def test_the_name_before_the_compression_tells_the_format(how: str, tmp_path: Path) -> None:
    rows = b"a;b\nc;d\ne;d\n"
    assert reading(tmp_path, f"a.tsv.{how}", PACK[how](b"a\tb\nc\td\ne\td\n")).format == "tsv"
    assert refusal(tmp_path, f"a.npz.{how}", PACK[how](rows)).startswith(" does not start like a npz file")


def test_the_name_inside_an_archive_tells_the_format(tmp_path: Path) -> None:
    assert reading(tmp_path, "a.zip", zipped(b"1\t2\n3\t4\n", "ml/log.tsv")).format == "tsv"
    assert refusal(tmp_path, "a.zip", zipped(b"1 2 3", "a.mtx")).startswith(" does not start like a mtx file")


def test_what_else_an_archive_holds(tmp_path: Path) -> None:
    beside = ("__MACOSX/._ratings", "inside/.DS_Store", "inside/")
    assert pairs(tmp_path, "a.zip", zipped(CONTENTS["csv"], "inside/ratings", *beside)) == WANTED
    stored = zipped(CONTENTS["csv"], method=zipfile.ZIP_STORED)
    assert pairs(tmp_path, "a.zip", stored) == WANTED
    # A name that was damaged to nothing, over which Python's own is_dir stumbles.
    nameless = zipped(CONTENTS["csv"], "x").replace(b"x", b"\0")
    assert pairs(tmp_path, "a.zip", nameless) == WANTED
    several = zipped(CONTENTS["csv"], "ratings.csv", "movies.csv")
    assert refusal(tmp_path, "a.zip", several).startswith(" is a zip archive, of 'ratings.csv' and others;")
    nested = zipped(zipped(CONTENTS["csv"], "ratings.csv"))
    assert refusal(tmp_path, "a.zip", nested).startswith(
        " is a zip archive of 'ratings.csv'; unpack it first"
    )


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(CONTENTS["csv"], method=zipfile.ZIP_STORED))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.find(mark) + flags] |= 1
    said = refusal(tmp_path, "a.zip", bytes(content))
    assert said.startswith(" is a zip archive that cannot be read here (") and "password" in said


@pytest.mark.parametrize("how", PACK)
@pytest.mark.parametrize("fault", ["cut", "changed"])
def test_damage_is_refused(how: str, fault: str, tmp_path: Path) -> None:
    rows = "".join(f"{n * n % 9973},{n * 7 % 5003}\n" for n in range(200_000)).encode()
    whole = bytearray(PACK[how](rows))
    checked = {
        "gz": len(whole) - 8,
        "bz2": 10,
        "zip": whole.find(b"PK\x01\x02") + 16,
    }  # where the sum is that is checked
    if fault == "cut":
        del whole[len(whole) // 2 :]
    else:
        whole[checked.get(how, len(whole) // 2)] ^= 255
    said = refusal(tmp_path, "a.csv", bytes(whole))
    nouns = {"gz": "gzip file", "bz2": "bzip2 file", "xz": "xz file", "zip": "zip archive"}
    if (how, fault) == ("zip", "cut"):  # whose list of files stood at its end
        assert said.startswith(" is no readable SciPy sparse matrix")
    else:
        assert said.startswith(f" is a damaged {nouns[how]} (") and said.endswith(
            "fetch or compress it again."
        )


@pytest.mark.parametrize("how, module", [("bz2", "bz2"), ("xz", "lzma")])
def test_a_python_without_the_module_says_so(
    how: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = PACK[how](CONTENTS["csv"])
    monkeypatch.setitem(sys.modules, module, None)
    said = refusal(tmp_path, "a.csv", content)
    assert f"and this Python has no module {module}; unpack it first, or compress it with gzip" in said


@pytest.mark.parametrize("ending", [".bz2", ".xz", ".zip"])
def test_they_are_not_written(ending: str, tmp_path: Path) -> None:
    log = read_interactions(put(tmp_path, "a.csv", CONTENTS["csv"]))
    with pytest.raises(ConfigError, match="let it end in .gz"):
        write_interactions(log, tmp_path / f"b.csv{ending}", "csv")
    assert not (tmp_path / f"b.csv{ending}").exists()


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        read_interactions(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_interactions(tmp_path / "nothing.csv.xz")
    with pytest.raises(DataError, match="is empty"):
        read_interactions(put(tmp_path, "a.csv.xz", lzma.compress(b"")))
