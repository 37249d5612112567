/* How often each DN occurs: `onboard.sense.prescan`. */
#include "kernels.h"

/* dn: height lines of width px, `line_step` items apart; valid: (height, width), or NULL for all; counts: (65536,), added
   to. */
EXPORT void onboard_histogram(
    const uint16_t *dn, int64_t height, int64_t width, int64_t line_step, const uint8_t *valid, int64_t *counts) {
    for (int64_t y = 0; y < height; y++) {
        const uint16_t *line = dn + y * line_step;
        if (valid) {
            for (int64_t x = 0; x < width; x++) counts[line[x]] += valid[y * width + x];
        } else {
            for (int64_t x = 0; x < width; x++) counts[line[x]]++;
        }
    }
}
