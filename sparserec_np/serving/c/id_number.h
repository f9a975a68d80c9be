#define SPARSEREC_${OWNER}_IDS_ARE_TEXT 0

/* The outside id of $owner number `$owner`, which has to be below SPARSEREC_${OWNER}S. */
static inline int64_t sparserec_${owner}_id(uint32_t $owner)
{
    return $number;
}
