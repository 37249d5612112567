/* What a look and a past look leave unexplained of each other: `onboard.change.pair`, `signed` and `event`, cell by cell.

   Weights come as folded there, so that products with the records' whole numbers are summed without rounding and their
   order does not matter; everything else is in the order of the NumPy code. */
#include <math.h>

#include "layout.h"

#define ONE 256.0f
#define MAX_RESIDUALS (2 * MAX_FINES)
#define MAX_FALLS 8
#define MAX_TOP 32
#define LIMIT 12.0f
#define ALL (~0ull)

/* A linear map of both looks: on the 10 m bands of the past, then of the new look; on the others likewise, and on ONE.
   `rows` is a multiple of ROWS; those that fill it up are zero and change nothing. */
typedef struct {
    int64_t rows;
    const float *fine, *others;
} Folded;

typedef struct {
    Folded residual;
    double cell_mean;
    int64_t top_fine, top_coarse, top_water;
    /* signed evidence */
    int64_t loss, water;          /* whether each is asked for */
    int64_t falls;                /* how many bands; places[i] among 10 m bands and then the others */
    const int64_t *places;
    const float *past, *now, *constant, *medians; /* (falls,) each */
    int64_t green, near, first_short, last_short; /* places among the falls; one short band alone is both */
    float near_short, shadow;
    /* damping where the past was unusual */
    const float *whiten, *whiten_offset; /* (B, B), (B,) */
    float rarity, damping;        /* damping / (unusual + rarity) */
} Usual;

typedef struct {
    Folded units;
    int64_t raising;              /* the first units are rectified upwards, the others downwards */
    float bias;
    float floor;
    int64_t top;
} Head;

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

INLINE float top_root_mean(const float *squares, int n, int64_t top) {
    float roots[MAX_TOP];
    greatest(squares, n, top, roots);
    for (int64_t i = 0; i < top; i++) roots[i] = sqrtf(roots[i]);
    return mean(roots, top);
}

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

