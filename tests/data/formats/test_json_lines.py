from __future__ import annotations

import pytest

from tests.makers.files import pairs, pairs_of, reading, refusal

ONE = '{"user": 1, "item": 7, "rating": 4, "time": 9}\n{"item": 9, "user": 2, "time": 8, "extra": [1, {"a": 2}]}\n'


@pytest.mark.parametrize("name", ["e.jsonl", "e.ndjson", "e.json", "e", "e.csv", "e.txt"])
def test_are_read(name, tmp_path):
    found = reading(tmp_path, name, ONE)
    assert (found.format, pairs_of(found)) == ("jsonl", [(1, 7), (2, 9)])
    assert found.interactions.times.tolist() == [9, 8] and found.tally.rating == "rating"


def test_columns_are_found_and_named_as_in_tables(tmp_path):
    content = '{"who": "ann", "what": "x", "liked": 1}\n{"who": "bob", "what": "y, z", "liked": 0}\n'
    assert "name one of who, what, liked with --user-col" in refusal(tmp_path, "e.jsonl", content)
    columns = {"user_col": "who", "item_col": "what"}
    assert pairs(tmp_path, "e.jsonl", content, **columns) == [("ann", "x")]
    assert pairs(tmp_path, "e.jsonl", content, **columns, rating_col="none") == [
        ("ann", "x"),
        ("bob", "y, z"),
    ]
    assert pairs(tmp_path, "e.jsonl", ONE, min_rating=4, on_bad_line="skip") == [(1, 7)]


def test_a_key_may_come_late(tmp_path):
    content = (
        '{"user": 1, "item": 7}\n' * 500
        + '{"user": 2, "item": 7, "rating": 0}\n{"user": 3, "item": 7, "rating": 1}\n'
    )
    assert pairs(tmp_path, "e.jsonl", content) == [(1, 7), (3, 7)]


def test_text_in_every_script_and_with_every_mark(tmp_path):
    content = '{"user": "z\\u00f6e \\"x\\"", "item": "a\\nb"}\n{"user": "ann,1", "item": "\\ud83d\\ude00"}\n'
    assert pairs(tmp_path, "e.jsonl", content) == [("ann,1", "\U0001f600"), ('zöe "x"', "a b")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('{"user": null, "item": 3}', "a user id, found 'null'"),
        ('{"user": 3}', "an item id, found 'null'"),
        ('{"user": NaN, "item": 3}', "a user id, found 'nan'"),
        ('{"user": "", "item": 3}', "a user id, found an empty field"),
        ('{"user": "NULL", "item": 3}', "a user id, found 'NULL'"),
        ('{"user": 2.5, "item": 3}', "ids that are whole numbers or text, found '2.5'"),
        ('{"user": true, "item": 3}', "ids that are whole numbers or text, found 'true'"),
        ('{"user": [1], "item": 3}', "ids that are whole numbers or text, found '[1]'"),
        ('{"user": Infinity, "item": 3}', "ids that are whole numbers or text, found 'Infinity'"),
        ('{"user": 1, "item": 3', "a JSON object"),
        ("3", "a JSON object, found '3'"),
        ("[1, 3]", "a JSON object"),
        ('{"user": "\\ud800", "item": 3}', "a user id in UTF-8"),
        ("[" * 100_000, "a JSON object"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(line, found, tmp_path):
    content = f'{{"user": 1, "item": 7}}\n\n{line}\n{{"user": 2, "item": 7}}\n'
    said = refusal(tmp_path, "e.jsonl", content)
    assert said.startswith(f", line 3: expected {found}"), said
    assert pairs(tmp_path, "e.jsonl", content, on_bad_line="skip") == [(1, 7), (2, 7)]


@pytest.mark.parametrize(
    "content", ['[{"user": 1, "item": 7}]', '[\n{"user": 1, "item": 7}\n]\n', '{\n  "user": 1\n}\n']
)
def test_other_json_is_refused_by_name(content, tmp_path):
    assert "write one JSON object a line" in refusal(tmp_path, "e.json", content)


def test_an_id_in_braces_is_no_json(tmp_path):
    assert reading(tmp_path, "a.csv", "{3f25},1\n{3f26},2\n{3f25},3\n").format == "csv"
