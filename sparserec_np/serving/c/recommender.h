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
