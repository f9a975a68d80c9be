/* Prints recommendations, tabs between ids and scores:
 *
 *     recommend USER [N]    the N best items of one user, one a line
 *     recommend [- [N]]     those of every user, one user a line
 *
 * Build it with `make`, or: cc -std=c99 -O2 -o recommend main.c
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recommender.h"

#ifndef MOST_ITEMS
#define MOST_ITEMS 100 /* the longest list; there is room for one in the program */
#endif

static sparserec_scratch scratch;
static uint32_t items[MOST_ITEMS];
static float scores[MOST_ITEMS];

$find_user
$print_user
$print_item
int main(int argc, char **argv)
{
    int all = argc < 2 || strcmp(argv[1], "-") == 0;
    long n = argc < 3 ? 20 : atol(argv[2]);
    uint32_t user = all ? 0 : find_user(argv[1]);
    size_t found, place;

    if (argc > 3 || n < 1 || n > MOST_ITEMS) {
        fprintf(stderr, "usage: recommend [USER or - [N]], with N from 1 to %ld\n", (long)MOST_ITEMS);
        return 2;
    }
    if (user >= SPARSEREC_USERS) {
        fprintf(stderr, "unknown user %s\n", argv[1]);
        return 1;
    }
    do {
        found = sparserec_recommend(user, (size_t)n, items, scores, &scratch);
$told        if (all)
            print_user(user);
        for (place = 0; place < found; place++) {
            if (all)
                putchar('\t');
            print_item(items[place]);
            printf("\t%.9g", (double)scores[place]);
            if (!all)
                putchar('\n');
        }
        if (all)
            putchar('\n');
    } while (all && ++user < SPARSEREC_USERS);
    return fflush(stdout) == 0 ? 0 : 1;
}
