/* Whether a user, who has to be below SPARSEREC_USERS, has no interactions. What they are recommended is popular, and
 * all scores are 0. */
static inline int sparserec_is_stranger(uint32_t user)
{
    return $stranger;
}

/* Fills `items` and `scores`, of at least n places each, with the n items that most users touched. */
static inline size_t sparserec_popular(size_t n, uint32_t *items, float *scores)
{
    size_t place;
    for (place = 0; place < n; place++) {
        items[place] = sparserec_popular_items[place];
        scores[place] = 0;
    }
    return n;
}

