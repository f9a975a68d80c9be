from __future__ import annotations

import pytest

from sparserec_np.data.formats import read_file, source
from sparserec_np.errors import DataError
from tests.makers.files import pairs, pairs_of, put, reading, refusal

NAMES_OF_RATINGS = (
    "rating ratings label click clicked is_click purchase liked like Like interaction event_value quantity count"
    " stars score play_count weight label:float user_rating isLiked".split()
)


class TestRatings:
    @pytest.mark.parametrize("name", NAMES_OF_RATINGS)
    @pytest.mark.parametrize("zero", ["0", "-1", "0.0", "-0.5", "-0", "False", "false", "no", "0e9"])
    def test_zero_or_less_is_no_interaction(self, name, zero, tmp_path):
        content = f"user,item,{name}\n1,10,1\n1,11,{zero}\n2,10,{zero}\n2,12,2.5\n"
        found = reading(tmp_path, "c.csv", content)
        assert pairs_of(found) == [(1, 10), (2, 12)]
        assert (found.tally.not_positive, found.pairs_read, found.tally.rating) == (2, 4, name)
        (note,) = found.notes
        assert f"2 of 4 rows have {name} 0 or less" in note and "--rating-col none" in note
        assert len(pairs(tmp_path, "c.csv", content, rating_col="none")) == 4

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("u.data", "1\t10\t1\t5\n1\t11\t0\t6\n"),
            ("r.dat", "1::10::1::5\n1::11::0::6\n"),
            ("r.csv", "1,10,1\n1,11,0\n"),
            ("r.csv", "1,10,True\n1,11,False\n"),
            ("r.csv", "1;10;1,5\n1;11;0,0\n"),
            ("r.csv", "1,10,\n1,11,0\n"),
            ("r.inter", "user_id:token\titem_id:token\tlabel:float\n1\t10\t1\n1\t11\t0\n"),
            ("r.jsonl", '{"user": 1, "item": 10, "click": true}\n{"user": 1, "item": 11, "click": false}\n'),
            ("r.mtx", "%%MatrixMarket matrix coordinate real general\n1 11 2\n1 10 1\n1 11 0\n"),
            ("r.mtx", "%%MatrixMarket matrix coordinate real general\n1 11 2\n1 10 1\n1 11 -2\n"),
        ],
    )
    def test_in_every_grammar(self, name, content, tmp_path):
        assert pairs(tmp_path, name, content, decimal="," if ";" in content else None) == [(1, 10)]

    def test_a_lowest_rating_says_it_instead(self, tmp_path):
        content = "user,item,rating\n1,10,1\n1,11,0\n2,10,-1\n2,12,5\n"
        assert pairs(tmp_path, "r.csv", content, min_rating=-1) == [(1, 10), (1, 11), (2, 10), (2, 12)]
        found = reading(tmp_path, "r.csv", content, min_rating=1)
        assert pairs_of(found) == [(1, 10), (2, 12)] and found.below_min_rating == 2 and not found.notes

    @pytest.mark.parametrize("odd", ["PG-13", "50%", "1,234", "3,5", "good"])
    def test_an_unreadable_one_leaves_out_nothing_where_nobody_asked(self, odd, tmp_path):
        content = f'user;item;rating\n1;10;"{odd}"\n2;11;0\n2;10;3\n'
        found = reading(tmp_path, "r.csv", content)
        assert pairs_of(found) == [(1, 10), (2, 10)]
        assert any(
            f"1 of 3 rows have rating that is no number (line 2: '{odd}')" in note for note in found.notes
        )
        assert ", line 2: expected a rating that is a number" in refusal(
            tmp_path, "r.csv", content, min_rating=1
        )
        named = refusal(tmp_path, "r.csv", content, rating_col="rating")
        assert ", line 2: expected a rating that is a number" in named and "--rating-col none" in named

    @pytest.mark.parametrize("missing", ["", "NULL", "nan", "NaN", "None", "NA", "<NA>", "\\N"])
    def test_a_missing_one_is_not_known(self, missing, tmp_path):
        content = f"user,item,rating\n1,10,{missing}\n2,11,0\n2,10,3\n"
        for options in ({}, {"rating_col": "rating"}):
            found = reading(tmp_path, "r.csv", content, **options)
            assert pairs_of(found) == [(1, 10), (2, 10)] and found.tally.unknown_ratings == 1
        assert ", line 2: expected a rating" in refusal(tmp_path, "r.csv", content, min_rating=1)

    @pytest.mark.parametrize("endless", ["inf", "-inf", "Infinity", "1e999"])
    def test_an_infinite_one_is_refused(self, endless, tmp_path):
        content = f"user,item,rating\n1,10,3\n2,11,{endless}\n"
        assert ", line 3: expected a rating that is a number" in refusal(tmp_path, "r.csv", content)
        assert pairs(tmp_path, "r.csv", content, on_bad_line="skip") == [(1, 10)]

    @pytest.mark.parametrize(
        "content",
        [
            "user;item;rating\n1;10;3,5\n1;11;0,0\n2;12;-1,5\n",
            "1;10;3,5\n1;11;0,0\n2;12;0\n",
            "1 10 3,5\n1 11 0,0\n",
            'user,item,rating\n1,10,"3,5"\n1,11,"0,0"\n',
            "user,item,rating\n1,10,3\n1,11,0\n",
            "1|10|3,5|7\n1|11|0,0|8\n",
        ],
    )
    def test_decimal_commas(self, content, tmp_path):
        assert pairs(tmp_path, "r.csv", content, decimal=",", format="csv") == [(1, 10)]
        assert pairs(tmp_path, "r.csv", content, decimal=",", format="csv", min_rating=3) == [(1, 10)]

    def test_all_zero_says_so(self, tmp_path):
        said = refusal(tmp_path, "r.csv", "user,item,click\n1,10,0\n2,11,0\n")
        assert "holds no interaction with click above 0 (--rating-col none counts all rows)" in said


