from __future__ import annotations

import gzip
import mmap
import os
import sys
import time

import pytest

from sparserec_np import runtime
from sparserec_np.data.formats import read_interactions, source, write_interactions
from sparserec_np.errors import ConfigError, DataError
from tests.makers.files import pairs, put, reading, refusal

TABLES = {
    "a.csv": "user,item\n1,10\n1,11\n\n2,10\n",
    "a.tsv": "user\titem\n1\t10\n1\t11\n2\t10\n",
    "u.data": "1\t10\t3\t5\n1\t11\t3\t6\n2\t10\t3\t7\n",
    "r.dat": "1::10::3::5\n1::11::3::6\n2::10::3::7\n",
    "a.txt": "1 10 11\n2 10\n",
    "a.jsonl": '{"user": 1, "item": 10}\n{"user": 1, "item": 11}\n{"user": 2, "item": 10}\n',
    "a.inter": "user_id:token\titem_id:token\n1\t10\n1\t11\n2\t10\n",
}
WANTED = [(1, 10), (1, 11), (2, 10)]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("size", [1 << 19, 40, 41, 42])
def test_every_line_end(name, end, size, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", size)
    kind = None if size > 100 else reading(tmp_path, name, TABLES[name]).format
    content = TABLES[name].replace("\n", end)
    for text in (content, content.rstrip("\r\n"), content + end + end):
        assert pairs(tmp_path, name, text, format=kind) == WANTED


@pytest.mark.parametrize("size", [1 << 19, 5, 6, 7])
@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_line_numbers_by_every_line_end(size, end, tmp_path, monkeypatch):
    content = f"1,2{end}{end}3,4{end}{end}{end}5,{end}"
    monkeypatch.setattr(source, "BLOCK_BYTES", size)
    assert refusal(tmp_path, "a.csv", content, format="csv").startswith(", line 6: expected an item id")


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-32", "utf-8-sig", "latin-1", "cp1252", "utf-16-le", "cp850"]
)
@pytest.mark.parametrize("size", [1 << 19, 9])
def test_other_encodings(encoding, size, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", size)
    content = "user;item\nzoë;été\r\nnoël;x\r\n".encode(encoding)
    marked = encoding in ("utf-16", "utf-32", "utf-8-sig")
    for given in [encoding, None] if marked else [encoding]:
        found = pairs(tmp_path, "a.csv", content, encoding=given, format="csv")
        assert found == [("noël", "x"), ("zoë", "été")]


def test_a_wrong_encoding_is_refused(tmp_path):
    content = "user,item\nann,é\n"
    assert "is not in the encoding ascii" in refusal(tmp_path, "a.csv", content, encoding="ascii")
    assert "is not in the encoding utf-16" in refusal(
        tmp_path, "a.csv", b"user,item\nann,x", encoding="utf-16"
    )
    for name in ("klingon", "base64", "", "a\0b"):
        with pytest.raises(ConfigError, match="There is no text encoding"):
            read_interactions(put(tmp_path, "a.csv", content), encoding=name)


def test_closed_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(DataError, match="Standard input is closed"):
        read_interactions("-")


def test_one_endless_line_is_refused_soon(tmp_path):
    put(tmp_path, "a.txt.gz", gzip.compress(b"1 " * (150 << 20), 1))
    clock = time.process_time()
    with pytest.raises(DataError, match="expected lines of text, found one of over 268,435,456 bytes"):
        read_interactions(tmp_path / "a.txt.gz")
    assert time.process_time() - clock < 20


@pytest.mark.parametrize("blank", [b"\n", b"  \n", b"\r", b"\r\n"])
@pytest.mark.parametrize("first", ["1,2\n", "1 2 3\n4 5\n", '{"user": 1, "item": 2}\n'])
def test_blank_lines_without_end_cost_little(blank, first, tmp_path):
    lines = 30 << 20
    content = gzip.compress(first.encode() + blank * (lines // len(blank)) + b"x", 1)
    clock = time.process_time()
    with pytest.raises(DataError, match=rf"line {lines // len(blank) + first.count(chr(10)) + 1}: expected"):
        read_interactions(put(tmp_path, "a.gz", content))
    assert time.process_time() - clock < 10


class InUse(mmap.mmap):
    """A file that is mapped, which Windows lets nobody replace."""

    def __new__(cls, descriptor, *arguments, **more):
        made = super().__new__(cls, descriptor, *arguments, **more)

        def refuse(one, other):
            raise PermissionError(13, "The file is in use", other)

        os.replace = refuse if descriptor >= 0 else os.replace
        return made


@pytest.mark.parametrize("maps", [True, False])
def test_a_file_that_was_read_can_be_written_over_on_windows(maps, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "replace", os.replace)
    monkeypatch.setattr(mmap, "mmap", InUse)
    monkeypatch.setattr(runtime, "MAPS_FILES", maps)
    path = tmp_path / "a.safetensors"
    write_interactions(read_interactions(put(tmp_path, "a.csv", TABLES["a.csv"])), path)
    log = read_interactions(path)
    assert log.items.flags.writeable  # as compiled kernels expect
    if maps:  # as there, if it were mapped
        with pytest.raises(PermissionError):
            write_interactions(log.subset(log.items > 0), path)
    else:
        write_interactions(log.subset(log.items > 0), path)
        assert read_interactions(path).n_interactions == 1
