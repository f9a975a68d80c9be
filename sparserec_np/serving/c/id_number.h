#define SPARSEREC_${OWNER}_IDS_ARE_TEXT 0

/* The outside id of $owner number `$owner`; 0 where that is not below SPARSEREC_${OWNER}S, as what is not found. */
static inline int64_t sparserec_${owner}_id(uint32_t $owner)
{
    return $owner < SPARSEREC_${OWNER}S ? $number : 0;
}
