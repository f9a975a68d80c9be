/* The number of the $owner of an outside id, SPARSEREC_${OWNER}S if there is none. */
static inline uint32_t sparserec_find_$owner(int64_t id)
{
    uint32_t $owner = 0;
    while ($owner < SPARSEREC_${OWNER}S && sparserec_${owner}_id($owner) != id)
        $owner++;
    return $owner;
}
