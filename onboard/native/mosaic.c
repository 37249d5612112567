/* Which bands are 20 m ones brought to 10 m, and all of them as one image: `onboard.downlink.mosaic`. */
#include "kernels.h"

/* For each band 1 where all 2 x 2 blocks are constant, else 0; most that are not show it in their first lines.

   dn: (bands, height, width), `band_step` and `line_step` items apart; height and width are even */
EXPORT CLONES void onboard_halved(
    const uint16_t *dn, int64_t bands, int64_t height, int64_t width, int64_t band_step, int64_t line_step,
    uint8_t *halved) {
    for (int64_t band = 0; band < bands; band++) {
        uint16_t differs = 0;
        for (int64_t y = 0; y < height && !differs; y += 2) {
            const uint16_t *upper = dn + band * band_step + y * line_step, *lower = upper + line_step;
            for (int64_t x = 0; x < width; x += 2)
                differs |= (upper[x] ^ upper[x + 1]) | (upper[x] ^ lower[x]) | (upper[x] ^ lower[x + 1]);
        }
        halved[band] = !differs;
    }
}

INLINE uint8_t *put(uint8_t *out, uint16_t value) {
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

/* Every other pixel of every other line, `gap` bytes left out after each line; the mean of them. */
INLINE uint16_t put_half(const uint16_t *dn, int64_t height, int64_t width, int64_t line_step, int64_t gap, uint8_t *out) {
    uint64_t sum = 0;
    for (int64_t y = 0; y < height; y += 2, out += gap)
        for (int64_t x = 0; x < width; x += 2) {
            sum += dn[y * line_step + x];
            out = put(out, dn[y * line_step + x]);
        }
    return (uint16_t)(sum / (uint64_t)(height / 2 * (width / 2)));
}

/* The planes of a block one below the other, those at half resolution two beside each other, big-endian.

   dn, bands, height, width, band_step, line_step: as above
   half: (bands), 1 for those that are at half resolution
   out: (lines, width, 2 bytes); where their number is odd the gap beside the last one holds its mean */
EXPORT CLONES void onboard_lay_out(
    const uint16_t *dn, int64_t bands, int64_t height, int64_t width, int64_t band_step, int64_t line_step,
    const uint8_t *half, uint8_t *out) {
    for (int64_t band = 0; band < bands; band++)
        if (!half[band])
            for (int64_t y = 0; y < height; y++)
                for (int64_t x = 0; x < width; x++) out = put(out, dn[band * band_step + y * line_step + x]);
    const int64_t pair = height / 2 * width * 2; /* bytes of two at half resolution, `width` of each of their lines */
    int64_t placed = 0;
    uint16_t mean = 0;
    for (int64_t band = 0; band < bands; band++)
        if (half[band]) {
            uint8_t *to = out + placed / 2 * pair + placed % 2 * width;
            mean = put_half(dn + band * band_step, height, width, line_step, width, to);
            placed++;
        }
    if (placed % 2)
        for (int64_t y = 0; y < height / 2; y++)
            for (int64_t x = 0; x < width / 2; x++)
                put(out + placed / 2 * pair + (2 * y + 1) * width + 2 * x, mean);
}
