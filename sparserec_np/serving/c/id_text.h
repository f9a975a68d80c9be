#define SPARSEREC_${OWNER}_IDS_ARE_TEXT 1

/* The outside id of $owner number `$owner`: `*length` bytes of UTF-8, with no zero after them.
 * None where that is not below SPARSEREC_${OWNER}S, as what is not found. */
static inline const char *sparserec_${owner}_id(uint32_t $owner, size_t *length)
{
    size_t start = 0;
    *length = 0;
    if ($owner < SPARSEREC_${OWNER}S) {
        start = sparserec_${owner}_text_starts[$owner];
        *length = sparserec_${owner}_text_starts[$owner + 1] - start;
    }
    return (const char *)sparserec_${owner}_text + start;
}
