/* How likely a sub-cell was changed by an event: `onboard.change.event`, cell by cell. */
#include "cell.h"

#define LIMIT 12.0f

typedef struct {
    Folded units;
    int64_t raising;              /* the first units are rectified upwards, the others downwards */
    float bias;
    float floor;
    int64_t top;
} Head;

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

EXPORT int64_t onboard_head_size(void) { return sizeof(Head); }
