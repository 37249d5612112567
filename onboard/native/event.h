/* How likely a sub-cell was changed by an event: the head of `onboard.change.event`, of one cell. */
#ifndef ONBOARD_EVENT_H
#define ONBOARD_EVENT_H

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
INLINE void log_odds(const Cell *cell, const Layout *layout, const Head *head, Some odds[QUARTERS * PARTS]) {
    Some sum[PARTS] = {{0}};
    for (int k = 0; k < QUARTERS * PARTS; k++) odds[k] = (Some){0};
    for (int64_t first = 0; first < head->units.rows; first += ROWS) {
        Some found[QUARTERS][ROWS][PARTS], less[ROWS][PARTS];
        mapped(&head->units, first, cell, layout, found, less);
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
    hide(cell->hidden, -LIMIT, (float *)odds);
}

INLINE float positive(float x) { return x > 0 ? x : 0; }

/* How far the mean of the greatest log odds exceeds the floor. */
INLINE float event_evidence(const Cell *cell, const Layout *layout, const Head *head) {
    Some odds[QUARTERS * PARTS];
    float top[MAX_TOP] = {0};
    log_odds(cell, layout, head, odds);
    greatest((float *)odds, SUB, head->top, top);
    return positive(mean(top, head->top) - head->floor);
}

#endif