INLINE void lay_out_both(const uint8_t *now, const uint8_t *past, const Layout *layout, Cell *cell) {
    lay_out(past, layout, 1, cell);
    lay_out(now, layout, 0, cell);
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

/* See `Comparison.residual`. */
INLINE float residual(const Cell *cell, const Layout *layout, const Usual *usual) {
    Some squares[QUARTERS * PARTS] = {{0}};
    const int shown = SUB - (cell->hidden ? __builtin_popcountll(cell->hidden) : 0);
    for (int64_t first = 0; first < usual->residual.rows; first += ROWS) {
        Some found[QUARTERS][ROWS][PARTS], common[ROWS][PARTS];
        mapped(&usual->residual, first, cell, layout, found, common);
        for (int r = 0; r < ROWS; r++) {
            Some each[QUARTERS * PARTS], sums[PARTS];
            for (int q = 0; q < QUARTERS; q++) /* exact, as every sum of them */
                for (int k = 0; k < PARTS; k++) each[q * PARTS + k] = found[q][r][k] + common[r][k];
            hide(cell->hidden, 0, (float *)each);
            for (int k = 0; k < PARTS; k++)
                sums[k] = (each[k] + each[PARTS + k]) + (each[2 * PARTS + k] + each[3 * PARTS + k]);
            double sum = 0;
            for (int i = 0; i < BLOCK; i++) sum += (double)((float *)sums)[i];
            const float off = (float)(usual->cell_mean * (sum / (shown > 1 ? shown : 1)));
            for (int k = 0; k < PARTS; k++) common[r][k] -= off;
            for (int q = 0; q < QUARTERS; q++)
                for (int k = 0; k < PARTS; k++) {
                    const Some value = found[q][r][k] + common[r][k];
                    squares[q * PARTS + k] += value * value;
                }
        }
    }
    hide(cell->hidden, 0, (float *)squares);
    return top_root_mean((float *)squares, SUB, usual->top_fine);
}

/* See `signed` and `Comparison._loss`. */
INLINE void signed_evidence(const Cell *cell, const Layout *layout, const Usual *usual, float *loss, float *water) {
    const int64_t f = layout->fines, c = layout->coarses, bands = f + c;
    Some past[MAX_BANDS][PARTS], falls[MAX_FALLS][PARTS], squares[PARTS];
    for (int64_t b = 0; b < f; b++) averaged(cell->fine[b], past[b]);
    memcpy(past[f], cell->others[0], sizeof(Some) * PARTS * c);
    for (int64_t n = 0; n < usual->falls; n++) {
        const int64_t place = usual->places[n];
        Some now[PARTS];
        if (place < f) averaged(cell->fine[f + place], now);
        else memcpy(now, cell->others[c + place - f], sizeof now);
        for (int k = 0; k < PARTS; k++)
            falls[n][k] = (past[place][k] * usual->past[n] - now[k] * usual->now[n]) + usual->constant[n];
    }
    const Some *near = falls[usual->near], *first = falls[usual->first_short], *last = falls[usual->last_short];
    const float near_median = usual->medians[usual->near];
    if (usual->loss) {
        Some unusual[PARTS] = {{0}};
        for (int64_t r = 0; r < bands; r += ROWS) {
            Some whitened[ROWS][PARTS];
            product(usual->whiten + r * bands, bands, past[0], PARTS, whitened);
            for (int row = 0; row < ROWS; row++)
                for (int k = 0; k < PARTS; k++) {
                    const Some value = whitened[row][k] + usual->whiten_offset[r + row];
                    unusual[k] += value * value;
                }
        }
        for (int k = 0; k < PARTS; k++) {
            const Some ratio = (near[k] - last[k]) - usual->near_short;
            squares[k] = positives(near[k] - near_median) * positives(ratio);
            squares[k] *= usual->damping / (unusual[k] + usual->rarity);
        }
        hide_coarse(cell->hidden, (float *)squares);
        *loss = top_root_mean((float *)squares, BLOCK, usual->top_coarse);
    }
    if (usual->water) {
        const Some *green = falls[usual->green];
        const float green_median = usual->medians[usual->green];
        const float first_median = usual->medians[usual->first_short], last_median = usual->medians[usual->last_short];
        for (int k = 0; k < PARTS; k++) {
            const Some shadow = positives(green[k] - green_median) * usual->shadow;
            const Some a = first[k] - first_median, b = last[k] - last_median, least = choose(a < b, a, b) - shadow;
            squares[k] = positives((near[k] - near_median) - shadow) * positives(least);
        }
        hide_coarse(cell->hidden, (float *)squares);
        *water = top_root_mean((float *)squares, BLOCK, usual->top_water);
    }
}

/* What is not explained, one number a cell and kind; those not asked for are left as they are. */
EXPORT CLONES void onboard_unexplained(
    const uint8_t *now, const uint8_t *past, int64_t cells, const Layout *layout, const Usual *usual, float *surprise,
    float *loss, float *water) {
    Cell cell;
    for (int64_t n = 0; n < cells; n++) {
        lay_out_both(now + n * layout->size, past + n * layout->size, layout, &cell);
        surprise[n] = residual(&cell, layout, usual);
        if (usual->loss || usual->water) signed_evidence(&cell, layout, usual, loss + n, water + n);
    }
}

/* See `EventTest.log_odds`: of every fine sub-cell, quarter by quarter; the least where it is hidden. */
INLINE void log_odds(
    const uint8_t *now, const uint8_t *past, const Layout *layout, const Head *head, Some odds[QUARTERS * PARTS]) {
    Cell cell;
    lay_out_both(now, past, layout, &cell);
    Some sum[PARTS] = {{0}};
    for (int k = 0; k < QUARTERS * PARTS; k++) odds[k] = (Some){0};
    for (int64_t first = 0; first < head->units.rows; first += ROWS) {
        Some found[QUARTERS][ROWS][PARTS], less[ROWS][PARTS];
        mapped(&head->units, first, &cell, layout, found, less);
        for (int r = 0; r < ROWS; r++)
            for (int k = 0; k < PARTS; k++) {
                const Some limit = less[r][k];
                for (int q = 0; q < QUARTERS; q++) {
                    const Some value = found[q][r][k];
                    const Which kept = first + r < head->raising ? value > limit : value < limit;
                    odds[q * PARTS + k] += choose(kept, value, limit);
                }
                sum[k] += limit;
            }
    }
    for (int k = 0; k < QUARTERS * PARTS; k++) {
        const Some value = odds[k] - (sum[k % PARTS] - head->bias), limit = (Some){0} + LIMIT;
        odds[k] = choose(value > limit, limit, choose(value < -limit, -limit, value));
    }
    hide(cell.hidden, -LIMIT, (float *)odds);
}

/* odds: (cells, 64), out. */
EXPORT CLONES void onboard_log_odds(
    const uint8_t *now, const uint8_t *past, int64_t cells, const Layout *layout, const Head *head, float *odds) {
    for (int64_t n = 0; n < cells; n++) {
        Some found[QUARTERS * PARTS];
        log_odds(now + n * layout->size, past + n * layout->size, layout, head, found);
        memcpy(odds + n * SUB, found, sizeof found);
    }
}

INLINE float positive(float x) { return x > 0 ? x : 0; }

/* How far the mean of a cell's greatest log odds exceeds the floor; 0 where not asked for. */
EXPORT CLONES void onboard_event(
    const uint8_t *now, const uint8_t *past, int64_t cells, const Layout *layout, const Head *head,
    const uint8_t *asked, float *evidence) {
    for (int64_t n = 0; n < cells; n++) {
        evidence[n] = 0;
        if (!asked[n]) continue;
        Some found[QUARTERS * PARTS];
        float top[MAX_TOP];
        log_odds(now + n * layout->size, past + n * layout->size, layout, head, found);
        greatest((float *)found, SUB, head->top, top);
        evidence[n] = positive(mean(top, head->top) - head->floor);
    }
}
