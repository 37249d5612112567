/* Finds the steps of a table. */
#include "steps.h"

#define LAST 65534 /* the greatest DN that is a value; no-data and saturated pixels are marked by what looks them up */
#define TRIES 8

/* Whether all DN from `from` to `to` have their level. */
static int holds(const Steps *steps, const uint8_t *table, int from, int to) {
    for (int dn = from; dn <= to; dn++)
        if (level(steps, (unsigned)dn) != table[dn]) return 0;
    return 1;
}

/* Where the levels are reached, least and greatest; 0 unless the table rises, and has two levels. */
static int reach(const uint8_t *table, Steps *steps, int *least, int *most) {
    *least = table[1], *most = table[LAST];
    for (int i = 0; i < 256; i++) steps->reached[i] = i < *least ? 0 : LAST + 1;
    for (int dn = 2; dn <= LAST; dn++) {
        if (table[dn] < table[dn - 1]) return 0;
        for (int of = table[dn - 1]; of < table[dn]; of++) steps->reached[of] = (uint16_t)dn;
    }
    return *least < *most;
}

/* The level of each DN and what it has of the next one, at places 1 << half DN apart from where the second level is
   reached. */
static void positions(const Steps *steps, int least, int most, int half, int count, double *at) {
    const int last = steps->reached[most - 1];
    int k = least + 1;
    for (int i = 0; i < count; i++) {
        const int dn = steps->first + (int)(((int64_t)i << steps->shift) >> half);
        while (k < most && steps->reached[k] <= dn) k++;
        const int from = steps->reached[k - 1], to = k < most ? steps->reached[k] : from + 1;
        at[i] = dn < last ? k + (double)(dn - from) / (to - from) : most;
    }
}

/* Lines between the places, bent or straight. Whether they give the table. */
static int lines(Steps *steps, const uint8_t *table, const double *at, int last) {
    for (int i = 0; i <= steps->span >> steps->shift; i++) {
        const double rise = (at[2 * i + 2] - at[2 * i]) * 256, bend = (at[2 * i + 1] - at[2 * i]) * 256 - rise / 2;
        const int from = steps->first + (i << steps->shift), to = from + (1 << steps->shift) - 1;
        steps->slope[i] = (uint16_t)(rise < 65535 ? rise : 65535);
        steps->bend[i] = (uint16_t)(steps->bent && bend > 0 ? bend : 0);
        int below = 0; /* how far all of it lies below, in eighths of a level: it must not lie above */
        do steps->base[i] = (uint16_t)((at[2 * i] - (double)below / TRIES) * 256);
        while (!holds(steps, table, i ? from : from - 1, to < last ? to : last) && ++below <= TRIES);
        if (below > TRIES) return 0;
    }
    return holds(steps, table, 1, LAST);
}

/* Find a table's steps. Returns `made`. */
EXPORT int64_t onboard_steps(const uint8_t *table, Steps *steps) {
    int least, most;
    double at[2 * PLACES + 1];
    memset(steps, 0, sizeof *steps);
    if (!reach(table, steps, &least, &most)) return 0;
    const int last = steps->reached[most - 1];
    steps->first = steps->reached[least];
    steps->span = (uint16_t)(last - steps->first);
    while (steps->span >> steps->shift > PLACES - 1) steps->shift++;
    positions(steps, least, most, 1, 2 * PLACES + 1, at);
    for (steps->bent = 0; steps->bent < 2; steps->bent++)
        if (lines(steps, table, at, last)) return steps->made = 1;
    return 0;
}

EXPORT int64_t onboard_steps_size(void) { return sizeof(Steps); }
