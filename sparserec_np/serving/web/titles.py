"""Names of items for a page: a file of ids, titles and addresses of pictures."""

from __future__ import annotations

import csv
from typing import NamedTuple
from urllib.parse import urlsplit

from sparserec_np.errors import DataError
from sparserec_np.runtime import Ids

OF_IDS = ("item", "id", "item_id", "itemid", "movieid")
OF_TITLES = ("title", "name", "titles", "names")
OF_PICTURES = ("picture", "image", "poster", "picture_url", "image_url")


class Titled(NamedTuple):
    """What a page shows of an item.

    Attributes:
        title: its name, as text.
        picture: address of a picture, or an empty text.
    """

    title: str
    picture: str


def read_titles(path: str, ids: Ids) -> dict[int, Titled]:
    """Reads the titles of items, and addresses of pictures if there are any: row -> what is shown of it.

    The file is CSV, or separated by tabs where its first line holds one: an id, a title and, if
    wanted, the address of a picture. A first line that names columns (``item`` or ``movieId``,
    ``title``, ``picture``) says where they are. Items that the model does not know are left out.

    Raises DataError, naming the line, for a file that is not in UTF-8, a line without a title, and
    an address that is neither https, http nor relative; OSError.
    """
    found: dict[int, Titled] = {}
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            tabs = "\t" in file.readline()
            file.seek(0)
            reader = csv.reader(
                file,
                delimiter="\t" if tabs else ",",
                quotechar=None if tabs else '"',
                strict=True,
                quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
            )
            columns = [0, 1, 2]
            for number, fields in enumerate(reader):
                if number == 0 and fields and fields[0].strip().lower() in OF_IDS:
                    columns = _columns_of(fields)
                elif fields:
                    _add(
                        found,
                        ids,
                        [_field(fields, column) for column in columns],
                        f"{path}, line {reader.line_num}",
                    )
    except UnicodeDecodeError:
        raise DataError(f"{path} is not text in UTF-8; expected an id and a title a line") from None
    except csv.Error as error:
        raise DataError(f"{path} is no sound CSV: {error}") from None
    if not found:
        raise DataError(
            f"{path} holds no title of an item that the model knows; expected an id and a title a line"
        )
    return found


def _columns_of(names: list[str]) -> list[int]:
    """Finds the columns of ids, titles and pictures in a header; -1 where there is none."""
    said = [name.strip().lower() for name in names]
    found = [
        next((said.index(name) for name in known if name in said), -1) for known in (OF_TITLES, OF_PICTURES)
    ]
    return [0, found[0] if found[0] > 0 else 1, found[1]]


def _field(fields: list[str], column: int) -> str:
    return fields[column].strip() if 0 <= column < len(fields) else ""


def _add(found: dict[int, Titled], ids: Ids, fields: list[str], where: str) -> None:
    item, title, picture = fields
    if not title:
        raise DataError(f"{where} has no title; expected an id and a title")
    if picture and not is_picture(picture):
        raise DataError(
            f"{where} has the picture {picture!r}; expected an address that is https, http or relative"
        )
    row = ids.find(item)
    if row is not None:
        found[row] = Titled(title, picture)


def is_picture(address: str) -> bool:
    """Tells whether a page may show a picture of this address.

    >>> [is_picture(one) for one in ("https://host/a.png", "pictures/a.png", "javascript:x()", "//host/a.png")]
    [True, True, False, False]
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    if parts.scheme:
        return parts.scheme in ("https", "http") and origin_of(address) is not None
    return not parts.netloc and address.isprintable() and not address.startswith("//")


def origin_of(address: str) -> str | None:
    """Finds the scheme, host and port of an address, for a policy; None where there is no sound one.

    >>> origin_of("https://host:8080/a/b.png"), origin_of("a.png"), origin_of("https://a;b/c")
    ('https://host:8080', None, None)
    """
    parts = urlsplit(address)
    host = parts.netloc
    if not host or not all(letter.isascii() and (letter.isalnum() or letter in "-.:") for letter in host):
        return None
    return f"{parts.scheme}://{host}"
