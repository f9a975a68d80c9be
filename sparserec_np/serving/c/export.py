"""Write a model as C99 source: constant arrays and a function that recommends, for devices without Python.

``write_c`` makes three files. ``recommender.h`` is the model and the ranking: it allocates nothing, includes
headers of the language only, and can be read as C++11 too. ``main.c`` and ``Makefile`` make a small program of it.

A score is the sum that ``runtime.Recommender`` and ``kernels.compiled.ranking`` form, to the last bit: the user's
stored dimensions ascending, float32, every product and every sum rounded. Compilers that would fuse the two, where the
processor can, are told not to. Equal scores come in the order of the items.

Items lie by dimension and are scored in blocks of ``BLOCK_ITEMS``, with one cursor for each entry of the user's
row: the memory to work in depends on the longest row, and not on the number of items.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from string import Template

import numpy as np

from sparserec_np.machine.files import replacing
from sparserec_np.runtime import EXPORTED, Array, ArtifactError, Path, served_as
from sparserec_np.serving.model_file import ServedModel

HEADER, MAIN, MAKEFILE = "recommender.h", "main.c", "Makefile"
BLOCK_ITEMS = 256  # a kilobyte of scores: little for a microcontroller, and enough to hide the loop around it
LINE_NUMBERS = 24  # a line stays far below the 4,095 characters that every C99 compiler takes

C_TYPES = {
    **{np.dtype(f"u{width}"): f"uint{8 * width}_t" for width in (1, 2, 4, 8)},
    **{np.dtype(f"i{width}"): f"int{8 * width}_t" for width in (1, 2, 4, 8)},
    np.dtype(np.float32): "float",
}


def write_c(model: ServedModel, folder: Path) -> dict[str, int]:
    """Writes the model as C source into ``folder``, which is made if missing, and returns what it will take.

    The files replace older ones of the same names once all of them are written, the header last; the other two
    are the same for every model. If writing fails, the older ones stay.

    Returns bytes: of constant data, which goes to flash, for ``users``, ``items``, ``seen`` and ``ids``, and
    their sum ``flash``; and ``scratch``, the memory that a caller of ``sparserec_recommend`` gives it to work
    in, next to the lists it fills. The code itself, a kilobyte or two, is not counted.

    Raises ArtifactError, naming the field, for a model that could not be saved either, has no users or no items, does
    not say what users have seen, or whose scores are no inner products; OSError when the files cannot be written.
    """
    groups = _arrays(model)
    sizes = {name: sum(array.nbytes for array in arrays.values()) for name, arrays in groups.items()}
    sizes["flash"] = sum(sizes.values())
    entry = groups["items"]["item_starts"].dtype
    longest = int(np.diff(model.users.indptr).max())
    cursors = -(-max(longest, 1) * entry.itemsize // 4) * 4 // entry.itemsize  # no padding after them
    sizes["scratch"] = 4 * BLOCK_ITEMS + cursors * entry.itemsize
    header = _HEADER.substitute(
        users=model.users.rows,
        items=model.items.rows,
        dim=model.dim,
        block=BLOCK_ITEMS,
        cursors=cursors,
        entry=C_TYPES[entry],
        flash=sizes["flash"],
        scratch=sizes["scratch"],
        arrays="\n".join(_declared(name, array) for part in groups.values() for name, array in part.items()),
        user_ids=_id_code("user", groups["ids"]),
        item_ids=_id_code("item", groups["ids"]),
        find_user=_FIND_TEXT if "user_text" in groups["ids"] else _FIND_NUMBER,
    )
    _write_together(os.fspath(folder), {HEADER: header, MAIN: _MAIN, MAKEFILE: _MAKEFILE})
    return sizes


def _arrays(model: ServedModel) -> dict[str, dict[str, Array]]:
    """The constant arrays by purpose and name, each of the narrowest type, and none without an element."""
    stored = model.encode().arrays  # which checks everything
    name = model.metadata["model"]
    if not served_as(name).exports:
        raise ArtifactError(
            f"metadata model is {name!r}: the C function scores by inner products of stored rows, which are the scores"
            f" of {', '.join(EXPORTED)}; `sparserec distill` makes an mf model of another"
        )
    if not model.has_seen:
        raise ArtifactError(
            "the items that users have seen were left out, and the C function would recommend them again:"
            " write the model with them"
        )
    for name, table in (("users", model.users), ("items", model.items)):
        if not table.rows:
            raise ArtifactError(f"the model has no {name}, so there is nothing to write as C")
    by_dimension = model.items.by_column(model.dim)
    groups = {
        "users": {
            "user_starts": _narrowest(model.users.indptr),
            "user_dimensions": _narrowest(model.users.columns),
            "user_values": model.users.values.astype(np.float32),
        },
        "items": {
            "item_starts": _narrowest(by_dimension.indptr),
            "item_numbers": _narrowest(by_dimension.columns),
            "item_values": by_dimension.values.astype(np.float32),
        },
        "seen": {
            "seen_starts": _narrowest(model.seen_indptr),
            "seen_items": _narrowest(model.seen_items),
        },
        "ids": {},
    }
    for owner in ("user", "item"):
        if f"{owner}_ids" in stored:
            groups["ids"][f"{owner}_ids"] = stored[f"{owner}_ids"]
        elif f"{owner}_ids.text" in stored:
            groups["ids"][f"{owner}_text"] = stored[f"{owner}_ids.text"]
            groups["ids"][f"{owner}_text_starts"] = _narrowest(stored[f"{owner}_ids.offsets"])
    for arrays in groups.values():
        for name, array in arrays.items():
            arrays[name] = array if len(array) else np.zeros(1, array.dtype)  # C has no empty arrays
    return groups


def _narrowest(numbers: Array) -> Array:
    """The same non-negative numbers in the narrowest unsigned type."""
    return numbers.astype(np.min_scalar_type(int(numbers.max(initial=0))))


def _declared(name: str, array: Array) -> str:
    """The definition of a constant array; numbers are spelled so that they are read back to the same bits."""
    lines = "\n".join(_lines(array))
    return f"static const {C_TYPES[array.dtype.newbyteorder('=')]} sparserec_{name}[{len(array)}] = {{\n{lines}\n}};\n"


def _lines(array: Array) -> Iterator[str]:
    for start in range(0, len(array), LINE_NUMBERS):
        part = array[start : start + LINE_NUMBERS]
        if array.dtype.kind == "f":
            # The shortest decimal that is this float32 and no other.
            yield "f,".join(part.astype(np.str_).tolist()) + "f,"
        else:
            yield ",".join(map(_integer, part.tolist())) + ","


def _integer(number: int) -> str:
    # In C this number is the minus of one that no type holds.
    return str(number) if number > -(2**63) else f"({number + 1} - 1)"


def _id_code(owner: str, arrays: dict[str, Array]) -> str:
    """The function that gives the outside id of a row."""
    if f"{owner}_text" in arrays:
        return _TEXT_ID.substitute(owner=owner, OWNER=owner.upper())
    number = f"sparserec_{owner}_ids[{owner}]" if f"{owner}_ids" in arrays else owner
    return _NUMBER_ID.substitute(owner=owner, OWNER=owner.upper(), number=number)


def _write_together(folder: str, texts: dict[str, str]) -> None:
    """Writes every file, and only then puts each in its place; a folder that was made for nothing is removed."""
    made = not os.path.isdir(folder)
    os.makedirs(folder, exist_ok=True)
    try:
        with contextlib.ExitStack() as stack:
            for name, text in texts.items():
                file = stack.enter_context(replacing(os.path.join(folder, name)))
                file.write(text.encode("ascii"))
                file.flush()
    except BaseException:
        if made:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        raise


_HEADER = Template("""\
/* A recommender of $users users and $items items, written by sparserec_np: data and ranking in one header.
 *
 * Needs 32-bit IEEE floats and C99 (or C++11), of which only headers that come without a library.
 * Include it in one source file: its data, $flash bytes, is static.
 * Nothing is allocated and nothing kept between calls; threads may share the data, each with a scratch of its own.
 */
