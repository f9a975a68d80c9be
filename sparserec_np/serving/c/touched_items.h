/* The item table lies by item, as in the model file: item_ends are bits, the lowest of a byte first, a zero for each
 * entry and a one after each item; item_steps lead from dimension to dimension, in one byte or two; item_values follow
 * in the same order, and $whose, weights. It is read from end to end. */

#define SPARSEREC_SUMMED $summed /* dimensions of sums; behind them, if there are any, each item has one */
#define SPARSEREC_PAIRS $pairs /* whether there are any: an entry there is of a pair of items, and speaks both ways */
#define SPARSEREC_ROW_ENTRIES $row_entries /* that a user's row is cut to */
#define SPARSEREC_RECENCY $recency /* whether later items count more */
#define SPARSEREC_STEP_LIMIT UINT32_C($limit) /* a byte below it is a step, any other the first half of one */

/* How much an item counts, by its age: how many of the others came later. */
#if SPARSEREC_RECENCY
#define SPARSEREC_SHARE(ages, at) sparserec_levels[(ages)[at]]
#else
#define SPARSEREC_SHARE(ages, at) 1.0f
#endif

/* In the dimension of an item that was touched, the row holds its mark, by which it counts in the rows of others; in
 * that of another item its replies, what the rows of touched items say of it. */
typedef struct {
    float row[SPARSEREC_DIM];
    float magnitudes[SPARSEREC_ROW_ENTRIES]; /* of the largest sums, */
    uint32_t dimensions[SPARSEREC_ROW_ENTRIES]; /* and where they are */
#if SPARSEREC_PAIRS
    uint32_t touched[(SPARSEREC_ITEMS + 31) / 32]; /* a bit for each item, the lowest first */
#endif
} sparserec_scratch;

typedef char sparserec_scratch_is_as_large_as_stated
    [sizeof(sparserec_scratch) == SPARSEREC_SCRATCH_BYTES ? 1 : -1];

/* A place in the item table: before the first entry of an item, or among its entries. */
typedef struct {
    uint32_t item, bit, next_dimension; /* at least that of the item's next entry; 0 before its first */
    size_t step, entry, filled; /* items with entries so far */
} sparserec_place;

/* Begins a row. */
static inline void sparserec_clear(sparserec_scratch *scratch)
{
    size_t at;
    for (at = 0; at < SPARSEREC_DIM; at++)
        scratch->row[at] = 0;
#if SPARSEREC_PAIRS
    for (at = 0; at < (SPARSEREC_ITEMS + 31) / 32; at++)
        scratch->touched[at] = 0;
#endif
}

#if SPARSEREC_PAIRS
/* Notes that an item was touched; all are noted before the first is added to the row. */
static inline void sparserec_note(sparserec_scratch *scratch, uint32_t item)
{
    scratch->touched[item >> 5] |= UINT32_C(1) << (item & 31);
}

static inline int sparserec_is_touched(const sparserec_scratch *scratch, uint32_t item)
{
    return scratch->touched[item >> 5] >> (item & 31) & 1;
}
#endif

/* A fused multiply-add rounds once where two roundings are meant, and could turn the order of two items. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif

/* Whether the item has another entry; if not, the place is before the next item. */
static inline int sparserec_has_entry(sparserec_place *place)
{
    int ends = sparserec_item_ends[place->bit >> 3] >> (place->bit & 7) & 1;
    place->bit++;
    if (ends) {
        place->item++;
        place->filled += place->next_dimension > 0;
        place->next_dimension = 0;
    }
    return !ends;
}

/* Reads the dimension of the next entry. */
static inline uint32_t sparserec_dimension(sparserec_place *place)
{
    uint32_t step = sparserec_item_steps[place->step++];
    if (step + 1 > SPARSEREC_STEP_LIMIT) {
        step = SPARSEREC_STEP_LIMIT + 256 * (step - SPARSEREC_STEP_LIMIT);
        step += sparserec_item_steps[place->step++];
    }
    step += place->next_dimension;
    place->next_dimension = step + 1;
    return step;
}

/* Adds an item, times its share, to the row, after the items before it are passed over: its weighted sums, and with
 * pairs its mark and its replies. */
static inline void sparserec_touch(sparserec_place *place, uint32_t item, float share, sparserec_scratch *scratch)
{
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
    float *row = scratch->row;
#if SPARSEREC_PAIRS
    float mark = share * $mark;
    row[SPARSEREC_SUMMED + item] = mark;
#endif
    while (place->item < item)
        if (sparserec_has_entry(place)) {
            sparserec_dimension(place);
            place->entry++;
        }
    while (sparserec_has_entry(place)) {
        uint32_t dimension = sparserec_dimension(place);
        float value = $value;
        float weight = share * $weight;
        float product = weight * value;
        if (dimension < SPARSEREC_SUMMED)
            row[dimension] += product;
#if SPARSEREC_PAIRS
        else if (!sparserec_is_touched(scratch, dimension - SPARSEREC_SUMMED)) {
            float reply = mark * value;
            row[dimension] += reply;
        }
#endif
        place->entry++;
    }
}

/* The inner product of the row and that of the item at a place, dimensions ascending; with pairs of sums and marks
 * alone, and last the replies to an item that was not touched. */
