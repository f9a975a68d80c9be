#define SPARSEREC_${OWNER}_IDS_ARE_TEXT 0

/* The outside id of $owner number `$owner`. */
static inline int64_t sparserec_${owner}_id(uint32_t $owner)
{
    return $number;
}
