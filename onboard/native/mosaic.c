/* Which bands are 20 m ones brought to 10 m, and all of them as one image: `onboard.downlink.mosaic`. */
#include "kernels.h"

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TO_BIG_ENDIAN(value) ((uint16_t)((value) >> 8 | (value) << 8))
#else
#define TO_BIG_ENDIAN(value) (value)
#endif

/* Two pixels beside each other, read as one number: with the pairs of a line one after the other no register has to be
   sorted apart. */
INLINE uint32_t pair(const uint16_t *dn) {
    uint32_t both;
    memcpy(&both, dn, sizeof both);
    return both;
}

/* For each band 1 where all 2 x 2 blocks are constant, else 0; most that are not show it in their first lines.

   dn: (bands, height, width), `band_step` and `line_step` items apart; height and width are even */
INLINE void mark_halved(
    const uint16_t *dn, int64_t bands, int64_t height, int64_t width, int64_t band_step, int64_t line_step,
    uint8_t *halved) {
    for (int64_t band = 0; band < bands; band++) {
        uint32_t differs = 0;
        for (int64_t y = 0; y < height && !differs; y += 2) {
            const uint16_t *upper = dn + band * band_step + y * line_step, *lower = upper + line_step;
            for (int64_t x = 0; x < width; x += 2) {
                const uint32_t above = pair(upper + x);
                differs |= (above ^ pair(lower + x)) | ((above ^ above >> 16) & 0xFFFF);
            }
        }
        halved[band] = !differs;
    }
}

EXPORT CLONES void onboard_halved(
    const uint16_t *dn, int64_t bands, int64_t height, int64_t width, int64_t band_step, int64_t line_step,
    uint8_t *halved) {
    mark_halved(dn, bands, height, width, band_step, line_step, halved);
}

INLINE void put(uint8_t *out, uint16_t value) {
    const uint16_t swapped = TO_BIG_ENDIAN(value);
    memcpy(out, &swapped, 2);
}

/* Every other pixel of every other line, `gap` bytes left out after each line; the mean of them. */
INLINE uint16_t put_half(const uint16_t *dn, int64_t height, int64_t width, int64_t line_step, int64_t gap, uint8_t *out) {
    uint64_t sum = 0;
    for (int64_t y = 0; y < height; y += 2, out += width + gap) {
        uint32_t line = 0; /* of 65,536 pixels at most */
        for (int64_t x = 0; x < width / 2; x++) {
            const uint16_t value = dn[y * line_step + 2 * x];
            line += value;
            put(out + 2 * x, value);
        }
        sum += line;
    }
    return (uint16_t)(sum / (uint64_t)(height / 2 * (width / 2)));
}

/* The planes of a block one below the other, those at half resolution two beside each other, big-endian.

   dn, bands, height, width, band_step, line_step: as above
   half: (bands), 1 for those that are at half resolution
   out: (lines, width, 2 bytes); where their number is odd the gap beside the last one holds its mean */
INLINE void lay_out(
    const uint16_t *dn, int64_t bands, int64_t height, int64_t width, int64_t band_step, int64_t line_step,
    const uint8_t *half, uint8_t *out) {
    for (int64_t band = 0; band < bands; band++)
        if (!half[band])
            for (int64_t y = 0; y < height; y++, out += 2 * width)
                for (int64_t x = 0; x < width; x++) put(out + 2 * x, dn[band * band_step + y * line_step + x]);
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

EXPORT CLONES void onboard_lay_out(
    const uint16_t *dn, int64_t bands, int64_t height, int64_t width, int64_t band_step, int64_t line_step,
    const uint8_t *half, uint8_t *out) {
    lay_out(dn, bands, height, width, band_step, line_step, half, out);
}

/* The same of single cells.

   rows, cols: (n), places of the cells in dn
   halved: (n, bands)
   out: (n, bands, CELL, CELL, 2 bytes), of which the first bytes of each cell are used */
EXPORT CLONES void onboard_draft(
    const uint16_t *dn, int64_t bands, int64_t band_step, int64_t line_step, const int64_t *rows, const int64_t *cols,
    int64_t n, uint8_t *halved, uint8_t *out) {
    for (int64_t i = 0; i < n; i++, halved += bands, out += bands * CELL * CELL * 2) {
        const uint16_t *cell = dn + rows[i] * CELL * line_step + cols[i] * CELL;
        mark_halved(cell, bands, CELL, CELL, band_step, line_step, halved);
        lay_out(cell, bands, CELL, CELL, band_step, line_step, halved, out);
    }
}
