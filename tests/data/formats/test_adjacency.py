from __future__ import annotations

import numpy as np
import pytest

from sparserec_np.data.formats import read_interactions, source, would_be_doubtful, write_interactions
from sparserec_np.data.interactions import Interactions
from sparserec_np.errors import DataError
from tests.makers.files import pairs, pairs_of, reading, refusal

TABLES = {
    "triples": "1 1001 5\n1 1002 3\n2 1001 4\n2 1003 5\n",
    "each user once": "1 1001 5\n2 1002 3\n3 1001 4\n",
    "tiny item ids": "0 1 5\n1 2 4\n2 3 5\n",
    "many, each user once": "".join(f"{n} {1000 + n % 7} {n % 5 + 1}\n" for n in range(500)),
    "counts": "".join(f"{n % 9} {n % 7} {n * n + 1}\n" for n in range(60)),
    "with times": "".join(f"{n % 9} {n % 7} {n % 5} {881250949 + n}\n" for n in range(60)),
    "blanks more than one": "1   1001  5\n2 1001   3 \n",
    "Windows line ends": "1 1001 5\r\n1 1002 3\r\n2 1001 4\r\n",
    "blank lines": "\n1 1001 5\n\n1 1002 3\n\n",
    "a row cut short": "".join(f"{n % 9} {n % 7} 3\n" for n in range(60)) + "1 2\n",
    "five columns": "".join(f"{n % 9} {n % 7} 103 101 101\n" for n in range(60)),
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ["tri.txt", "tri", "tri.dat"])
def test_what_may_be_a_table_is_refused_with_both_ways_out(table, name, tmp_path):
    content = TABLES[table]
    said = refusal(tmp_path, name, content)
    assert "--format adjacency" in said and "--format csv" in said
    as_lists = pairs(tmp_path, name, content, format="adjacency")
    if table != "a row cut short":
        as_rows = pairs(tmp_path, name, content, format="csv", rating_col="none")
        assert as_lists != as_rows
        assert set(as_rows) == {
            tuple(map(int, line.split()[:2])) for line in content.split("\n") if line.strip()
        }


@pytest.mark.parametrize(
    "content",
    [
        "0 1 2 3\n1 2\n2 5 6\n",
        "0 1 2\n",  # one line, in which nobody comes again
        "0 1\n0 2\n1 1\n",  # both readings give the same pairs
        "".join(f"{n} {n + 1} {n + 5}\n" for n in range(30)),  # as our own parts of two items a user
        "".join(f"{n} {n + 9} {n + 1} {n + 2} {n + 4}\n" for n in range(30)),
    ],
)
def test_lists_that_can_be_nothing_else_are_read(content, tmp_path):
    wanted = [(int(line.split()[0]), int(item)) for line in content.splitlines() for item in line.split()[1:]]
    assert sorted(pairs(tmp_path, "a.txt", content)) == sorted(wanted)


@pytest.mark.parametrize("users", [1, 2, 19, 20, 30])
def test_it_is_known_before_what_would_be_doubtful(users, tmp_path):
    for items in (1, 2, 3, 4):
        pairs_of_users = np.repeat(np.arange(users), items)
        log = Interactions.from_pairs(pairs_of_users, np.tile(np.arange(items), users) + pairs_of_users)
        write_interactions(log, tmp_path / "part.txt")
        refused = False
        try:
            read_interactions(tmp_path / "part.txt")
        except DataError:
            refused = True
        assert would_be_doubtful(log) == refused


def test_parts_that_are_written_can_be_read(tmp_path):
    for items in (1, 2, 3, 4, 7):
        users = np.repeat(np.arange(25), items)
        log = Interactions.from_pairs(users, (users * 13 + np.tile(np.arange(items), 25) * 5) % 101)
        write_interactions(log, tmp_path / "part.txt")
        assert read_interactions(tmp_path / "part.txt").digest() == log.digest()


@pytest.mark.parametrize(
    "content", ["1 10 3.5\n2 10 4\n", "1 10 4\n2 10 3.5\n1 11 2\n", "u1 i1 5\nu2 i1 3\n"]
)
def test_tables_that_are_no_lists_are_told_of_csv(content, tmp_path):
    assert "--format csv" in refusal(tmp_path, "film.txt", content)
    assert len(pairs(tmp_path, "film.txt", content, format="csv")) == content.count("\n")


