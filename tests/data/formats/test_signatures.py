from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest

from tests.makers.files import refusal


def zipped(*names):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        for name in names:
            archive.writestr(name, "1,2\n")
    return whole.getvalue()


def tarred():
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("ratings.csv"))
    return whole.getvalue()


def array():
    whole = io.BytesIO()
    np.save(whole, np.ones((3, 2), dtype=np.int64))
    return whole.getvalue()


def database(tmp_path):
    with sqlite3.connect(tmp_path / "a.db") as opened:
        opened.execute("create table t (a)")
    opened.close()
    return (tmp_path / "a.db").read_bytes()


FOREIGN = {
    "an array of NumPy (.npy)": array,
    "compressed twice, inside by bzip2": lambda: gzip.compress(bz2.compress(b"1,2\n")),
    "compressed twice, inside by xz": lambda: bz2.compress(lzma.compress(b"1,2\n")),
    "compressed by zstd": lambda: b"\x28\xb5\x2f\xfd\x04\x00",
    "compressed twice, inside by gzip": lambda: lzma.compress(gzip.compress(b"1,2\n")),
    "a tar archive": tarred,
    "a zip archive, of 'a.csv' and others": lambda: zipped("a.csv", "b.csv"),
    "a workbook or document of Office": lambda: zipped("[Content_Types].xml", "xl/workbook.xml"),
    "a workbook of Excel": lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "a pickle of Python, which is never opened here": lambda: pickle.dumps([(1, 2)]),
    "an HDF5 file": lambda: b"\x89HDF\r\n\x1a\n" + bytes(20),
    "a Feather file of version 1": lambda: b"FEA1" + bytes(20),
    "a page of HTML or XML": lambda: b"\n<!DOCTYPE html><html>log in first</html>",
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("name", ["a", "a.csv", "a.txt"])
def test_other_files_are_refused_by_what_they_are(what, name, tmp_path):
    said = refusal(tmp_path, name, FOREIGN[what]())
    assert said.startswith(f" is {what}"), said
    assert said.isprintable() and "object at 0x" not in said
    if not what.startswith(("a zip", "a workbook or")):
        assert refusal(tmp_path, name, FOREIGN[what](), format="csv") == said


def test_a_database_is_refused(tmp_path):
    assert refusal(tmp_path, "a", database(tmp_path)).startswith(" is a database of SQLite")


def test_damaged_archives_are_refused_without_addresses(tmp_path):
    said = refusal(tmp_path, "a.npz", zipped("a.npy"))
    assert "is no readable SciPy sparse matrix" in said and "0x" not in said
