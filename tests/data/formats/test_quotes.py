from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.formats import read_interactions, source, write_interactions
from sparserec_np.data.interactions import Interactions
from tests.makers.files import pairs, reading, refusal

LITERAL = (
    'u0\tm0\tx\t1\nu1\tm1\tsay yes\t4\nu2\tm2\t"heroes\t3\nu3\tm3\tblur\t9\nu4\tm4\tpulp\t2\n'
    'u5\tm5\t7"\t2\nu6\tm6\tcher\t2\n'
)
USERS = [(f"u{n}", f"m{n}") for n in range(7)]


@pytest.mark.parametrize("size", [1 << 19, 30])
def test_no_row_is_lost_to_a_quote_between_tabs(size, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", size)
    assert pairs(tmp_path, "l.tsv", LITERAL, format="tsv") == USERS
    content = 'u1\tm1\t"weird al" yankovic\t4\nu2\t"m2"\tabba\t3\nu3\t"m ""3"\tx\t"5"\nu4\t"\tx\t3\nu5\t"a"b"\tx\t1\n'
    wanted = [("u1", "m1"), ("u2", "m2"), ("u3", 'm "3'), ("u4", '"'), ("u5", '"a"b"')]
    assert pairs(tmp_path, "w.tsv", content, format="tsv") == wanted


def test_a_quoted_field_may_hold_the_separator(tmp_path):
    assert pairs(tmp_path, "t.tsv", 'user\titem\tx\n1\t"a\tb"\t3\n2\tc\t4\n') == [(1, "a\tb"), (2, "c")]
    assert pairs(tmp_path, "s.csv", '"user", "item"\n"1", "a, b"\n2,  "c"\n') == [(1, "a, b"), (2, "c")]
    assert pairs(tmp_path, "t.csv", 'user,item,x\n1,"a,b",3\n2,c,4\n') == [(1, "a,b"), (2, "c")]


def test_quotes_between_blanks(tmp_path):
    content = '"user" "item"  rating\n"ann b" 10 3\n"bob"   "11 x" 0\n"bob" "12" 1\n'
    assert pairs(tmp_path, "r.txt", content, format="csv") == [("ann b", 10), ("bob", 12)]


@pytest.mark.parametrize("mark", [",", ";", "|"])
def test_rows_by_themselves_are_no_quoted_field(mark, tmp_path):
    content = LITERAL.replace("\t", mark)
    said = refusal(tmp_path, "l.csv", content)
    assert said.startswith(", line 3: expected one row") and "4 lines which are rows by themselves" in said
    assert "--quote none" in said and "--quote double" in said
    assert pairs(tmp_path, "l.csv", content, quote="none") == USERS
    assert len(pairs(tmp_path, "l.csv", content, quote="double")) == 4
    assert "--quote none" in refusal(tmp_path, "l.csv", content, on_bad_line="skip")
    two = f'u1{mark}m1{mark}"a\nu2{mark}m2{mark}b"\nu3{mark}m3{mark}c\n'
    assert "2 lines which are rows" in refusal(tmp_path, "l.csv", two)


def test_text_over_several_lines_is_one_field(tmp_path):
    content = 'user,item,review\n1,10,"good,\nbut long, and,\n\nthen more"\n2,10,"a\nb"\n3,11,"c"\n'
    assert pairs(tmp_path, "r.csv", content) == [(1, 10), (2, 10), (3, 11)]


def test_text_over_several_lines_between_tabs_has_to_be_said(tmp_path):
    content = 'user\titem\treview\n1\t10\t"good,\nand long"\n2\t10\tx\n'
    said = refusal(tmp_path, "r.tsv", content)
    assert (
        said.startswith(", line 3: expected 3 fields separated by tabs, found 1") and "--quote double" in said
    )
    assert pairs(tmp_path, "r.tsv", content, quote="double") == [(1, 10), (2, 10)]


def test_unclosed_quotes_are_refused_with_the_way_out(tmp_path):
    for content in ('1,"a,3\n2,b,4\n', '1,"a" b,3\n2,b,4\n', r'1,"0155\"061",3' + "\n2,b,4\n"):
        said = refusal(tmp_path, "q.csv", content)
        assert ", line 1: expected a row of quoted fields" in said and "--quote none" in said
        assert len(pairs(tmp_path, "q.csv", content, quote="none")) == 2


def test_bad_quotes_on_one_line_can_be_left_out(tmp_path):
    content = 'user,item\n1,"a"b\n2,"c"\n3,d\n'
    found = reading(tmp_path, "q.csv", content, on_bad_line="skip")
    assert found.tally.bad.count == 1 and found.tally.bad.first[0].line == 2
    assert found.interactions.user_ids.tolist() == [2, 3]
    assert "unexpected end" in refusal(tmp_path, "q.csv", 'user,item\n1,"a\n2,c\n', on_bad_line="skip")


@pytest.mark.parametrize("kind", ["csv", "tsv", "inter"])
def test_quotes_that_are_written_come_back(kind, tmp_path):
    words = ['"', '""', 'a"b', '"x', 'x"', '"q"', '"a" b', "a,b", "a;b", "'", "it's"]
    log = Interactions.from_pairs(np.arange(len(words)), words)
    write_interactions(log, tmp_path / f"q.{kind}")
    assert read_interactions(tmp_path / f"q.{kind}").digest() == log.digest()


@pytest.mark.parametrize("size", [1 << 19, 40, 41, 42, 57])
def test_simple_quotes_are_read_as_others_are(size, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", size)
    rows = [('"u 1"', '"10"'), ("u2", '"ü,x"'), ('"u3"', '""""'), ('" u4 "', "y"), ('"u5"', '"a""b"')]
    content = '"user","item"\n' + "".join(f"{user},{item}\n" for user, item in rows)
    wanted = [("u 1", "10"), ("u2", "ü,x"), ("u3", '"'), ("u4", "y"), ("u5", 'a"b')]
    assert pairs(tmp_path, "q.csv", content, format="csv") == wanted
