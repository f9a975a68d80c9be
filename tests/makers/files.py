"""Small files of interactions, read and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sparserec_np.data.formats import Reading, read_file
from sparserec_np.errors import DataError


def put(folder: Path, name: str, content: str | bytes) -> Path:
    """Writes a file."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def pairs(folder: Path, name: str, content: str | bytes, **options: Any) -> list[tuple[Any, Any]]:
    """The pairs of outside ids that a file with this content is read as."""
    return pairs_of(reading(folder, name, content, **options))


def reading(folder: Path, name: str, content: str | bytes, **options: Any) -> Reading:
    """What a file with this content is read as."""
    return read_file(put(folder, name, content), **options)


def pairs_of(found: Reading) -> list[tuple[Any, Any]]:
    """The pairs of outside ids."""
    log = found.interactions
    users, items = log.user_ids[log.pair_users()], log.item_ids[log.items]
    return list(zip(users.tolist(), items.tolist(), strict=True))


def refusal(folder: Path, name: str, content: str | bytes, **options: Any) -> str:
    """The sentence, after the file's name, with which a file is refused."""
    path = put(folder, name, content)
    with pytest.raises(DataError) as caught:
        read_file(path, **options)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and "\n" not in message
    return message.removeprefix(str(path))
