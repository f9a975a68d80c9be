from __future__ import annotations

import pytest

from sparserec_np.data.formats.header import ITEM_NAMES, RATING_NAMES, TIME_NAMES, USER_NAMES
from tests.makers.files import pairs, pairs_of, reading, refusal

SPANISH = "usuario,pelicula\nana,matrix\nana,alien\nbeto,alien\nbeto,heat\n"


def test_a_first_row_that_looks_like_neither_is_asked_about(tmp_path):
    for content in (SPANISH, "usuario,pelicula\nu1,m1\nu2,m2\n", SPANISH.replace(",", "\t")):
        said = refusal(tmp_path, "es.csv", content)
        assert "cannot tell whether 'usuario', 'pelicula' names the columns" in said
        assert "--header" in said and "--no-header" in said
        count = content.count("\n")
        assert len(pairs(tmp_path, "es.csv", content, header=False)) == count
        assert len(pairs(tmp_path, "es.csv", content, header=True)) == count - 1
        named = pairs(tmp_path, "es.csv", content, header=True, user_col="usuario", item_col=1)
        assert named == pairs(tmp_path, "es.csv", content, header=True)
        assert len(pairs(tmp_path, "es.csv", content, user_col="usuario", item_col="pelicula")) == count - 1


def test_places_are_asked_about_as_well(tmp_path):
    content = "peli,usuario\nmatrix,ana\nalien,ana\nalien,beto\nheat,beto\n"
    said = refusal(tmp_path, "es.csv", content, user_col=1, item_col=0)
    assert "'usuario', 'peli'" in said
    wanted = [("ana", "alien"), ("ana", "matrix"), ("beto", "alien"), ("beto", "heat")]
    assert pairs(tmp_path, "es.csv", content, user_col=1, item_col=0, header=True) == wanted


@pytest.mark.parametrize(
    "content",
    [
        "ann,x\nann,y\nbob,x\nbob,z\n",  # the first user comes again
        "ann,x\nbob,y\nbob,x\neve,y\n",  # the first item does
        "ann,x,2020-01-01\nbob,y,2020-01-02\nbob,z,2020-01-02\nbob,w,2020-01-02\n",  # a date names nothing
        "7,x\n8,y\n8,z\n8,w\n",
    ],
)
def test_what_is_an_interaction_is_not_asked_about(content, tmp_path):
    found = reading(tmp_path, "a.csv", content)
    assert len(pairs_of(found)) == content.count("\n") and not found.notes


def test_where_nothing_comes_again_a_note_says_how_it_was_read(tmp_path):
    found = reading(tmp_path, "a.csv", "usuario,pelicula\nana,matrix\nbeto,alien\n")
    assert len(pairs_of(found)) == 3
    assert "the first row, 'usuario', 'pelicula', counts as an interaction; pass --header" in found.notes[0]


def test_names_of_every_language_can_be_given(tmp_path):
    content = "usuario,pelicula,nota\nana,matrix,0\nana,alien,3\n"
    assert "name one of usuario, pelicula, nota with --user-col" in refusal(tmp_path, "a.csv", content)
    options = {"user_col": "usuario", "item_col": "pelicula"}
    assert len(pairs(tmp_path, "a.csv", content, **options)) == 2
    assert pairs(tmp_path, "a.csv", content, **options, rating_col="nota") == [("ana", "alien")]
    assert "like an item" in refusal(tmp_path, "a.csv", content, user_col="usuario")


@pytest.mark.parametrize("kind", ["ratings-dat", "csv"])
def test_names_between_double_colons(kind, tmp_path):
    content = "UserID::MovieID::Rating::Timestamp\n1::10::5::9\n"
    assert pairs(tmp_path, "ratings.dat", content) == [(1, 10)]


def test_a_first_row_of_data_is_not_lost_to_the_grammar_of_recbole(tmp_path):
    content = "u1\tm1\t4\nu2\tm2\t3\n"
    for options in ({}, {"user_col": 0, "item_col": 1}):
        assert pairs(tmp_path, "w.tsv", content, format="inter", **options) == [("u1", "m1"), ("u2", "m2")]


def test_a_blank_first_line_and_a_blank_header(tmp_path):
    assert pairs(tmp_path, "a.csv", "   \n1,10\n2,10\n") == [(1, 10), (2, 10)]
    content = " , \n1,10\n2,10\n"
    assert "name one of '', '' with --user-col" in refusal(tmp_path, "a.csv", content)
    assert pairs(tmp_path, "a.csv", content, user_col=0, item_col=1) == [(1, 10), (2, 10)]


def test_a_header_wider_than_a_block(tmp_path):
    wide = ",".join(f"feature_number_{n}" for n in range(40_000))
    content = f"user,item,{wide}\n1,10" + ",0" * 40_000 + "\n"
    assert len(content.split("\n")[0]) > 1 << 19
    assert pairs(tmp_path, "a.csv", content) == [(1, 10)]


def test_no_name_stands_for_two_things():
    names = [*USER_NAMES, *ITEM_NAMES, *RATING_NAMES, *TIME_NAMES]
    assert len(names) == len(set(names))