static inline float sparserec_score(sparserec_place *place, const sparserec_scratch *scratch)
{
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#endif
    const float *row = scratch->row;
    float score = 0;
#if SPARSEREC_PAIRS
    uint32_t item = place->item;
#endif
    while (sparserec_has_entry(place)) {
        uint32_t dimension = sparserec_dimension(place);
        float value = $value;
        float product = row[dimension] * value;
#if SPARSEREC_PAIRS
        if (dimension < SPARSEREC_SUMMED || sparserec_is_touched(scratch, dimension - SPARSEREC_SUMMED))
#endif
            score += product;
        place->entry++;
    }
#if SPARSEREC_PAIRS
    score += row[SPARSEREC_SUMMED + item];
#endif
    return score;
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

/* Leaves the SPARSEREC_ROW_ENTRIES sums of largest magnitude in the row, of equals the lower dimensions. */
static inline void sparserec_cut(sparserec_scratch *scratch)
{
    float *magnitudes = scratch->magnitudes;
    uint32_t *dimensions = scratch->dimensions, dimension;
    size_t at;
    for (at = 0; at < SPARSEREC_ROW_ENTRIES; at++) {
        magnitudes[at] = -1;
        dimensions[at] = SPARSEREC_DIM;
    }
    for (dimension = 0; dimension < SPARSEREC_SUMMED; dimension++) {
        float entry = scratch->row[dimension], magnitude = entry < 0 ? -entry : entry;
        if (sparserec_is_worse(magnitudes[0], dimensions[0], magnitude, dimension))
            sparserec_sift_down(dimensions, magnitudes, SPARSEREC_ROW_ENTRIES, dimension, magnitude);
    }
    for (dimension = 0; dimension < SPARSEREC_SUMMED; dimension++) {
        float entry = scratch->row[dimension], magnitude = entry < 0 ? -entry : entry;
        if (sparserec_is_worse(magnitude, dimension, magnitudes[0], dimensions[0]))
            scratch->row[dimension] = 0;
    }
}

/* Offers a list the items from a place to before `stop`. */
static inline void sparserec_offer(sparserec_place *place, uint32_t stop, const sparserec_scratch *scratch, size_t n,
                                   uint32_t *items, float *scores)
{
    while (place->item < stop) {
        uint32_t item = place->item;
        float score = sparserec_score(place, scratch);
        if (sparserec_is_worse(scores[0], items[0], score, item))
            sparserec_sift_down(items, scores, n, item, score);
    }
}

#if SPARSEREC_RECENCY
/* Brings `count` items, which come in the order of time, into ascending order, with their ages: how many of the others
 * came later, 255 for more. Of an item told twice the later telling counts. Returns how many are of SPARSEREC_ITEMS,
 * which then come first. It takes time by the square of their number. */
static inline size_t sparserec_in_order(uint32_t *touched, uint8_t *ages, size_t count)
{
    size_t at, place, later = 0;
    for (at = count; at-- > 0;) {
        ages[at] = later < 255 ? (uint8_t)later : 255;
        for (place = at + 1; place < count && touched[place] != touched[at]; place++)
            continue;
        if (place < count || touched[at] >= SPARSEREC_ITEMS)
            touched[at] = UINT32_MAX;
        else
            later++;
    }
    for (at = 1; at < count; at++) {
        uint32_t item = touched[at];
        uint8_t age = ages[at];
        for (place = at; place > 0 && touched[place - 1] > item; place--) {
            touched[place] = touched[place - 1];
            ages[place] = ages[place - 1];
        }
        touched[place] = item;
        ages[place] = age;
    }
    return later;
}
#else
/* Brings `count` items into ascending order, and returns how many of SPARSEREC_ITEMS they are, which then come first.
 * That takes one pass where they are in order, and time by the square of their number where they are not. */
static inline size_t sparserec_in_order(uint32_t *touched, size_t count)
{
    size_t at, place, kept = 0;
    for (at = 1; at < count; at++) {
        uint32_t item = touched[at];
        for (place = at; place > 0 && touched[place - 1] > item; place--)
            touched[place] = touched[place - 1];
        touched[place] = item;
    }
    for (at = 0; at < count && touched[at] < SPARSEREC_ITEMS; at++)
        if (kept == 0 || touched[kept - 1] != touched[at])
            touched[kept++] = touched[at];
    return kept;
}
#endif

/* Fills `items` and `scores`, of at least n places each, with the n best items for somebody who touched `count` items,
 * none of which is listed; best first, equal scores in the order of the items. Items are numbers below SPARSEREC_ITEMS,
 * $order
 * Returns how many there are: fewer than n where fewer are left, none where nothing was touched. */
static inline size_t sparserec_recommend_for_items(uint32_t *touched, ${ages}size_t count, size_t n, uint32_t *items,
                                                   float *scores, sparserec_scratch *scratch)
{
    const sparserec_place start = {0, 0, 0, 0, 0, 0};
    sparserec_place place = start;
    size_t at, left;

    count = sparserec_in_order(touched, ${given}count);
    left = SPARSEREC_ITEMS - count;
    n = n < left ? n : left;
    if (n == 0 || count == 0)
        return 0;
    sparserec_clear(scratch);
#if SPARSEREC_PAIRS
    for (at = 0; at < count; at++)
        sparserec_note(scratch, touched[at]);
#endif
    for (at = 0; at < count; at++)
        sparserec_touch(&place, touched[at], SPARSEREC_SHARE(ages, at), scratch);
    sparserec_cut(scratch);
    sparserec_begin(items, scores, n);
    place = start;
    for (at = 0; at < count; at++) {
        sparserec_offer(&place, touched[at], scratch, n, items, scores);
        sparserec_score(&place, scratch); /* passes over it */
    }
    sparserec_offer(&place, SPARSEREC_ITEMS, scratch, n, items, scores);
    sparserec_sort(items, scores, n);
    return n;
}
$of_users
