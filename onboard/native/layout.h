/* How a record lies in memory, and its sub-cells as numbers. See `onboard.change.record` and `onboard.change.seen`. */
#ifndef ONBOARD_LAYOUT_H
#define ONBOARD_LAYOUT_H

#include "kernels.h"

typedef struct {
    int64_t size;                 /* bytes of a record */
    int64_t latent, latents;      /* offset, and how many */
    int64_t fine, fines;          /* means of the 10 m bands, 64 each */
    int64_t coarse, coarses;      /* of the others, 16 each */
    int64_t valid;                /* bits of the fine sub-cells, little-endian */
} Layout;

/* Eight numbers at once; half of the coarse sub-cells, or of a quarter of the fine ones. What a processor cannot hold in
   one register the compiler takes in parts. */
typedef float Eight __attribute__((vector_size(32), may_alias));
#define HALVES 2
typedef int32_t Which __attribute__((vector_size(32), may_alias));

/* Of each two numbers the first where `first` is all ones, the second where it is zero. */
INLINE Eight choose(Which first, Eight a, Eight b) { return (Eight)((first & (Which)a) | (~first & (Which)b)); }

INLINE Eight positives(Eight x) { return choose(x > 0, x, (Eight){0}); }

/* A row of weights on every coarse sub-cell: in[term][half]. */
INLINE void product(const float *weights, int64_t terms, const Eight (*in)[HALVES], Eight *out) {
    Eight a = {0}, b = {0};
    for (int64_t t = 0; t < terms; t++) {
        a += weights[t] * in[t][0];
        b += weights[t] * in[t][1];
    }
    out[0] = a;
    out[1] = b;
}


#define MAX_FINES 8
#define MAX_COARSES 16
#define MAX_BANDS (MAX_FINES + MAX_COARSES)

/* 64 fine sub-cells of a band, quarter by quarter: the same corner of all 16 coarse ones. */
INLINE void quarters(const uint8_t *fine, float *out) {
    uint16_t both[32]; /* two neighbours in 16 bits, the left one below */
    memcpy(both, fine, sizeof both);
    for (int row = 0; row < 4; row++)
        for (int lower = 0; lower < 2; lower++)
            for (int col = 0; col < 4; col++) {
                const uint16_t pair = both[(2 * row + lower) * 4 + col];
                out[2 * lower * BLOCK + row * 4 + col] = (float)(pair & 255);
                out[(2 * lower + 1) * BLOCK + row * 4 + col] = (float)(pair >> 8);
            }
}

INLINE void widened(const uint8_t *coarse, float *out) {
    for (int i = 0; i < BLOCK; i++) out[i] = (float)coarse[i];
}

/* Of the fine sub-cells around them, exact: quarters of whole numbers. */
INLINE void averaged(const Eight *fine, Eight *out) {
    for (int h = 0; h < HALVES; h++)
        out[h] = (fine[h] + fine[HALVES + h] + fine[2 * HALVES + h] + fine[3 * HALVES + h]) * 0.25f;
}

INLINE uint64_t valid_bits(const uint8_t *record, const Layout *layout) {
    uint64_t bits;
    memcpy(&bits, record + layout->valid, 8);
    return bits;
}

#endif
