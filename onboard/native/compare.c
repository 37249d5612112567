/* What a new look and those before it leave unexplained of each other: `onboard.change.pair`, `signed`, `event` and
   `distance`, cell by cell. */
#include "distance.h"
#include "event.h"

#define MAX_FALLS 8

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

INLINE float top_root_mean(const float *squares, int n, int64_t top) {
    float roots[MAX_TOP] = {0};
    greatest(squares, n, top, roots);
    for (int64_t i = 0; i < top; i++) roots[i] = sqrtf(roots[i]);
    return mean(roots, top);
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
            for (int q = 0; q < QUARTERS; q++) /* exact */
                for (int k = 0; k < PARTS; k++) each[q * PARTS + k] = found[q][r][k] + common[r][k];
            hide(cell->hidden, 0, (float *)each);
            double sum = 0;
            for (int half = 0; half < QUARTERS; half += 2) { /* more than two at a time might be rounded */
                for (int k = 0; k < PARTS; k++) sums[k] = each[half * PARTS + k] + each[(half + 1) * PARTS + k];
                for (int i = 0; i < BLOCK; i++) sum += (double)((float *)sums)[i];
            }
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

/* A past look at all cells, what is usual between it and the new one, and where goes what is found: one number a cell. */
typedef struct {
    const uint8_t *past;
    const uint8_t *chosen;        /* (cells): whether a cell counts this look; NULL: it is not asked for events */
    const Usual *usual;
    const Head *head;             /* NULL: it never shows an event */
    float *residual, *loss, *water; /* those that are not asked for are left as they are */
    float *distance;              /* of the latents; NULL: is not asked for */
    float *evidence;              /* of an event */
} Against;

/* Looks come the newest first: what shows no event against one is not asked for one against older ones. */
EXPORT CLONES void onboard_unexplained(
    const uint8_t *records, int64_t cells, const Layout *layout, const Against *looks, int64_t count, float scale) {
    Cell cell;
    for (int64_t n = 0; n < cells; n++) {
        const uint8_t *now = records + n * layout->size;
        int news = 1;
        lay_out(now, layout, 0, &cell);
        for (const Against *look = looks; look < looks + count; look++) {
            const uint8_t *past = look->past + n * layout->size;
            const Usual *usual = look->usual;
            lay_out_against(now, past, layout, &cell);
            look->residual[n] = residual(&cell, layout, usual);
            if (usual->loss || usual->water) signed_evidence(&cell, layout, usual, look->loss + n, look->water + n);
            if (look->distance)
                look->distance[n] = latent_distance(now + layout->latent, past + layout->latent, layout->latents, scale);
            if (look->chosen && look->chosen[n]) {
                look->evidence[n] = news && look->head ? event_evidence(&cell, layout, look->head) : 0;
                news = look->evidence[n] > 0;
            }
        }
    }
}

EXPORT int64_t onboard_against_size(void) { return sizeof(Against); }
EXPORT int64_t onboard_usual_size(void) { return sizeof(Usual); }
