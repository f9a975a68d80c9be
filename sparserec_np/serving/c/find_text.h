/* The number of the $owner of an outside id of `length` bytes, SPARSEREC_${OWNER}S if there is none. */
static inline uint32_t sparserec_find_$owner(const char *id, size_t length)
{
    uint32_t $owner;
    for ($owner = 0; $owner < SPARSEREC_${OWNER}S; $owner++) {
        size_t known_length, same = 0;
        const char *known = sparserec_${owner}_id($owner, &known_length);
        while (same < length && same < known_length && known[same] == id[same])
            same++;
        if (same == length && same == known_length)
            break;
    }
    return $owner;
}
