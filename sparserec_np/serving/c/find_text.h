/* The number of the user of an outside id of `length` bytes, SPARSEREC_USERS if there is none. */
static inline uint32_t sparserec_find_user(const char *id, size_t length)
{
    uint32_t user;
    for (user = 0; user < SPARSEREC_USERS; user++) {
        size_t known_length, same = 0;
        const char *known = sparserec_user_id(user, &known_length);
        while (same < length && same < known_length && known[same] == id[same])
            same++;
        if (same == length && same == known_length)
            break;
    }
    return user;
}
