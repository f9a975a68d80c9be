/* Prints the N best items for somebody who touched the items ITEM, one a line, a tab between id and score:
 *
 *     recommend N ITEM...
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
#ifndef MOST_TOUCHED
#define MOST_TOUCHED 1000 /* the most items of one person */
#endif

static sparserec_scratch scratch;
static uint32_t items[MOST_ITEMS], touched[MOST_TOUCHED];
static float scores[MOST_ITEMS];
#if SPARSEREC_RECENCY
static uint8_t ages[MOST_TOUCHED];
#endif

$find_item
$print_item
int main(int argc, char **argv)
{
    long n = argc < 2 ? 0 : atol(argv[1]);
    size_t found, place, count = argc < 3 ? 0 : (size_t)argc - 2;

    if (n < 1 || n > MOST_ITEMS || count < 1 || count > MOST_TOUCHED) {
        fprintf(stderr, "usage: recommend N ITEM..., with N from 1 to %ld and up to %ld items\n", (long)MOST_ITEMS,
                (long)MOST_TOUCHED);
        return 2;
    }
    for (place = 0; place < count; place++) {
        touched[place] = find_item(argv[place + 2]);
        if (touched[place] >= SPARSEREC_ITEMS) {
            fprintf(stderr, "unknown item %s\n", argv[place + 2]);
            return 1;
        }
    }
#if SPARSEREC_RECENCY
    found = sparserec_recommend_for_items(touched, ages, count, (size_t)n, items, scores, &scratch);
#else
    found = sparserec_recommend_for_items(touched, count, (size_t)n, items, scores, &scratch);
#endif
    for (place = 0; place < found; place++) {
        print_item(items[place]);
        printf("\t%.9g\n", (double)scores[place]);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
