/* The entries of user u are those from user_starts[u] to user_starts[u + 1], dimensions ascending; the items of
 * dimension d those from item_starts[d] to item_starts[d + 1], ascending; what user u has seen likewise. */

#define SPARSEREC_BLOCK_ITEMS $block /* items that are scored at a time */
#define SPARSEREC_CURSORS $cursors /* at least the entries of the longest user row */

typedef $entry sparserec_entry; /* counts the entries of the item table */

typedef struct {
    float scores[SPARSEREC_BLOCK_ITEMS];
    sparserec_entry cursors[SPARSEREC_CURSORS];
} sparserec_scratch;

typedef char sparserec_scratch_is_as_large_as_stated
    [sizeof(sparserec_scratch) == SPARSEREC_SCRATCH_BYTES ? 1 : -1];

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

$popular/* Fills `items` and `scores`, of at least n places each, with the n best items that the user has not seen, best
 * first; equal scores come in the order of the items. Items are numbers below SPARSEREC_ITEMS.
 * Returns how many there are: fewer than n where fewer are left, none for a user that is not below SPARSEREC_USERS. */
static inline size_t sparserec_recommend(uint32_t user, size_t n, uint32_t *items, float *scores,
                                         sparserec_scratch *scratch)
{
    size_t first, entries, seen, seen_end, left, e;
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
$strangers    sparserec_begin(items, scores, n);
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
    sparserec_sort(items, scores, n);
    return n;
}
