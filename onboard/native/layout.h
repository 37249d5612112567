/* How a record lies in memory, and its sub-cells as vectors of numbers. See `onboard.change.record` and `.seen`. */
#ifndef ONBOARD_LAYOUT_H
#define ONBOARD_LAYOUT_H

#include "kernels.h"

typedef struct {
    int64_t size;            /* bytes of a record */
    int64_t latent, latents; /* offset, and how many */
    int64_t fine, fines;     /* means of the 10 m bands, 64 each */
    int64_t coarse, coarses; /* of the others, 16 each */
    int64_t valid;           /* bits of the fine sub-cells, little-endian */
    int64_t format;          /* a byte, never 0 in a sealed record */
} Layout;

#define MAX_FINES 8
#define MAX_COARSES 16
#define MAX_BANDS (MAX_FINES + MAX_COARSES)

/* Numbers that go through a processor at once; PARTS of them are the 16 coarse sub-cells, or a quarter of the fine ones.
   An x86 without AVX takes each in two. */
#if defined(__x86_64__)
#define LANES 8
#else
#define LANES 4
#endif
#define PARTS (BLOCK / LANES)
typedef float Some __attribute__((vector_size(4 * LANES), may_alias));
typedef int32_t Which __attribute__((vector_size(4 * LANES), may_alias));

/* Of each two numbers the first where `first` is all ones, the second where it is zero. */
INLINE Some choose(Which first, Some a, Some b) { return (Some)((first & (Which)a) | (~first & (Which)b)); }

INLINE Some positives(Some x) { return choose(x > 0, x, (Some){0}); }

/* sum + weight x, where the sum is known not to be rounded: then neither is this, fused or not. */
#if defined(__aarch64__)
#include <arm_neon.h>
INLINE Some added(Some sum, float weight, Some x) {
    return (Some)vfmaq_n_f32((float32x4_t)sum, (float32x4_t)x, weight);
}
#else
INLINE Some added(Some sum, float weight, Some x) { return sum + weight * x; }
#endif

/* Rows of weights that are taken together, so that what they are multiplied with is loaded once. */
#define ROWS 4

/* ROWS rows of (rows, terms) weights times in[term], each `step` apart: out[row]. */
INLINE void product(const float *weights, int64_t terms, const Some *in, int64_t step, Some out[ROWS][PARTS]) {
    Some sums[ROWS][PARTS] = {{{0}}};
    for (int64_t t = 0; t < terms; t++) {
        _Pragma("GCC unroll 4")
        for (int row = 0; row < ROWS; row++) {
            _Pragma("GCC unroll 4")
            for (int k = 0; k < PARTS; k++) sums[row][k] = added(sums[row][k], weights[row * terms + t], in[t * step + k]);
        }
    }
    memcpy(out, sums, sizeof sums);
}

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
INLINE void averaged(const Some *fine, Some *out) {
    for (int k = 0; k < PARTS; k++)
        out[k] = (fine[k] + fine[PARTS + k] + fine[2 * PARTS + k] + fine[3 * PARTS + k]) * 0.25f;
}

INLINE uint64_t valid_bits(const uint8_t *record, const Layout *layout) {
    uint64_t bits;
    memcpy(&bits, record + layout->valid, 8);
    return bits;
}

#endif