#ifndef SPARSEREC_RECOMMENDER_H
#define SPARSEREC_RECOMMENDER_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#define SPARSEREC_USERS UINT32_C($users)
#define SPARSEREC_ITEMS UINT32_C($items)
#define SPARSEREC_DIM $dim
#define SPARSEREC_BLOCK_ITEMS $block /* items that are scored at a time */
#define SPARSEREC_CURSORS $cursors /* at least the entries of the longest user row */
#define SPARSEREC_FLASH_BYTES $flash /* of constant data */
#define SPARSEREC_SCRATCH_BYTES $scratch /* of the caller's memory to work in */

typedef $entry sparserec_entry; /* counts the entries of the item table */

typedef struct {
    float scores[SPARSEREC_BLOCK_ITEMS];
    sparserec_entry cursors[SPARSEREC_CURSORS];
} sparserec_scratch;

typedef char sparserec_scratch_is_as_large_as_stated
    [sizeof(sparserec_scratch) == SPARSEREC_SCRATCH_BYTES ? 1 : -1];

/* The entries of user u are those from user_starts[u] to user_starts[u + 1], dimensions ascending; the items of
 * dimension d those from item_starts[d] to item_starts[d + 1], ascending; what user u has seen likewise. */
$arrays
$user_ids
$item_ids
$find_user
/* Whether (score_a, item_a) comes after (score_b, item_b) in a list. */
static inline int sparserec_is_worse(float score_a, uint32_t item_a, float score_b, uint32_t item_b)
{
    return score_a < score_b || (score_a == score_b && item_a > item_b);
}

