/* Which coarse sub-cells a cloud or its shadow may hide: the head of `onboard.change.cloud`. */
#include "layout.h"

/* weights: (units, B) on the 10 m bands and then the others; bias, out: (units,), a multiple of ROWS; found: bits of the
   16 sub-cells. */
EXPORT CLONES void onboard_cloud(
    const uint8_t *records, int64_t cells, const Layout *layout, int64_t units, const float *weights, const float *bias,
    const float *out, float limit, uint16_t *found) {
    const int64_t f = layout->fines, bands = f + layout->coarses;
    for (int64_t n = 0; n < cells; n++) {
        const uint8_t *record = records + n * layout->size;
        Some spectra[MAX_BANDS][PARTS], odds[PARTS] = {{0}};
        for (int64_t b = 0; b < f; b++) {
            Some fine[QUARTERS * PARTS];
            quarters(record + layout->fine + b * SUB, (float *)fine);
            averaged(fine, spectra[b]);
        }
        for (int64_t b = f; b < bands; b++) widened(record + layout->coarse + (b - f) * BLOCK, (float *)spectra[b]);
        for (int64_t u = 0; u < units; u += ROWS) {
            Some value[ROWS][PARTS];
            product(weights + u * bands, bands, spectra[0], PARTS, value);
            for (int r = 0; r < ROWS; r++)
                for (int k = 0; k < PARTS; k++) odds[k] += positives(value[r][k] + bias[u + r]) * out[u + r];
        }
        uint16_t bits = 0;
        for (int i = 0; i < BLOCK; i++) bits |= (uint16_t)((((float *)odds)[i] > limit) << i);
        found[n] = bits;
    }
}

EXPORT int64_t onboard_layout_size(void) { return sizeof(Layout); }
