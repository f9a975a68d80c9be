        if (sparserec_is_stranger(user)) {
            static int said;
            if (!said++)
                fprintf(stderr, "no interactions: the items that most users touched, all with the score 0\n");
        }