class TestTimes:
    ODD = ("03/15/2016", "NaT", "", "now", "2014-13-45", "12:30")

    @pytest.mark.parametrize("odd", ODD)
    def test_an_unreadable_one_matters_only_where_it_was_asked_for(self, odd, tmp_path):
        content = f"user,item,date\n1,10,2016-03-15\n1,11,{odd}\n"
        found = reading(tmp_path, "d.csv", content)
        assert pairs_of(found) == [(1, 10), (1, 11)] and found.interactions.times is None
        assert found.tally.odd_time.startswith("line 3: ")
        assert ", line 3: expected a time" in refusal(tmp_path, "d.csv", content, time_col="date")
        assert reading(tmp_path, "d.csv", content, time_col="none").tally.odd_time == ""
        kept = reading(tmp_path, "d.csv", content, time_col="date", on_bad_line="skip")
        assert pairs_of(kept) == [(1, 10)] and kept.interactions.times.tolist() == [1458000000]

    @pytest.mark.parametrize(
        ("date", "seconds"),
        [
            ("2019-10-01 00:00:00 UTC", 1569888000),
            ("2019-10-01T00:00:00Z", 1569888000),
            ("2014-4-8", 1396915200),
            ("2014-4-8 01:00:00", 1396918800),
            ("2019-10-01 02:00:00+02:00", 1569888000),
        ],
    )
    def test_dates(self, date, seconds, tmp_path):
        found = reading(tmp_path, "d.csv", f"user,item,date\n1,10,{date}\n")
        assert found.interactions.times.tolist() == [seconds]

    def test_later_blocks_do_not_bring_times_back(self, tmp_path, monkeypatch):
        monkeypatch.setattr(source, "BLOCK_BYTES", 16)
        content = "user,item,time\n1,10,5\n1,11,now\n1,12,7\n1,13,8\n"
        assert reading(tmp_path, "d.csv", content, format="csv").interactions.times is None

    @pytest.mark.parametrize("size", [1 << 19, 30])
    def test_numbers_among_dates_are_no_times(self, size, tmp_path, monkeypatch):
        monkeypatch.setattr(source, "BLOCK_BYTES", size)
        for times in (["2016-03-15"] * 5 + ["7"] * 5, ["7"] * 5 + ["2016-03-15"] * 5):
            content = "user,item,date\n" + "".join(f"1,{n},{time}\n" for n, time in enumerate(times, 10))
            assert reading(tmp_path, "d.csv", content, format="csv").interactions.times is None
            assert "expected a time" in refusal(tmp_path, "d.csv", content, format="csv", time_col="date")

    def test_none_wins_over_every_place(self, tmp_path):
        for content in ("1,10,3,7\n", "user,item,rating,time\n1,10,3,7\n"):
            found = reading(tmp_path, "d.csv", content, time_col="NONE", rating_col="none")
            assert found.interactions.times is None and found.tally.rating is None


class TestIds:
    MISSING = ("NaN", "nan", "NULL", "null", "None", "<NA>", "NaT", "NA", "\\N", "", " ")

    @pytest.mark.parametrize("missing", MISSING)
    @pytest.mark.parametrize("known", ["10", "ann"])
    def test_a_missing_one_is_refused_by_its_line(self, missing, known, tmp_path):
        for at, row in ((0, f"{missing},5"), (1, f"5,{missing}")):
            content = f"user,item\n{known},{known}\n\n{row}\n{known},x\n"
            said = refusal(tmp_path, "a.csv", content)
            assert said.startswith(f", line 4: expected {('a user', 'an item')[at]} id, found ")
            assert len(pairs(tmp_path, "a.csv", content, on_bad_line="skip")) == 2

    def test_it_is_found_behind_the_first_block(self, tmp_path, monkeypatch):
        monkeypatch.setattr(source, "BLOCK_BYTES", 64)
        content = "user,item\n" + "".join(f"u{n % 5},i{n}\n" for n in range(300)) + "u1,NaN\n"
        assert refusal(tmp_path, "a.csv", content).startswith(", line 302: expected an item id, found 'NaN'")

    def test_one_that_is_far_longer_than_the_others_takes_no_room_for_each(self, tmp_path):
        rows = [f"u{n},http://example.org/{n}" for n in range(20_000)] + ["u7," + "x" * 5_000]
        log = reading(tmp_path, "a.csv", "user,item\n" + "\n".join(rows)).interactions
        assert log.n_items == 20_001 and log.item_ids[-1] == "x" * 5_000
        assert log.nbytes < 10_000_000  # an array as wide as it would take 400 MB


