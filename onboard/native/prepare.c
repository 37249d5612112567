/* What of a look precedes the encoder: DN -> valid pixels, network input by table, tiles, means over sub-cells. */
#include "kernels.h"

#define NODATA 0
#define SATURATED 65535
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

/* Eight pixels by table, in one word: stores are what costs. */
INLINE void eight(const uint16_t *restrict dn, const uint8_t *restrict table, uint8_t *restrict out) {
    uint8_t found[8] = {table[dn[0]], table[dn[1]], table[dn[2]], table[dn[3]],
                        table[dn[4]], table[dn[5]], table[dn[6]], table[dn[7]]};
    memcpy(out, found, 8);
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

typedef struct {
    const uint16_t *dn;      /* (bands, height, width), `band_step` and `line_step` items apart */
    int64_t bands, width, band_step, line_step;
    const uint8_t *tables;   /* (bands, 65536) */
    const int64_t *field;    /* where in a record the means of a band go */
    const int64_t *px;       /* over how many pixels, 4 or 8 */
    uint8_t zero;            /* input of pixels that are not valid */
    uint8_t *tiles;          /* (cells, bands, 32, 32), out */
    uint8_t *records;        /* (cells) of `size` bytes; the means are written */
    int64_t size;
} Chunk;

/* Tiles and means of the row of cells from line `top` on; `valid`, (32, width): only these pixels, NULL: all.
   Returns the greatest DN - 1 where all are taken. */
INLINE uint16_t prepare_row(const Chunk *chunk, int64_t top, const uint8_t *valid) {
    const int64_t cols = chunk->width / CELL, tile = CELL * CELL, bands = chunk->bands;
    uint16_t most = 0;
    for (int64_t band = 0; band < bands; band++) {
        const uint8_t *table = chunk->tables + band * 65536;
        if (!valid) /* line after line, so that they are in the cache when they are looked up tile by tile */
            for (int64_t y = 0; y < CELL; y++)
                most = worst(chunk->dn + band * chunk->band_step + (top + y) * chunk->line_step, chunk->width, most);
        for (int64_t col = 0; col < cols; col++) {
            const int64_t cell = top / CELL * cols + col;
            const uint16_t *from = chunk->dn + band * chunk->band_step + top * chunk->line_step + col * CELL;
            uint8_t *to = chunk->tiles + (cell * bands + band) * tile;
            for (int y = 0; y < CELL; y++)
                for (int x = 0; x < CELL; x += 8) eight(from + y * chunk->line_step + x, table, to + y * CELL + x);
            if (valid)
                for (int y = 0; y < CELL; y++)
                    for (int x = 0; x < CELL; x++)
                        if (!valid[y * chunk->width + col * CELL + x]) to[y * CELL + x] = chunk->zero;
            uint8_t *out = chunk->records + cell * chunk->size + chunk->field[band];
            if (chunk->px[band] == 4) means(to, 4, out);
            else means(to, 8, out);
        }
    }
    return most;
}

/* Prepare a chunk of `height` lines, whole cells.

   valid: (height, width), in: the product's own usable pixels or all 1; out: those with data in every band

   Returns the number of pixels that are not valid. */
EXPORT CLONES int64_t onboard_prepare(
    const uint16_t *dn, int64_t bands, int64_t height, int64_t width, int64_t band_step, int64_t line_step,
    const uint8_t *tables, const int64_t *field, const int64_t *px, uint8_t zero, uint8_t *tiles, uint8_t *records,
    int64_t size, uint8_t *valid) {
    const Chunk whole = {dn, bands, width, band_step, line_step, tables, field, px, zero, tiles, records, size};
    const Chunk *chunk = &whole;
    int64_t hidden = 0;
    for (int64_t top = 0; top < height; top += CELL) { /* a row of cells stays in the cache for what follows */
        uint8_t *rows = valid + top * width;
        /* as a rule every pixel is valid, and known to be once all have been looked up */
        if (count(rows, CELL * width) == CELL * width && prepare_row(chunk, top, NULL) < SATURATED - 1) continue;
        for (int64_t band = 0; band < chunk->bands; band++)
            for (int64_t y = 0; y < CELL; y++)
                mark(chunk->dn + band * chunk->band_step + (top + y) * chunk->line_step, width, rows + y * width);
        hidden += CELL * width - count(rows, CELL * width);
        prepare_row(chunk, top, rows);
    }
    return hidden;
}
