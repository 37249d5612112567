/* A rising table of 65,536 bytes by its steps: what a processor with wide registers holds in twelve of them.

   A value is found in two parts: a line through the table between each two of 64 places, or where it bends much a
   parabola, gives its level or the one below, and where the next level is reached tells which. `made` says whether that
   is so for every DN; any other table is read from memory. */
#ifndef ONBOARD_STEPS_H
#define ONBOARD_STEPS_H

#include "kernels.h"

#define PLACES 64

typedef struct {
    uint16_t base[PLACES], slope[PLACES]; /* 1/256 of a level; at a place, and to the next one */
    uint16_t bend[PLACES];                /* how far it is above the line half way between them */
    uint16_t reached[256];                /* the DN from which on there is the level after the one of this index */
    uint16_t first, span, shift;          /* places are 1 << shift DN apart, from `first` over `span` DN */
    uint16_t bent, made;                  /* whether there is any bend; whether all this gives the table */
} Steps;

/* The level of a DN, or the one below. */
INLINE unsigned near_level(const Steps *steps, unsigned dn) {
    unsigned x = dn > steps->first ? dn - steps->first : 0;
    x = x < steps->span ? x : steps->span;
    const unsigned place = x >> steps->shift, rest = x << (16 - steps->shift) & 0xFFFF;
    const unsigned between = 4 * (rest * (0xFFFF - rest) >> 16); /* 0 at places, 0xFFFC half way */
    const unsigned line = steps->base[place] + (rest * steps->slope[place] >> 16);
    return ((line + (between * steps->bend[place] >> 16)) & 0xFFFF) >> 8;
}

INLINE unsigned level(const Steps *steps, unsigned dn) {
    const unsigned near = near_level(steps, dn);
    return near + (dn >= steps->reached[near]);
}

#endif
