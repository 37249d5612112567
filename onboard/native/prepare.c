/* What of a look precedes the encoder: DN -> valid pixels, network input by table, tiles, means over sub-cells. */
#include "prepare.h"

#define EVEN 0x00FF00FF00FF00FFull

/* Rounded means over px x px (4 or 8) of a tile: n * n of them, n = 32 / px. Eight pixels are added at a time: a 64-bit
   word holds four sums of two neighbours each, which cannot overflow into each other (8 lines x 2 x 255 < 65536). */
INLINE void means(const uint8_t *tile, int px, uint8_t *out) {
    const int n = CELL / px, shift = px == 4 ? 4 : 6, half = px * px / 2;
    for (int row = 0; row < n; row++) {
        uint64_t sums[4] = {0};
        uint16_t pair[16];
        for (int y = row * px; y < (row + 1) * px; y++) {
            uint64_t words[4];
            memcpy(words, tile + y * CELL, CELL);
            for (int w = 0; w < 4; w++) sums[w] += (words[w] & EVEN) + (words[w] >> 8 & EVEN);
        }
        memcpy(pair, sums, sizeof pair);
        for (int i = 0; i < n; i++) {
            unsigned sum = half;
            for (int k = 0; k < px / 2; k++) sum += pair[i * (px / 2) + k];
            out[row * n + i] = (uint8_t)(sum >> shift);
        }
    }
}

/* The greatest DN - 1 of a line: from SATURATED - 1 on there is a pixel without data, or a saturated one. */
INLINE uint16_t worst(const uint16_t *dn, int64_t width, uint16_t most) {
    for (int64_t x = 0; x < width; x++) {
        const uint16_t less = (uint16_t)(dn[x] - 1);
        most = less > most ? less : most;
    }
    return most;
}

/* How many of n flags, 0 or 1, are 1; n is a multiple of 8. */
INLINE int64_t count(const uint8_t *flags, int64_t n) {
    uint64_t all = ~0ull, word;
    for (int64_t i = 0; i < n; i += 8) {
        memcpy(&word, flags + i, 8);
        all &= word;
    }
    if (all == 0x0101010101010101ull) return n;
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += flags[i];
    return sum;
}

/* valid[x] of a line: kept where the band has data and is not saturated. */
INLINE void mark(const uint16_t *dn, int64_t width, uint8_t *valid) {
    for (int64_t x = 0; x < width; x++) valid[x] &= (uint8_t)((dn[x] != NODATA) & (dn[x] != SATURATED));
}

/* The greatest DN - 1 of a row of cells; line after line, so that they are in the cache when they are looked up tile by
   tile. */
INLINE uint16_t worst_of_row(const Chunk *chunk, int64_t top, int64_t band) {
    uint16_t most = 0;
    for (int64_t y = 0; y < CELL; y++)
        most = worst(chunk->dn + band * chunk->band_step + (top + y) * chunk->line_step, chunk->width, most);
    return most;
}

/* A tile of a band, and its means; `valid` as `wide_row`, of the tile's first pixel on. */
INLINE void tile_of(const Chunk *chunk, int64_t top, int64_t col, int64_t band, const uint8_t *valid, uint8_t *to) {
    const int64_t step = chunk->line_step, width = chunk->width; /* what is written could be anything but these */
    const uint16_t *from = chunk->dn + band * chunk->band_step + top * step + col * CELL;
    const uint8_t *table = chunk->tables + band * 65536;
    for (int y = 0; y < CELL; y++)
        for (int x = 0; x < CELL; x += 8) eight(from + y * step + x, table, to + y * CELL + x);
    if (valid)
        for (int y = 0; y < CELL; y++)
            for (int x = 0; x < CELL; x++)
                if (!valid[y * width + col * CELL + x]) to[y * CELL + x] = chunk->zero;
    uint8_t *out = means_of(chunk, top / CELL * (width / CELL) + col, band);
    if (chunk->px[band] == 4) means(to, 4, out);
    else means(to, 8, out);
}

/* `wide_row` for any processor; the greatest DN - 1 only where all pixels are taken. */
INLINE uint16_t any_row(const Chunk *chunk, int64_t top, const uint8_t *valid) {
    const int64_t width = chunk->width, cols = width / CELL, bands = chunk->bands, cell = top / CELL * cols;
    uint8_t beside[MAX_PLANES * TILE];
    uint16_t most = 0;
    for (int64_t band = 0; band < bands; band++) {
        for (int64_t y = top; y < top + CELL && !valid; y++) /* so that they are in the cache for what follows */
            most = worst(chunk->dn + band * chunk->band_step + y * chunk->line_step, width, most);
        for (int64_t col = 0; col < cols && !chunk->channels; col++)
            tile_of(chunk, top, col, band, valid, chunk->tiles + ((cell + col) * bands + band) * TILE);
    }
    for (int64_t col = 0; col < cols && chunk->channels; col++) {
        for (int64_t band = 0; band < bands; band++) tile_of(chunk, top, col, band, valid, beside + band * TILE);
        turned(beside, bands, chunk->channels, chunk->tiles + (cell + col) * TILE * chunk->channels);
    }
    return most;
}

INLINE uint16_t prepare_row(const Chunk *chunk, int64_t top, const uint8_t *valid, int wide) {
    return wide ? wide_row(chunk, top, valid) : any_row(chunk, top, valid);
}

/* Prepare a chunk of `height` lines, whole cells.

   valid: (height, width), in: the product's own usable pixels or all 1; out: those with data in every band
   wide: 0 keeps from wide registers, for comparisons

   Returns the number of pixels that are not valid. */
EXPORT CLONES int64_t onboard_prepare(const Chunk *chunk, int64_t height, uint8_t *valid, int64_t wide) {
    const int64_t width = chunk->width;
    int64_t hidden = 0;
    wide = wide && is_wide();
    for (int64_t top = 0; top < height; top += CELL) { /* a row of cells stays in the cache for what follows */
        uint8_t *rows = valid + top * width;
        /* as a rule every pixel is valid, and known to be once all have been looked up */
        if (count(rows, CELL * width) == CELL * width && prepare_row(chunk, top, NULL, wide) < SATURATED - 1) continue;
        for (int64_t band = 0; band < chunk->bands; band++)
            for (int64_t y = 0; y < CELL; y++)
                mark(chunk->dn + band * chunk->band_step + (top + y) * chunk->line_step, width, rows + y * width);
        hidden += CELL * width - count(rows, CELL * width);
        prepare_row(chunk, top, rows, wide);
    }
    return hidden;
}

EXPORT int64_t onboard_chunk_size(void) { return sizeof(Chunk); }
