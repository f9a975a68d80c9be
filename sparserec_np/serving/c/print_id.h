static void print_$owner(uint32_t $owner)
{
#if SPARSEREC_${OWNER}_IDS_ARE_TEXT
    size_t length;
    const char *id = sparserec_${owner}_id($owner, &length);
    fwrite(id, 1, length, stdout);
#else
    printf("%lld", (long long)sparserec_${owner}_id($owner));
#endif
}
