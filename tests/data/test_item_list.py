"""A list of items has the ids that an interaction file would have."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparserec_np.data.formats import read_interactions
from sparserec_np.data.item_list import read_items
from sparserec_np.errors import DataError


@pytest.mark.parametrize("names", [["30", "4", "100"], ["30", "4b", "100"], ["007", "7"], ["é", "z", "a b"]])
def test_ids_are_those_of_a_file_of_interactions(tmp_path: Path, names: list[str]) -> None:
    items, log = tmp_path / "items.txt", tmp_path / "log.csv"
    items.write_text("\n".join(names) + "\n\n", encoding="utf-8")
    log.write_text("user,item\n" + "".join(f"1,{name}\n" for name in names), encoding="utf-8")
    found, expected = read_items(str(items)), read_interactions(log).item_ids
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n\n", "holds no item"),
        (b"a\nb\na\n", "line 3: item 'a' stands in line 1"),
        (b"\xff\xfe\n", "UTF-8"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "items.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_items(str(path))