/* Replaces the root of a heap of `size` >= 1 entries, its worst, by (item, score). */
static inline void sparserec_sift_down(uint32_t *items, float *scores, size_t size, uint32_t item, float score)
{
    size_t at = 0;
    while (at < size / 2) {
        size_t child = 2 * at + 1;
        if (child + 1 < size
            && sparserec_is_worse(scores[child + 1], items[child + 1], scores[child], items[child]))
            child++;
        if (!sparserec_is_worse(scores[child], items[child], score, item))
            break;
        items[at] = items[child];
        scores[at] = scores[child];
        at = child;
    }
    items[at] = item;
    scores[at] = score;
}

/* A fused multiply-add rounds once where two roundings are meant, and could turn the order of two items. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

/* Adds `value` times the values of one dimension to the scores of items `start` to `stop`; returns the cursor. */
static inline size_t sparserec_add_dimension(size_t at, size_t end, float value, uint32_t start, uint32_t stop,
                                             float *scores)
{
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
    for (; at < end && sparserec_item_numbers[at] < stop; at++) {
        float product = value * sparserec_item_values[at];
        scores[sparserec_item_numbers[at] - start] += product;
    }
    return at;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* Fills `items` and `scores`, of at least n places each, with the n best items that the user has not seen, best
 * first; equal scores come in the order of the items. Items are numbers below SPARSEREC_ITEMS.
 * Returns how many there are: fewer than n where fewer are left, none for a user that is not below SPARSEREC_USERS. */
static inline size_t sparserec_recommend(uint32_t user, size_t n, uint32_t *items, float *scores,
                                         sparserec_scratch *scratch)
{
    size_t first, entries, seen, seen_end, left, e, place;
    uint32_t start, stop, item;

    if (user >= SPARSEREC_USERS)
        return 0;
    first = sparserec_user_starts[user];
    entries = sparserec_user_starts[user + 1] - first;
    seen = sparserec_seen_starts[user];
    seen_end = sparserec_seen_starts[user + 1];
    left = SPARSEREC_ITEMS - (seen_end - seen);
    n = n < left ? n : left;
    if (n == 0)
        return 0;
    for (place = 0; place < n; place++) { /* a heap of places that any item is better than */
        items[place] = SPARSEREC_ITEMS;
        scores[place] = -FLT_MAX;
    }
    for (e = 0; e < entries; e++)
        scratch->cursors[e] = sparserec_item_starts[sparserec_user_dimensions[first + e]];

    for (start = 0; start < SPARSEREC_ITEMS; start = stop) {
        stop = SPARSEREC_ITEMS - start < SPARSEREC_BLOCK_ITEMS ? SPARSEREC_ITEMS : start + SPARSEREC_BLOCK_ITEMS;
        for (item = start; item < stop; item++)
            scratch->scores[item - start] = 0;
        for (e = 0; e < entries; e++)
            scratch->cursors[e] = (sparserec_entry)sparserec_add_dimension(
                scratch->cursors[e], sparserec_item_starts[sparserec_user_dimensions[first + e] + 1],
                sparserec_user_values[first + e], start, stop, scratch->scores);
        for (item = start; item < stop; item++) {
            float score = scratch->scores[item - start];
            if (seen < seen_end && sparserec_seen_items[seen] == item)
                seen++;
            else if (sparserec_is_worse(scores[0], items[0], score, item))
                sparserec_sift_down(items, scores, n, item, score);
        }
    }
    for (place = n - 1; place > 0; place--) { /* the worst of what is left goes to the end */
        float score = scores[place];
        item = items[place];
        items[place] = items[0];
        scores[place] = scores[0];
        sparserec_sift_down(items, scores, place, item, score);
    }
    return n;
}

#endif
""")

_NUMBER_ID = Template("""\
#define SPARSEREC_${OWNER}_IDS_ARE_TEXT 0

/* The outside id of $owner number `$owner`. */
static inline int64_t sparserec_${owner}_id(uint32_t $owner)
{
    return $number;
}
""")

_TEXT_ID = Template("""\
#define SPARSEREC_${OWNER}_IDS_ARE_TEXT 1

/* The outside id of $owner number `$owner`: `*length` bytes of UTF-8, with no zero after them. */
static inline const char *sparserec_${owner}_id(uint32_t $owner, size_t *length)
{
    size_t start = sparserec_${owner}_text_starts[$owner];
    *length = sparserec_${owner}_text_starts[$owner + 1] - start;
    return (const char *)sparserec_${owner}_text + start;
}
""")

_FIND_NUMBER = """\
/* The number of the user of an outside id, SPARSEREC_USERS if there is none. */
static inline uint32_t sparserec_find_user(int64_t id)
{
    uint32_t user = 0;
    while (user < SPARSEREC_USERS && sparserec_user_id(user) != id)
        user++;
    return user;
}
"""

_FIND_TEXT = """\
/* The number of the user of an outside id of `length` bytes, SPARSEREC_USERS if there is none. */
static inline uint32_t sparserec_find_user(const char *id, size_t length)
{
    uint32_t user;
    for (user = 0; user < SPARSEREC_USERS; user++) {
        size_t known_length, same = 0;
        const char *known = sparserec_user_id(user, &known_length);
        while (same < length && same < known_length && known[same] == id[same])
            same++;
        if (same == length && same == known_length)
            break;
    }
    return user;
}
"""

_MAIN = """\
/* Prints recommendations, tabs between ids and scores:
 *
 *     recommend USER [N]    the N best items of one user, one a line
 *     recommend [- [N]]     those of every user, one user a line
 *
 * Build it with `make`, or: cc -std=c99 -O2 -o recommend main.c
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recommender.h"

#ifndef MOST_ITEMS
#define MOST_ITEMS 100 /* the longest list; there is room for one in the program */
#endif

static sparserec_scratch scratch;
static uint32_t items[MOST_ITEMS];
static float scores[MOST_ITEMS];

static uint32_t find_user(const char *id)
{
#if SPARSEREC_USER_IDS_ARE_TEXT
    return sparserec_find_user(id, strlen(id));
#else
    char *end;
    long long number;
    errno = 0;
    number = strtoll(id, &end, 10);
    return errno || end == id || *end ? SPARSEREC_USERS : sparserec_find_user(number);
#endif
}

static void print_user(uint32_t user)
{
#if SPARSEREC_USER_IDS_ARE_TEXT
    size_t length;
    const char *id = sparserec_user_id(user, &length);
    fwrite(id, 1, length, stdout);
#else
    printf("%lld", (long long)sparserec_user_id(user));
#endif
}

static void print_item(uint32_t item)
{
#if SPARSEREC_ITEM_IDS_ARE_TEXT
    size_t length;
    const char *id = sparserec_item_id(item, &length);
    fwrite(id, 1, length, stdout);
#else
    printf("%lld", (long long)sparserec_item_id(item));
#endif
}

int main(int argc, char **argv)
{
    int all = argc < 2 || strcmp(argv[1], "-") == 0;
    long n = argc < 3 ? 20 : atol(argv[2]);
    uint32_t user = all ? 0 : find_user(argv[1]);
    size_t found, place;

    if (argc > 3 || n < 1 || n > MOST_ITEMS) {
        fprintf(stderr, "usage: recommend [USER or - [N]], with N from 1 to %ld\\n", (long)MOST_ITEMS);
        return 2;
    }
    if (user >= SPARSEREC_USERS) {
        fprintf(stderr, "unknown user %s\\n", argv[1]);
        return 1;
    }
    do {
        found = sparserec_recommend(user, (size_t)n, items, scores, &scratch);
        if (all)
            print_user(user);
        for (place = 0; place < found; place++) {
            if (all)
                putchar('\\t');
            print_item(items[place]);
            printf("\\t%.9g", (double)scores[place]);
            if (!all)
                putchar('\\n');
        }
        if (all)
            putchar('\\n');
    } while (all && ++user < SPARSEREC_USERS);
    return fflush(stdout) == 0 ? 0 : 1;
}
"""

_MAKEFILE = """\
CC = cc
CFLAGS = -std=c99 -O2 -Wall -Wextra -pedantic

recommend: main.c recommender.h
\t$(CC) $(CFLAGS) -o $@ main.c
"""
