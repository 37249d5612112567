/* The row of cells of prepare.c for x86 with registers of 512 bits: tables by their steps, a line of a tile at a time. */
#include "prepare.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,bmi2")))
#define HERE WIDE INLINE

/* A table's steps in registers. */
typedef struct {
    __m512i base[2], slope[2], bend[2], reached[8], first, span;
    __m128i down, up;
    int bent;
} Held;

HERE Held held(const Steps *steps) {
    Held in;
    for (int i = 0; i < 2; i++) in.base[i] = _mm512_loadu_si512(steps->base + 32 * i);
    for (int i = 0; i < 2; i++) in.slope[i] = _mm512_loadu_si512(steps->slope + 32 * i);
    for (int i = 0; i < 2; i++) in.bend[i] = _mm512_loadu_si512(steps->bend + 32 * i);
    for (int i = 0; i < 8; i++) in.reached[i] = _mm512_loadu_si512(steps->reached + 32 * i);
    in.first = _mm512_set1_epi16((short)steps->first);
    in.span = _mm512_set1_epi16((short)steps->span);
    in.down = _mm_cvtsi32_si128(steps->shift);
    in.up = _mm_cvtsi32_si128(16 - steps->shift);
    in.bent = steps->bent;
    return in;
}

/* `level` of steps.h, of 32 DN. */
HERE __m512i levels(const Held *in, __m512i dn) {
    const __m512i x = _mm512_min_epu16(_mm512_subs_epu16(dn, in->first), in->span);
    const __m512i place = _mm512_srl_epi16(x, in->down), rest = _mm512_sll_epi16(x, in->up);
    const __m512i base = _mm512_permutex2var_epi16(in->base[0], place, in->base[1]);
    const __m512i slope = _mm512_permutex2var_epi16(in->slope[0], place, in->slope[1]);
    __m512i line = _mm512_add_epi16(base, _mm512_mulhi_epu16(rest, slope));
    if (in->bent) {
        const __m512i between = _mm512_mulhi_epu16(rest, _mm512_xor_si512(rest, _mm512_set1_epi16(-1)));
        const __m512i bend = _mm512_permutex2var_epi16(in->bend[0], place, in->bend[1]);
        line = _mm512_add_epi16(line, _mm512_mulhi_epu16(_mm512_slli_epi16(between, 2), bend));
    }
    const __m512i near = _mm512_srli_epi16(line, 8);
    const __mmask32 odd = _mm512_test_epi16_mask(near, _mm512_set1_epi16(64));
    const __mmask32 high = _mm512_test_epi16_mask(near, _mm512_set1_epi16(128));
    __m512i found[4]; /* each 64 of the 256 */
    for (int i = 0; i < 4; i++) found[i] = _mm512_permutex2var_epi16(in->reached[2 * i], near, in->reached[2 * i + 1]);
    const __m512i low = _mm512_mask_mov_epi16(found[0], odd, found[1]);
    const __m512i top = _mm512_mask_mov_epi16(found[2], odd, found[3]);
    const __mmask32 more = _mm512_cmpge_epu16_mask(dn, _mm512_mask_mov_epi16(low, high, top));
    return _mm512_mask_add_epi16(near, more, near, _mm512_set1_epi16(1));
}

HERE __m256i line_of(const uint8_t *tile, int y) { return _mm256_loadu_si256((const __m256i *)(tile + y * CELL)); }

/* Rounded means of a tile over 4 x 4 px. */
HERE void fine_means(const uint8_t *tile, uint8_t *out) {
    for (int row = 0; row < 8; row++) {
        __m256i sum = _mm256_setzero_si256(); /* of neighbours */
        for (int y = 0; y < 4; y++)
            sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(line_of(tile, row * 4 + y), _mm256_set1_epi8(1)));
        sum = _mm256_add_epi32(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)), _mm256_set1_epi32(8));
        _mm_storel_epi64((__m128i *)(out + row * 8), _mm256_cvtepi32_epi8(_mm256_srli_epi32(sum, 4)));
    }
}

/* Over 8 x 8 px. */
HERE void coarse_means(const uint8_t *tile, uint8_t *out) {
    for (int row = 0; row < 4; row++) {
        __m256i sum = _mm256_set1_epi64x(32);
        for (int y = 0; y < 8; y++)
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(line_of(tile, row * 8 + y), _mm256_setzero_si256()));
        const int four = _mm_cvtsi128_si32(_mm256_cvtepi64_epi8(_mm256_srli_epi64(sum, 6)));
        memcpy(out + row * 4, &four, 4);
    }
}

/* Four channels of 64 pixels: out[q] holds those of pixels 16 q to 16 q + 15, a word each. */
HERE void words_of(const uint8_t *planes, int64_t bands, __m512i out[4]) {
    /* what is unpacked lane by lane is to lie in order afterwards */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512i in[4];
    for (int c = 0; c < 4; c++)
        in[c] = c < bands ? _mm512_permutexvar_epi32(order, _mm512_loadu_si512(planes + c * TILE)) : _mm512_setzero_si512();
    const __m512i a = _mm512_unpacklo_epi8(in[0], in[1]), b = _mm512_unpacklo_epi8(in[2], in[3]);
    const __m512i c = _mm512_unpackhi_epi8(in[0], in[1]), d = _mm512_unpackhi_epi8(in[2], in[3]);
    out[0] = _mm512_unpacklo_epi16(a, b), out[1] = _mm512_unpackhi_epi16(a, b);
    out[2] = _mm512_unpacklo_epi16(c, d), out[3] = _mm512_unpackhi_epi16(c, d);
}