def test_a_table_with_names_over_it_needs_no_format(tmp_path):
    found = reading(tmp_path, "a.txt", "user item rating\n1 10 5\n1 11 0\n2 10 3\n")
    assert found.format == "csv" and pairs_of(found) == [(1, 10), (2, 10)]


def test_options_of_columns_are_refused_with_the_format_that_has_them(tmp_path):
    for options in ({"user_col": 0}, {"header": True}, {"rating_col": 2}):
        assert "pass --format csv" in refusal(tmp_path, "a.txt", TABLES["triples"], **options)
    assert pairs(tmp_path, "a.txt", "1 2\n2 3 4\n", time_col="none", rating_col="none", header=False)


@pytest.mark.parametrize("size", [1 << 19, 4])
def test_bad_lines_are_left_out_whole_and_counted(size, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", size)
    content = "0 1 2\n1 x 3 y\n2 4\nz 5\n3\n4 6 -7\n5 8 9 10\n6 1\n"
    found = reading(tmp_path, "a.txt", content, format=None, on_bad_line="skip")
    assert pairs_of(found) == [(0, 1), (0, 2), (2, 4), (5, 8), (5, 9), (5, 10), (6, 1)]
    assert 3 in found.interactions.user_ids.tolist()
    assert found.tally.bad.count == 3
    assert [(bad.line, bad.found) for bad in found.tally.bad.first] == [(2, "'x'"), (4, "'z'"), (6, "'-7'")]


ORDERED = "7 30 10 20\n8 20 30 10\n9 10\n7 40 10\n"


def own_order(log, user):
    """A user's item ids in the order of their times."""
    row = int(np.searchsorted(log.user_ids, user))
    own = slice(log.indptr[row], log.indptr[row + 1])
    return log.item_ids[log.items[own][np.argsort(log.times[own])]].tolist()


def test_items_of_a_line_are_in_the_order_of_time(tmp_path):
    log = reading(tmp_path, "log.txt", ORDERED).interactions
    assert not log.dated
    assert own_order(log, 7) == [30, 20, 40, 10]  # 10 came again
    assert own_order(log, 8) == [20, 30, 10] and own_order(log, 9) == [10]


@pytest.mark.parametrize("lines", ["0 1 2 3\n1 2 5\n2 0 5 6\n", "0 3 2 1\n1 5 2\n", "0 1\n1 2\n"])
def test_sorted_lines_are_in_no_order(lines, tmp_path):
    assert reading(tmp_path, "log.txt", lines).interactions.times is None
    assert reading(tmp_path, "log.txt", lines, line_order="time").interactions.times is not None


def test_a_few_steps_the_other_way_make_no_order(tmp_path):
    rows = [np.arange(user, user + 60) for user in range(10)]
    rows[3][[5, 6]] = rows[3][[6, 5]]
    lines = "".join(f"{user} {' '.join(map(str, row))}\n" for user, row in enumerate(rows))
    assert reading(tmp_path, "log.txt", lines).interactions.times is None


def test_an_order_can_be_denied(tmp_path):
    assert reading(tmp_path, "log.txt", ORDERED, line_order="none").interactions.times is None


@pytest.mark.parametrize("name", ["out.txt", "out.safetensors"])
def test_an_order_is_written_and_read_again(name, tmp_path):
    log = reading(tmp_path, "log.txt", ORDERED).interactions
    write_interactions(log, tmp_path / name)
    again = read_interactions(tmp_path / name)
    assert again.digest() == log.digest() and not again.dated
    assert all(own_order(again, user) == own_order(log, user) for user in (7, 8, 9))


@pytest.mark.parametrize("name", ["out.csv", "out.inter"])
def test_an_order_is_no_column_of_times(name, tmp_path):
    write_interactions(reading(tmp_path, "log.txt", ORDERED).interactions, tmp_path / name)
    assert read_interactions(tmp_path / name).times is None


def test_moments_are_written_as_an_order(tmp_path):
    log = Interactions.from_pairs([0, 0, 0], [1, 2, 3], [50, 9, 70])
    write_interactions(log, tmp_path / "out.txt")
    assert (tmp_path / "out.txt").read_text() == "0 2 1 3\n"
