/* Both looks at a cell: linear maps of them, hidden sub-cells, and the greatest of what is found.

   Weights come as folded in `onboard.change.seen`, so that products with the records' whole numbers are summed without
   rounding and their order does not matter; everything else is in the order of the NumPy code. */
#ifndef ONBOARD_CELL_H
#define ONBOARD_CELL_H

#include "layout.h"

#define ONE 256.0f
#define MAX_TOP 32
#define KEPT 8 /* greatest of so many are found without branches; it is written for eight */

/* A linear map of both looks: on the 10 m bands of the past, then of the new look; on the others likewise, and on ONE.
   `rows` is a multiple of ROWS; those that fill it up are zero and change nothing. */
typedef struct {
    int64_t rows;
    const float *fine, *others;
} Folded;

/* Both looks at one cell. */
typedef struct {
    Some fine[2 * MAX_FINES][QUARTERS * PARTS];
    Some others[2 * MAX_COARSES + 1][PARTS];
    uint64_t hidden; /* bits of the fine sub-cells that are not valid in both */
} Cell;

INLINE void lay_out(const uint8_t *record, const Layout *layout, int past, Cell *cell) {
    const int64_t f = past ? 0 : layout->fines, c = past ? 0 : layout->coarses;
    for (int64_t b = 0; b < layout->fines; b++) quarters(record + layout->fine + b * SUB, (float *)cell->fine[f + b]);
    for (int64_t b = 0; b < layout->coarses; b++) widened(record + layout->coarse + b * BLOCK, (float *)cell->others[c + b]);
}

/* A past look beside the new one, which is laid out already. */
INLINE void lay_out_against(const uint8_t *now, const uint8_t *past, const Layout *layout, Cell *cell) {
    lay_out(past, layout, 1, cell);
    for (int k = 0; k < PARTS; k++) cell->others[2 * layout->coarses][k] = (Some){0} + ONE;
    cell->hidden = ~(valid_bits(now, layout) & valid_bits(past, layout));
}

/* ROWS rows of a map from `first` on: what the 10 m bands give, and what is common to all quarters. */
INLINE void mapped(
    const Folded *map, int64_t first, const Cell *cell, const Layout *layout, Some fine[QUARTERS][ROWS][PARTS],
    Some common[ROWS][PARTS]) {
    const int64_t fines = 2 * layout->fines, others = 2 * layout->coarses + 1;
    product(map->others + first * others, others, cell->others[0], PARTS, common);
    for (int q = 0; q < QUARTERS; q++)
        product(map->fine + first * fines, fines, cell->fine[0] + q * PARTS, QUARTERS * PARTS, fine[q]);
}

/* Whether the fine sub-cell in a quarter of a coarse one is hidden. */
INLINE int is_hidden(uint64_t hidden, int quarter, int block) {
    const int row = 2 * (block / 4) + quarter / 2, col = 2 * (block % 4) + quarter % 2;
    return hidden >> (row * 8 + col) & 1;
}

/* `value` in the place of hidden sub-cells, (64,) quarter by quarter. */
INLINE void hide(uint64_t hidden, float value, float *values) {
    if (hidden)
        for (int i = 0; i < SUB; i++)
            if (is_hidden(hidden, i / BLOCK, i % BLOCK)) values[i] = value;
}

/* Zero in coarse sub-cells, (16,), that are not wholly seen. */
INLINE void hide_coarse(uint64_t hidden, float *values) {
    if (hidden)
        for (int i = 0; i < SUB; i++)
            if (is_hidden(hidden, i / BLOCK, i % BLOCK)) values[i % BLOCK] = 0;
}

/* Of two vectors lane by lane the greater number first. */
INLINE void in_order(Some *a, Some *b) {
    const Which first = *a > *b;
    const Some greater = choose(first, *a, *b);
    *b = choose(first, *b, *a);
    *a = greater;
}

INLINE Some greater_of(Some a, Some b) { return choose(a > b, a, b); }

/* Eight vectors lane by lane, falling: a network of nineteen comparisons (D. E. Knuth, The Art of Computer Programming 3,
   5.3.4). */
INLINE void sorted(Some v[KEPT]) {
    static const uint8_t pairs[19][2] = {{0, 1}, {2, 3}, {4, 5}, {6, 7}, {0, 2}, {1, 3}, {4, 6}, {5, 7}, {1, 2}, {5, 6},
                                         {0, 4}, {3, 7}, {1, 5}, {2, 6}, {1, 4}, {3, 6}, {2, 4}, {3, 5}, {3, 4}};
    _Pragma("GCC unroll 19")
    for (int i = 0; i < 19; i++) in_order(&v[pairs[i][0]], &v[pairs[i][1]]);
}

/* Of two falling sequences of eight, lane by lane, the eight greatest, falling: the greater of one's i-th and the other's
   i-th from the end are those; they rise and fall, and three rounds of comparisons order them. */
INLINE void merged(Some v[KEPT], const Some others[KEPT]) {
    for (int i = 0; i < KEPT; i++) v[i] = greater_of(v[i], others[KEPT - 1 - i]);
    _Pragma("GCC unroll 3")
    for (int apart = KEPT / 2; apart; apart /= 2)
        _Pragma("GCC unroll 8")
        for (int i = 0; i < KEPT; i++)
            if (!(i & apart)) in_order(&v[i], &v[i + apart]);
}

/* The `top` greatest of n values, a multiple of LANES, rising; any number of them. */
INLINE void many_greatest(const float *values, int n, int64_t top, float *out) {
    int64_t held = 0;
    for (int i = 0; i < n; i++) {
        const float v = values[i];
        int64_t at;
        if (held < top) at = held++;
        else if (v > out[0]) {
            for (at = 0; at + 1 < top && out[at + 1] < v; at++) out[at] = out[at + 1];
            out[at] = v;
            continue;
        } else continue;
        for (; at > 0 && out[at - 1] > v; at--) out[at] = out[at - 1];
        out[at] = v;
    }
}

/* The same: without a branch that depends on the values where there are no more than KEPT. */
INLINE void greatest(const float *values, int n, int64_t top, float *out) {
    if (top > KEPT) {
        many_greatest(values, n, top, out);
        return;
    }
    Some found[KEPT], others[KEPT];
    for (int first = 0; first < n; first += KEPT * LANES) {
        for (int i = 0; i < KEPT; i++) {
            if (first + i * LANES < n) memcpy(&others[i], values + first + i * LANES, sizeof(Some));
            else others[i] = (Some){0} - __builtin_inff();
        }
        sorted(others);
        if (first) merged(found, others);
        else memcpy(found, others, sizeof found);
    }
    _Pragma("GCC unroll 3")
    for (int apart = 1; apart < LANES; apart *= 2) {
        for (int i = 0; i < KEPT; i++)
            _Pragma("GCC unroll 8")
            for (int lane = 0; lane < LANES; lane++) others[i][lane] = found[i][lane ^ apart];
        merged(found, others);
    }
    for (int64_t i = 0; i < top; i++) out[i] = found[top - 1 - i][0];
}

/* Mean in the order of NumPy's sums over a last axis of fewer than 128. */
INLINE float mean(const float *values, int64_t n) {
    float sum;
    int64_t i = 0;
    if (n < 8) {
        sum = values[0];
        for (i = 1; i < n; i++) sum += values[i];
    } else {
        float r[8];
        memcpy(r, values, sizeof r);
        for (i = 8; i < n - n % 8; i += 8)
            for (int k = 0; k < 8; k++) r[k] += values[i + k];
        sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; i < n; i++) sum += values[i];
    }
    return sum / (float)n;
}

#endif