/* Planes of a tile, (bands, 32, 32), to pixels, (32, 32, 12): three words a pixel, whose places among the words of 16
   pixels these are. */
HERE void turned_twelve(const uint8_t *planes, int64_t bands, uint8_t *out) {
    static const int32_t two[3][16] = {{0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5},
                                       {21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26},
                                       {0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0}};
    static const int32_t third[3][16] = {{0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15},
                                         {0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15},
                                         {26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31}};
    for (int x = 0; x < TILE; x += 64) {
        __m512i words[3][4];
        for (int g = 0; g < 3; g++) words_of(planes + g * 4 * TILE + x, bands - g * 4, words[g]);
        for (int q = 0; q < 4; q++)
            for (int part = 0; part < 3; part++, out += 64) {
                const __m512i i = _mm512_loadu_si512(two[part]), j = _mm512_loadu_si512(third[part]);
                const __m512i both = _mm512_permutex2var_epi32(words[0][q], i, words[1][q]);
                _mm512_storeu_si512(out, _mm512_permutex2var_epi32(both, j, words[2][q]));
            }
    }
}

/* To pixels (32, 32, 4). */
HERE void turned_four(const uint8_t *planes, int64_t bands, uint8_t *out) {
    for (int x = 0; x < TILE; x += 64) {
        __m512i words[4];
        words_of(planes + x, bands, words);
        for (int q = 0; q < 4; q++, out += 64) _mm512_storeu_si512(out, words[q]);
    }
}

/* A line of a tile from memory where a table is no steps. */
HERE __m256i by_table(const uint16_t *dn, const uint8_t *table) {
    uint8_t found[CELL];
    for (int x = 0; x < CELL; x += 8) eight(dn + x, table, found + x);
    return _mm256_loadu_si256((const __m256i *)found);
}

/* A tile of a band from `dn` on, lines `step` apart; `valid`, lines `width` apart: the others are `zero`, NULL: all are.
   Returns the greatest DN - 1 of the tile and of `most`. */
HERE __m512i tile_of(
    const uint16_t *dn, int64_t step, const Steps *steps, const uint8_t *table, const uint8_t *valid, int64_t width,
    uint8_t zero, uint8_t *to, __m512i most) {
    const Held in = held(steps);
    const int made = steps->made;
    for (int y = 0; y < CELL; y++, dn += step) {
        const __m512i line = _mm512_loadu_si512(dn);
        _mm_prefetch((const char *)(dn + CELL), _MM_HINT_T0); /* of the next cell: no line is long */
        most = _mm512_max_epu16(most, _mm512_sub_epi16(line, _mm512_set1_epi16(1)));
        __m256i found = made ? _mm512_cvtepi16_epi8(levels(&in, line)) : by_table(dn, table);
        if (valid) {
            const __m256i shown = _mm256_loadu_si256((const __m256i *)(valid + y * width));
            const __mmask32 kept = _mm256_test_epi8_mask(shown, _mm256_set1_epi8(1));
            found = _mm256_mask_mov_epi8(_mm256_set1_epi8((char)zero), kept, found);
        }
        _mm256_storeu_si256((__m256i *)(to + y * CELL), found);
    }
    return most;
}

WIDE uint16_t wide_row(const Chunk *chunk, int64_t top, const uint8_t *valid) {
    const int64_t width = chunk->width, cols = width / CELL, bands = chunk->bands, step = chunk->line_step;
    uint8_t beside[MAX_PLANES * TILE];
    __m512i most = _mm512_setzero_si512();
    for (int64_t col = 0; col < cols; col++) {
        const int64_t cell = top / CELL * cols + col;
        uint8_t *planes = chunk->channels ? beside : chunk->tiles + cell * bands * TILE;
        for (int64_t band = 0; band < bands; band++) {
            const uint16_t *dn = chunk->dn + band * chunk->band_step + top * step + col * CELL;
            const uint8_t *table = chunk->tables + band * 65536;
            uint8_t *to = planes + band * TILE;
            const Steps *steps = chunk->steps + band;
            most = valid ? tile_of(dn, step, steps, table, valid + col * CELL, width, chunk->zero, to, most)
                         : tile_of(dn, step, steps, table, NULL, 0, 0, to, most);
            if (chunk->px[band] == 4) fine_means(to, means_of(chunk, cell, band));
            else coarse_means(to, means_of(chunk, cell, band));
        }
        uint8_t *out = chunk->tiles + cell * TILE * chunk->channels;
        if (chunk->channels == 12) turned_twelve(planes, bands, out);
        else if (chunk->channels == 4) turned_four(planes, bands, out);
        else if (chunk->channels) turned(planes, bands, chunk->channels, out);
    }
    uint16_t all[32], found = 0;
    _mm512_storeu_si512(all, most);
    for (int i = 0; i < 32; i++) found = all[i] > found ? all[i] : found;
    return found;
}

int is_wide(void) {
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

#else

int is_wide(void) { return 0; }

uint16_t wide_row(const Chunk *chunk, int64_t top, const uint8_t *valid) {
    (void)chunk, (void)top, (void)valid;
    return SATURATED;
}

#endif
