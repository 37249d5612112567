/* What a simple prediction leaves of cells, in logarithms: see `onboard.downlink.estimate`. Whole numbers, exact. */
#include "kernels.h"

/* The four lines of a cell that are looked at, on their way from memory while another is at work: they were read long
   before, and lie far apart. */
INLINE void fetch(const uint16_t *cell, int64_t line_step) {
    for (int line = 7; line < CELL; line += 16)
        for (int y = line; y < line + 2; y++) {
            __builtin_prefetch(cell + y * line_step);
            __builtin_prefetch(cell + y * line_step + CELL - 1);
        }
}

/* For each cell and band the sum of log[|residual|] over two lines.

   dn: (bands, height, width), `band_step` and `line_step` items apart; rows, cols: of the cells; half: bands of which
   only every other pixel counts; log: (65536,); sums: (cells, bands), out. */
EXPORT CLONES void onboard_residual_logs(
    const uint16_t *dn, int64_t bands, int64_t band_step, int64_t line_step, const int64_t *rows, const int64_t *cols,
    int64_t cells, const uint8_t *half, const int32_t *log, int32_t *sums) {
    for (int64_t n = 0; n < cells; n++)
        for (int64_t band = 0; band < bands; band++) {
            const uint16_t *cell = dn + band * band_step + rows[n] * CELL * line_step + cols[n] * CELL;
            if (n + 1 < cells) fetch(dn + band * band_step + rows[n + 1] * CELL * line_step + cols[n + 1] * CELL, line_step);
            int32_t sum = 0;
            for (int line = 8; line < CELL; line += 16) {
                const uint16_t *above = cell + (line - 1) * line_step, *here = cell + line * line_step;
                uint16_t residual[CELL];
                for (int x = 1; x < CELL; x++) {
                    const int32_t left = here[x] - ((here[x - 1] + above[x]) >> 1);
                    residual[x] = (uint16_t)(left < 0 ? -left : left);
                }
                for (int x = half[band] ? 2 : 1; x < CELL; x += half[band] ? 2 : 1) sum += log[residual[x]];
            }
            sums[n * bands + band] = sum;
        }
}
