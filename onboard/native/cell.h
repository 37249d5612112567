/* Both looks at a cell: linear maps of them, hidden sub-cells, and the greatest of what is found.

   Weights come as folded in `onboard.change.seen`, so that products with the records' whole numbers are summed without
   rounding and their order does not matter; everything else is in the order of the NumPy code. */
#ifndef ONBOARD_CELL_H
#define ONBOARD_CELL_H

#include "layout.h"

#define ONE 256.0f
#define MAX_TOP 32

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

/* The `top` greatest of n values, rising. */
INLINE void greatest(const float *values, int n, int64_t top, float *out) {
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
