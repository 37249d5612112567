/* Log odds of an event: `onboard.change.event`, cell by cell. */
#include "event.h"

/* odds: (cells, 64), out. */
EXPORT CLONES void onboard_log_odds(
    const uint8_t *now, const uint8_t *past, int64_t cells, const Layout *layout, const Head *head, float *odds) {
    for (int64_t n = 0; n < cells; n++) {
        Cell cell;
        Some found[QUARTERS * PARTS];
        lay_out(now + n * layout->size, layout, 0, &cell);
        lay_out_against(now + n * layout->size, past + n * layout->size, layout, &cell);
        log_odds(&cell, layout, head, found);
        memcpy(odds + n * SUB, found, sizeof found);
    }
}

EXPORT int64_t onboard_head_size(void) { return sizeof(Head); }
