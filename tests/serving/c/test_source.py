"""What a kind of model gives to the C source: sizes, definitions, and functions for the ids it has."""

from __future__ import annotations

import numpy as np

from sparserec_np.serving.c.source import LINE_NUMBERS, Source, none_empty

NUMBERS = np.array([2**63 - 1, -(2**63), 0], np.int64)


def source(finds: tuple[str, ...] = ("item",), **ids: np.ndarray) -> Source:
    values = np.array([0.1, -3e-39, 2.5], np.float32)
    groups = {"items": {"item_values": values, "item_none": np.zeros(0, np.uint8)}, "ids": ids}
    return Source(none_empty(groups), 72, "", finds, "main.c")


def test_sizes_are_added_up_by_purpose() -> None:
    assert source(item_ids=NUMBERS).sizes == {"items": 13, "ids": 24, "flash": 37, "scratch": 72}


def test_numbers_are_spelt_so_that_c_reads_the_same_bits() -> None:
    declared = source(item_ids=NUMBERS).declared
    assert "static const float sparserec_item_values[3] = {\n0.1f,-3e-39f,2.5f,\n};" in declared
    assert "static const uint8_t sparserec_item_none[1] = {\n0,\n};" in declared
    assert "{\n9223372036854775807,(-9223372036854775807 - 1),0,\n};" in declared
    many = Source({"items": {"item_ends": np.arange(100, dtype=np.uint8)}}, 0, "", (), "main.c").declared
    assert max(line.count(",") for line in many.splitlines()) == LINE_NUMBERS


def test_ids_are_given_and_found_for_the_owners_that_are_asked_for() -> None:
    text = {"item_text": np.zeros(9, np.uint8), "item_text_starts": np.zeros(3, np.uint8)}
    functions = source(("user", "item"), user_ids=NUMBERS, **text).functions
    for name in (
        "int64_t sparserec_user_id(uint32_t user)",
        "const char *sparserec_item_id(uint32_t item, size_t *length)",
        "uint32_t sparserec_find_user(int64_t id)",
        "uint32_t sparserec_find_item(const char *id, size_t length)",
    ):
        assert functions.count(name) == 1
    alone = source(("item",)).functions
    assert "_user" not in alone and "sparserec_find_item" in alone
    assert "sparserec_find_item" not in source(("user",)).functions
