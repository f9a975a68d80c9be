static uint32_t find_$owner(const char *id)
{
#if SPARSEREC_${OWNER}_IDS_ARE_TEXT
    return sparserec_find_$owner(id, strlen(id));
#else
    char *end;
    long long number;
    errno = 0;
    number = strtoll(id, &end, 10);
    return errno || end == id || *end ? SPARSEREC_${OWNER}S : sparserec_find_$owner(number);
#endif
}
