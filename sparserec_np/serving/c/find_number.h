/* The number of the user of an outside id, SPARSEREC_USERS if there is none. */
static inline uint32_t sparserec_find_user(int64_t id)
{
    uint32_t user = 0;
    while (user < SPARSEREC_USERS && sparserec_user_id(user) != id)
        user++;
    return user;
}
