"""A file of tokens is read, or refused without a word of what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparserec_np.errors import DataError
from sparserec_np.federated.tokens import read_tokens


def test_each_line_is_a_client(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("first-token-0123456\n\n  second+token/0123=  \n")
    tokens = read_tokens(str(path))
    assert len(tokens) == 2
    assert tokens.client_of("second+token/0123=") == 1
    assert tokens.client_of("first-token-0123457") is None and tokens.client_of("\udcff") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no token"),
        (b"good-token-01234567\nshort\n", "line 2: expected a token of 16"),
        (b"good-token-01234567\n" * 2, "line 2: this token stands in line 1"),
        (b"a token with blanks in it\n", "line 1"),
        (b"\xff" * 20, "line 1"),
        (b"x" * 201, "line 1"),
    ],
)
def test_what_is_no_list_of_tokens_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "tokens.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as refused:
        read_tokens(str(path))
    assert "good-token" not in str(refused.value) and "blanks" not in str(refused.value)
