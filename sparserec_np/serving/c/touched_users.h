
$popular/* Fills `items` and `scores` for a user, who is made of the items they have seen, those from seen_starts[user] to
 * seen_starts[user + 1], and none of which is listed; else as above. Of a user who has seen nothing all scores are 0.
 * There are no items for a user that is not below SPARSEREC_USERS. */
static inline size_t sparserec_recommend(uint32_t user, size_t n, uint32_t *items, float *scores,
                                         sparserec_scratch *scratch)
{
    const sparserec_place start = {0, 0, 0, 0, 0, 0};
    sparserec_place place = start;
    size_t at, first, end, left;

    if (user >= SPARSEREC_USERS)
        return 0;
    first = sparserec_seen_starts[user];
    end = sparserec_seen_starts[user + 1];
    left = SPARSEREC_ITEMS - (end - first);
    n = n < left ? n : left;
    if (n == 0)
        return 0;
$strangers    sparserec_clear(scratch);
#if SPARSEREC_PAIRS
    for (at = first; at < end; at++)
        sparserec_note(scratch, sparserec_seen_items[at]);
#endif
    for (at = first; at < end; at++)
        sparserec_touch(&place, sparserec_seen_items[at], SPARSEREC_SHARE(sparserec_seen_ages, at), scratch);
    sparserec_cut(scratch);
    sparserec_begin(items, scores, n);
    place = start;
    for (at = first; at < end; at++) {
        sparserec_offer(&place, sparserec_seen_items[at], scratch, n, items, scores);
        sparserec_score(&place, scratch); /* passes over it */
    }
    sparserec_offer(&place, SPARSEREC_ITEMS, scratch, n, items, scores);
    sparserec_sort(items, scores, n);
    return n;
}
