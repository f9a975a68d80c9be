"""The table of data sets: what a row has to say, and that nothing in it is out of reach."""

from __future__ import annotations

import re

import pytest

from sparserec_np.data.catalogue import TABLE, catalogue, read_catalogue
from sparserec_np.data.download import DIGESTS
from sparserec_np.data.published import CONVERSIONS, ORIGINAL, RECORD

LENGTHS = {"sha256": 64, "md5": 32, "git-blob": 40}


def test_the_names_are_those_that_were_promised():
    assert list(catalogue()) == [
        *("ml-100k", "ml-1m", "ml-20m", "ml-32m", "lastfm"),
        *("gowalla", "yelp2018", "amazon-book", "amazon-book-kgat"),
    ]


@pytest.mark.parametrize("row", read_catalogue(TABLE).values(), ids=lambda row: row.name)
class TestRow:
    def test_terms_are_told(self, row):
        assert row.title and row.licence and row.citation
        assert row.licence_address.startswith("https://")

    def test_sizes_make_sense(self, row):
        assert 0 < row.users < row.interactions and 0 < row.items < row.interactions
        has_test = any(part.to == "test.txt" for part in row.parts)
        assert 0 < row.to_test < row.interactions if has_test else row.to_test is None

    def test_files_can_be_compared(self, row):
        for file in row.files:
            kind, _, digest = file.checksum.partition(":")
            assert kind in DIGESTS and re.fullmatch(rf"[0-9a-f]{{{LENGTHS[kind]}}}", digest)
            assert file.checksum_from
            assert file.bytes is None or file.bytes > 0

    def test_addresses_name_one_version(self, row):
        for file in row.files:
            assert file.address.startswith("https://")
            if "github" in file.address:
                assert re.search(r"/[0-9a-f]{40}/", file.address)

    def test_parts_are_made_of_these_files(self, row):
        names = {file.name for file in row.files}
        assert len({part.to for part in row.parts}) == len(row.parts)
        for part in row.parts:
            assert part.source in names and part.by in CONVERSIONS
            assert re.fullmatch(r"[a-z0-9-]+\.(csv|txt)", part.to)
            assert (part.member is not None) == part.source.endswith(".zip")
            assert part.to not in (ORIGINAL, RECORD)


def test_a_size_is_told_where_all_are_known():
    assert catalogue()["lastfm"].bytes == 579_727 + 144_867
    assert catalogue()["amazon-book"].bytes is None
