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

/* A linear map of both looks: on the 10 m bands of the past, then of the new look; on the others likewise, and on ONE. */
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

/* A row of weights on every fine sub-cell: in[term][quarter, half]; see `product`. */
INLINE void product4(const float *weights, int64_t terms, const Eight (*in)[QUARTERS * HALVES], Eight *out) {
    Eight a = {0}, b = {0}, c = {0}, d = {0}, e = {0}, f = {0}, g = {0}, h = {0};
    for (int64_t t = 0; t < terms; t++) {
        const float w = weights[t];
        a += w * in[t][0];
        b += w * in[t][1];
        c += w * in[t][2];
        d += w * in[t][3];
        e += w * in[t][4];
        f += w * in[t][5];
        g += w * in[t][6];
        h += w * in[t][7];
    }
    out[0] = a, out[1] = b, out[2] = c, out[3] = d, out[4] = e, out[5] = f, out[6] = g, out[7] = h;
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

INLINE float top_root_mean(const float *squares, int n, int64_t top) {
    float roots[MAX_TOP];
    greatest(squares, n, top, roots);
    for (int64_t i = 0; i < top; i++) roots[i] = sqrtf(roots[i]);
    return mean(roots, top);
}

/* Both looks at one cell. */
typedef struct {
    Eight fine[2 * MAX_FINES][QUARTERS * HALVES];
    Eight others[2 * MAX_COARSES + 1][HALVES];
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
    for (int h = 0; h < HALVES; h++) cell->others[2 * layout->coarses][h] = (Eight){0} + ONE;
    cell->hidden = ~(valid_bits(now, layout) & valid_bits(past, layout));
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
    const int64_t rows = usual->residual.rows, fines = 2 * layout->fines, others = 2 * layout->coarses + 1;
    Eight squares[QUARTERS * HALVES] = {{0}};
    const int shown = SUB - (cell->hidden ? __builtin_popcountll(cell->hidden) : 0);
    for (int64_t r = 0; r < rows; r++) {
        Eight found[QUARTERS * HALVES], common[HALVES];
        product4(usual->residual.fine + r * fines, fines, cell->fine, found);
        product(usual->residual.others + r * others, others, cell->others, common);
        Eight each[QUARTERS * HALVES];
        for (int k = 0; k < QUARTERS * HALVES; k++) each[k] = found[k] + common[k % HALVES]; /* exact, as every sum of them */
        hide(cell->hidden, 0, (float *)each);
        Eight total = ((each[0] + each[1]) + (each[2] + each[3])) + ((each[4] + each[5]) + (each[6] + each[7]));
        double sum = 0;
        for (int i = 0; i < 8; i++) sum += (double)total[i];
        const float off = (float)(usual->cell_mean * (sum / (shown > 1 ? shown : 1)));
        for (int h = 0; h < HALVES; h++) common[h] -= off;
        for (int k = 0; k < QUARTERS * HALVES; k++) {
            const Eight value = found[k] + common[k % HALVES];
            squares[k] += value * value;
        }
    }
    hide(cell->hidden, 0, (float *)squares);
    return top_root_mean((float *)squares, SUB, usual->top_fine);
}

INLINE float positive(float x) { return x > 0 ? x : 0; }

/* See `signed` and `Comparison._loss`. */
INLINE void signed_evidence(const Cell *cell, const Layout *layout, const Usual *usual, float *loss, float *water) {
    const int64_t f = layout->fines, c = layout->coarses, bands = f + c;
    Eight past[MAX_BANDS][HALVES], falls[MAX_FALLS][HALVES], squares[HALVES];
    for (int64_t b = 0; b < f; b++) averaged(cell->fine[b], past[b]);
    memcpy(past[f], cell->others[0], sizeof(Eight) * HALVES * c);
    for (int64_t k = 0; k < usual->falls; k++) {
        const int64_t place = usual->places[k];
        Eight now[HALVES];
        if (place < f) averaged(cell->fine[f + place], now);
        else memcpy(now, cell->others[c + place - f], sizeof now);
        for (int h = 0; h < HALVES; h++)
            falls[k][h] = (past[place][h] * usual->past[k] - now[h] * usual->now[k]) + usual->constant[k];
    }
    const Eight *near = falls[usual->near], *first = falls[usual->first_short], *last = falls[usual->last_short];
    const float near_median = usual->medians[usual->near];
    if (usual->loss) {
        Eight unusual[HALVES] = {{0}};
        for (int64_t r = 0; r < bands; r++) {
            Eight whitened[HALVES];
            product(usual->whiten + r * bands, bands, past, whitened);
            for (int h = 0; h < HALVES; h++) {
                const Eight value = whitened[h] + usual->whiten_offset[r];
                unusual[h] += value * value;
            }
        }
        for (int h = 0; h < HALVES; h++) {
            const Eight ratio = (near[h] - last[h]) - usual->near_short;
            squares[h] = positives(near[h] - near_median) * positives(ratio);
            squares[h] *= usual->damping / (unusual[h] + usual->rarity);
        }
        hide_coarse(cell->hidden, (float *)squares);
        *loss = top_root_mean((float *)squares, BLOCK, usual->top_coarse);
    }
    if (usual->water) {
        const Eight *green = falls[usual->green];
        const float green_median = usual->medians[usual->green];
        const float first_median = usual->medians[usual->first_short], last_median = usual->medians[usual->last_short];
        for (int h = 0; h < HALVES; h++) {
            const Eight shadow = positives(green[h] - green_median) * usual->shadow;
            const Eight a = first[h] - first_median, b = last[h] - last_median, least = choose(a < b, a, b) - shadow;
            squares[h] = positives((near[h] - near_median) - shadow) * positives(least);
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
    const uint8_t *now, const uint8_t *past, const Layout *layout, const Head *head, Eight odds[QUARTERS * HALVES]) {
    const int64_t fines = 2 * layout->fines, others = 2 * layout->coarses + 1;
    Cell cell;
    lay_out_both(now, past, layout, &cell);
    Eight sum[HALVES] = {{0}};
    for (int k = 0; k < QUARTERS * HALVES; k++) odds[k] = (Eight){0};
    for (int64_t u = 0; u < head->units.rows; u++) {
        Eight found[QUARTERS * HALVES], less[HALVES];
        product(head->units.others + u * others, others, cell.others, less);
        product4(head->units.fine + u * fines, fines, cell.fine, found);
        for (int k = 0; k < QUARTERS * HALVES; k++) {
            const Eight limit = less[k % HALVES];
            odds[k] += u < head->raising ? choose(found[k] > limit, found[k], limit)
                                         : choose(found[k] < limit, found[k], limit);
        }
        for (int h = 0; h < HALVES; h++) sum[h] += less[h];
    }
    for (int k = 0; k < QUARTERS * HALVES; k++) {
        const Eight value = odds[k] - (sum[k % HALVES] - head->bias), limit = (Eight){0} + LIMIT;
        odds[k] = choose(value > limit, limit, choose(value < -limit, -limit, value));
    }
    hide(cell.hidden, -LIMIT, (float *)odds);
}

/* odds: (cells, 64), out. */
EXPORT CLONES void onboard_log_odds(
    const uint8_t *now, const uint8_t *past, int64_t cells, const Layout *layout, const Head *head, float *odds) {
    for (int64_t n = 0; n < cells; n++) {
        Eight found[QUARTERS * HALVES];
        log_odds(now + n * layout->size, past + n * layout->size, layout, head, found);
        memcpy(odds + n * SUB, found, sizeof found);
    }
}

/* How far the mean of a cell's greatest log odds exceeds the floor; 0 where not asked for. */
EXPORT CLONES void onboard_event(
    const uint8_t *now, const uint8_t *past, int64_t cells, const Layout *layout, const Head *head,
    const uint8_t *asked, float *evidence) {
    for (int64_t n = 0; n < cells; n++) {
        evidence[n] = 0;
        if (!asked[n]) continue;
        Eight found[QUARTERS * HALVES];
        float top[MAX_TOP];
        log_odds(now + n * layout->size, past + n * layout->size, layout, head, found);
        greatest((float *)found, SUB, head->top, top);
        evidence[n] = positive(mean(top, head->top) - head->floor);
    }
}
