/* How well past means fit the new pass at every displacement: `onboard.change.registration`. Whole numbers held in double
   precision, so that every sum is exact. */

#include "kernels.h"

#define SIDE 17  /* displacements along an axis */
#define STEP 4   /* px of a fine sub-cell */
#define MAX_ACROSS 48 /* fine sub-cells along an axis, those that the search reaches included */

typedef double Four __attribute__((vector_size(32), may_alias));

INLINE double total(Four x) { return (x[0] + x[1]) + (x[2] + x[3]); }

/* pixels: (bands, height, width), the block and 8 px around it; reference: (bands, rows, cols) means of its sub-cells,
   less their mean, times their number; cols is a multiple of four. sums: (SIDE * SIDE, bands, 3), out: of reference
   times sums over 4 x 4 px, of these sums, and of their squares. */
EXPORT CLONES void onboard_correlate(
    const uint8_t *pixels, int64_t bands, int64_t height, int64_t width, const double *reference, int64_t rows,
    int64_t cols, double *sums) {
    for (int64_t band = 0; band < bands; band++) {
        /* sums over 4 x 4 px from each pixel, those a sub-cell apart beside each other */
        double boxes[STEP][STEP][MAX_ACROSS][MAX_ACROSS];
        const uint8_t *of = pixels + band * height * width;
        for (int64_t y = 0; y + STEP <= height; y++)
            for (int64_t x = 0; x + STEP <= width; x++) {
                int sum = 0;
                for (int i = 0; i < STEP; i++)
                    for (int k = 0; k < STEP; k++) sum += of[(y + i) * width + x + k];
                boxes[y % STEP][x % STEP][y / STEP][x / STEP] = sum;
            }
        for (int dy = 0; dy < SIDE; dy++)
            for (int dx = 0; dx < SIDE; dx++) {
                Four dot = {0}, sum = {0}, square = {0};
                for (int64_t row = 0; row < rows; row++) {
                    const double *line = boxes[dy % STEP][dx % STEP][dy / STEP + row] + dx / STEP;
                    const double *wanted = reference + (band * rows + row) * cols;
                    for (int64_t col = 0; col < cols; col += 4) {
                        Four now, then;
                        memcpy(&now, line + col, sizeof now);
                        memcpy(&then, wanted + col, sizeof then);
                        dot += now * then;
                        sum += now;
                        square += now * now;
                    }
                }
                double *out = sums + ((dy * SIDE + dx) * bands + band) * 3;
                out[0] = total(dot), out[1] = total(sum), out[2] = total(square);
            }
    }
}
