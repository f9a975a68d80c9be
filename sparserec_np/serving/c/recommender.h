/* A recommender of $users users and $items items, written by sparserec_np: data and ranking in one header.
 *
 * Needs 32-bit IEEE floats and C99 (or C++11), of which only headers that come without a library.
 * Include it in one source file: its data, $flash bytes, is static.
 * Nothing is allocated and nothing kept between calls; threads may share the data, each with a scratch of its own.
 * Pointers given to it are not null, and what they point to does not overlap. Numbers of users and items may be any,
 * also those that are not there; functions whose names are not in the manual are not for calling.
 */
#ifndef SPARSEREC_RECOMMENDER_H
#define SPARSEREC_RECOMMENDER_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#define SPARSEREC_USERS UINT32_C($users)
#define SPARSEREC_ITEMS UINT32_C($items)
#define SPARSEREC_DIM $dim
#define SPARSEREC_FLASH_BYTES $flash /* of constant data */
#define SPARSEREC_SCRATCH_BYTES $scratch /* of the caller's memory to work in */

$arrays
$functions
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

/* Puts `n` places that any item is better than into a heap. */
static inline void sparserec_begin(uint32_t *items, float *scores, size_t n)
{
    size_t place;
    for (place = 0; place < n; place++) {
        items[place] = SPARSEREC_ITEMS;
        scores[place] = -FLT_MAX;
    }
}

/* Sorts a heap of `n` >= 1 entries, the best first: the worst of what is left goes to the end. */
static inline void sparserec_sort(uint32_t *items, float *scores, size_t n)
{
    size_t place;
    for (place = n - 1; place > 0; place--) {
        float score = scores[place];
        uint32_t item = items[place];
        items[place] = items[0];
        scores[place] = scores[0];
        sparserec_sift_down(items, scores, place, item, score);
    }
}

$ranking
#endif
