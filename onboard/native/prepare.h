/* A chunk's way to the encoder, as the portable code and that of wide registers see it. */
#ifndef ONBOARD_PREPARE_H
#define ONBOARD_PREPARE_H

#include "steps.h"

#ifndef __has_builtin
#define __has_builtin(name) 0
#endif

#define TILE (CELL * CELL)
#define MAX_PLANES 16
#define NODATA 0
#define SATURATED 65535

typedef struct {
    const uint16_t *dn;      /* (bands, height, width), `band_step` and `line_step` items apart */
    int64_t bands, width, band_step, line_step;
    const uint8_t *tables;   /* (bands, 65536) */
    const Steps *steps;      /* (bands), of the tables */
    const int64_t *field;    /* where in a record the means of a band go */
    const int64_t *px;       /* over how many pixels, 4 or 8 */
    uint8_t zero;            /* input of pixels that are not valid */
    int64_t channels;        /* 0: tiles are (cells, bands, 32, 32); else (cells, 32, 32, channels), 0 in those too many */
    uint8_t *tiles;          /* out */
    uint8_t *records;        /* (cells) of `size` bytes; the means are written */
    int64_t size;
} Chunk;

INLINE uint8_t *means_of(const Chunk *chunk, int64_t cell, int64_t band) {
    return chunk->records + cell * chunk->size + chunk->field[band];
}

INLINE void eight(const uint16_t *restrict dn, const uint8_t *restrict table, uint8_t *restrict out) {
    /* in one word: stores are what costs */
    uint8_t found[8] = {table[dn[0]], table[dn[1]], table[dn[2]], table[dn[3]],
                        table[dn[4]], table[dn[5]], table[dn[6]], table[dn[7]]};
    memcpy(out, found, 8);
}

typedef uint8_t Bytes __attribute__((vector_size(16)));

/* Of two vectors the first halves, or the second ones, byte by byte in turn; the same in pairs. */
#if __has_builtin(__builtin_shufflevector)
#define EACH_LOW(a, b) __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define EACH_HIGH(a, b) __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define PAIRS_LOW(a, b) __builtin_shufflevector(a, b, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23)
#define PAIRS_HIGH(a, b) __builtin_shufflevector(a, b, 8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31)
#else
#define EACH_LOW(a, b) __builtin_shuffle(a, b, (Bytes){0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23})
#define EACH_HIGH(a, b) __builtin_shuffle(a, b, (Bytes){8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31})
#define PAIRS_LOW(a, b) __builtin_shuffle(a, b, (Bytes){0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23})
#define PAIRS_HIGH(a, b) __builtin_shuffle(a, b, (Bytes){8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31})
#endif

/* Planes of a tile, (bands, 32, 32), to pixels, (32, 32, channels): four channels are a word. */
INLINE void turned(const uint8_t *planes, int64_t bands, int64_t channels, uint8_t *out) {
    for (int64_t first = 0; first < channels; first += 4)
        for (int i = 0; i < TILE; i += 16) {
            Bytes in[4] = {{0}}, words[4];
            uint32_t each[16];
            for (int c = 0; c < 4; c++)
                if (first + c < bands) memcpy(&in[c], planes + (first + c) * TILE + i, 16);
            const Bytes a = EACH_LOW(in[0], in[1]), b = EACH_LOW(in[2], in[3]);
            const Bytes c = EACH_HIGH(in[0], in[1]), d = EACH_HIGH(in[2], in[3]);
            words[0] = PAIRS_LOW(a, b), words[1] = PAIRS_HIGH(a, b);
            words[2] = PAIRS_LOW(c, d), words[3] = PAIRS_HIGH(c, d);
            memcpy(each, words, sizeof each);
            for (int k = 0; k < 16; k++) memcpy(out + (i + k) * channels + first, each + k, 4);
        }
}

/* Whether this processor runs `wide_row`. */
int is_wide(void);

/* Tiles and means of the row of cells from line `top` on; `valid`, (32, width): only these pixels, NULL: all.
   Returns the greatest DN - 1. */
uint16_t wide_row(const Chunk *chunk, int64_t top, const uint8_t *valid);

#endif
