/* The probability of change of cells among their neighbours: `onboard.downlink.context`. */
#include "kernels.h"

#define REACH 2
#define TAPS (2 * REACH + 1)

static const float WEIGHTS[TAPS] = {1 / 16.0f, 4 / 16.0f, 6 / 16.0f, 4 / 16.0f, 1 / 16.0f};

/* Whether a place is on the grid and its score is known; what that score is, else 0. */
INLINE float known(const float *score, int64_t rows, int64_t cols, int64_t row, int64_t col, float *own) {
    *own = 0;
    if (row < 0 || row >= rows || col < 0 || col >= cols || score[row * cols + col] != score[row * cols + col]) return 0;
    *own = score[row * cols + col];
    return 1;
}

/* Cells (height, width) from (top, left) on of a grid of scores (rows, cols), NaN where unknown. First along columns,
   then along rows; what lies outside counts nothing.

   out: (height, width)
   room: (2, width + 2 * REACH), for sums along columns */
EXPORT CLONES void onboard_in_context(
    const float *score, int64_t rows, int64_t cols, int64_t top, int64_t left, int64_t height, int64_t width,
    float *room, float *out) {
    const int64_t wide = width + 2 * REACH;
    float *weights = room, *totals = room + wide;
    for (int64_t y = 0; y < height; y++) {
        for (int64_t x = 0; x < wide; x++) {
            float weight = 0, total = 0, own;
            for (int tap = 0; tap < TAPS; tap++) {
                weight += WEIGHTS[tap] * known(score, rows, cols, top + y + tap - REACH, left + x - REACH, &own);
                total += WEIGHTS[tap] * own;
            }
            weights[x] = weight;
            totals[x] = total;
        }
        for (int64_t x = 0; x < width; x++) {
            float weight = 0, total = 0, own;
            for (int tap = 0; tap < TAPS; tap++) {
                weight += WEIGHTS[tap] * weights[x + tap];
                total += WEIGHTS[tap] * totals[x + tap];
            }
            known(score, rows, cols, top + y, left + x, &own);
            const float around = weight > 0 ? total / weight : 0;
            out[y * width + x] = (2 * own + around) / 3;
        }
    }
}