class TestHeaders:
    def test_rows_that_repeat_the_header_are_left_out(self, tmp_path, monkeypatch):
        content = "user,item,rating\n1,10,3\nuser,item,rating\n2,10,4\n"
        for options in ({}, {"min_rating": 1}, {"on_bad_line": "skip"}):
            found = reading(tmp_path, "cat.csv", content, **options)
            assert pairs_of(found) == [(1, 10), (2, 10)] and found.tally.headers == 1
        assert "1 rows that repeat the header" in found.notes[0]
        monkeypatch.setattr(source, "BLOCK_BYTES", 24)
        quoted = content.replace("user,item", '"user", "item"')
        assert pairs(tmp_path, "cat.csv", quoted, format="csv", rating_col="none") == [(1, 10), (2, 10)]

    def test_they_may_bring_their_mark(self, tmp_path):
        for content in ("user,item\n1,10\n", "item,user\n10,1\n"):
            assert pairs(tmp_path, "cat.csv", ("\ufeff" + content) * 3) == [(1, 10)]

    def test_ids_as_long_as_names_stay(self, tmp_path):
        assert pairs(tmp_path, "a.csv", "user,item\nuser,1234\n1234,item\n") == [
            ("1234", "item"),
            ("user", "1234"),
        ]


class TestBadLines:
    CONTENT = "1,10,1\n1,11\n2,,3\n2,12,4\n3,NULL,1\n3,10,1,9\n4,11,2\n5,12,1\n6,10,inf\n7,10,2\n"

    def test_are_counted_and_the_first_five_kept(self, tmp_path):
        found = reading(tmp_path, "a.csv", self.CONTENT, on_bad_line="skip")
        assert pairs_of(found) == [(1, 10), (2, 12), (4, 11), (5, 12), (7, 10)]
        assert (found.tally.bad.count, found.pairs_read) == (5, 5)
        assert [bad.line for bad in found.tally.bad.first] == [2, 3, 5, 6, 9]
        (note,) = found.notes
        assert "5 bad lines left out" in note and "line 2: expected 3 fields" in note
        assert refusal(tmp_path, "a.csv", self.CONTENT).startswith(", line 2: expected 3 fields")
        many = "".join(f"{n},{n}\n{n}\n{n},{n}\n" for n in range(1, 3000))
        found = reading(tmp_path, "a.csv", many, on_bad_line="skip")
        assert found.tally.bad.count == 2999 and [bad.line for bad in found.tally.bad.first] == [
            2,
            5,
            8,
            11,
            14,
        ]

    def test_more_of_them_than_others_are_another_format(self, tmp_path):
        said = refusal(tmp_path, "a.csv", "1,10\n" + "x\n" * 5 + "2,10\n", on_bad_line="skip", format="csv")
        assert "has 5 bad lines and 2 others" in said

    def test_a_first_line_may_be_bad(self, tmp_path):
        content = "# written by a program\nuser,item,rating\n1,10,3\n2,10,4\n"
        assert pairs(tmp_path, "a.csv", content, on_bad_line="skip") == [(1, 10), (2, 10)]

    def test_bytes_that_are_no_utf8(self, tmp_path):
        content = b"user,item\nann,x\nbob,caf\xe9\neve,y\n"
        assert "--encoding" in refusal(tmp_path, "a.csv", content)
        assert pairs(tmp_path, "a.csv", content, on_bad_line="skip") == [("ann", "x"), ("eve", "y")]


def test_many_blank_lines_take_no_time(tmp_path):
    path = put(tmp_path, "a.csv", b"1,2\n" + b"\n" * 3_000_000 + b" \r\n" * 1000 + b"3,4\n")
    assert read_file(path).interactions.n_interactions == 2
    bad = put(tmp_path, "b.csv", b"1,2\n" + b"\n" * 30_000 + b"3,4,5\n")
    with pytest.raises(ValueError, match="line 30002: expected 2 fields"):
        read_file(bad)


def test_a_table_of_millions_of_columns_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("sparserec_np.data.formats.layout.WIDEST", 1000)
    path = tmp_path / "wide.csv"
    path.write_text("," * 2000 + "\n")
    with pytest.raises(DataError, match=r"line 1: .*found one of over 1,000 columns \(2,001 in its"):
        read_file(str(path))
