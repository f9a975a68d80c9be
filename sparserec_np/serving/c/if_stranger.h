    if (sparserec_is_stranger(user))
        return sparserec_popular(n, items, scores);
