"""The question whether the first line of a file names its columns."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

from sparserec_np.data.formats.fields import iso_or_nan
from sparserec_np.data.formats.options import ReaderOptions, is_no_column
from sparserec_np.data.formats.source import Source
from sparserec_np.errors import DataError

# Lower case; compared after blanks, "_", "-", "." and RecBole's ":type" are gone.
USER_NAMES = tuple("user userid uid username reviewerid visitorid customerid sessionid session".split())
ITEM_NAMES = tuple(
    "item itemid iid movieid movie bookid isbn asin parentasin productid product artistid trackid songid businessid "
    "gameid animeid articleid newsid poi poiid venueid locationid".split()
)
# The first that is there counts: what people said, what they did, and how often.
RATING_NAMES = tuple(
    "rating ratings star stars score overall bookrating userrating movierating itemrating ratingvalue ratingscore "
    "reviewrating reviewscore starrating explicitrating label labels target feedback implicitfeedback implicit "
    "response like likes liked favorite favourite thumbs vote votes preference pref positive relevance click clicks "
    "clicked purchase purchases purchased buy bought ordered orders converted conversion watched viewed interacted "
    "interaction interactions value eventvalue weight confidence strength eventstrength count quantity qty frequency "
    "freq playcount plays listencount listens listeningcount viewcount views view watchcount watchratio hours "
    "hoursplayed playtime playtimeforever".split()
)
TIME_NAMES = tuple("timestamp time ts unixtime unixreviewtime date datetime reviewtime".split())

FEWEST_ROWS = 3  # below the first, to ask a question by
MOST_ROWS = 2000


def plain(name: str) -> str:
    """Writes a column's name as the lists of known names do."""
    name = name.split(":")[0].strip().lower()
    name = name.translate({ord(mark): None for mark in "_-. "})
    return name[2:] if name.startswith("is") and name[2:] in RATING_NAMES else name


def has_header(source: Source, rows: list[list[str]], kind: str, options: ReaderOptions) -> tuple[bool, str]:
    """Tells whether the first line names the columns, and how it reads if it might be either.

    Args:
        source: for the message.
        rows: fields of the first lines.
        kind: the file's grammar.
        options: the caller's wishes.

    Raises:
        DataError: it can be neither seen nor guessed, and the caller does not say.
    """
    if options.header is not None:
        return options.header, ""
    wishes = [wish for wish in (*options.columns, options.weighs_by) if not is_no_column(wish)]
    typed = kind == "inter" and any(":" in name for name in rows[0])
    if typed or any(isinstance(wish, str) and not wish.isdecimal() for wish in wishes):
        return True, ""
    if _looks_like_header(rows):
        return True, ""
    if any(_is_value(field) for field in rows[0]):
        return False, ""
    places = [
        int(wish) if wish is not None else usual
        for wish, usual in zip(options.columns[:2], (0, 1), strict=True)
    ]
    if max(places) >= len(rows[0]):
        return False, ""
    columns = [[row[place] for row in rows if len(row) > place] for place in places]
    first = ", ".join(repr(column[0]) for column in columns)
    if any(column[0] in column[1:] for column in columns):  # an id that comes again is an id
        return False, ""
    others = len(rows) - 1
    strange = all(_shape(column[0]) not in {_shape(one) for one in column[1:]} for column in columns)
    if others and (strange or (others >= FEWEST_ROWS and any(_repeats(column[1:]) for column in columns))):
        raise DataError(
            f"{source.name}, line 1: cannot tell whether {first} names the columns or is an interaction, for neither"
            " comes again; pass --header or --no-header."
        )
    return False, first


def _looks_like_header(rows: list[list[str]]) -> bool:
    """Tells whether the first line names the columns.

    No field of it is a number, and one is a known name or stands above nothing but numbers.
    """
    if any(is_number(field) for field in rows[0]):
        return False
    if {plain(field) for field in rows[0]} & {*USER_NAMES, *ITEM_NAMES}:
        return True
    return any(all(is_number(field) for field in column) for column in zip(*rows[1:], strict=False))


def is_number(field: str) -> bool:
    """Tells whether a field holds a number."""
    try:
        float(field)
    except ValueError:
        return False
    return True


def _is_value(field: str) -> bool:
    """Tells whether a field holds a number or a date, which name no column."""
    return is_number(field) or iso_or_nan(field.encode()) == iso_or_nan(field.encode())


def _repeats(column: list[str]) -> bool:
    """Tells whether most values of a column stand there more than once."""
    return 2 * sum(many for many in Counter(column).values() if many > 1) >= len(column)


def _shape(value: str) -> str:
    """Writes what a value is made of: a run of letters as ``a``, of digits as ``0``.

    >>> _shape("u-12"), _shape("usuario")
    ('a-0', 'a')
    """
    marks = ("a" if one.isalpha() else "0" if one.isdigit() else one for one in value)
    return "".join(mark for mark, _ in groupby(marks))
