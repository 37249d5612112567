/* What is learnt of how two looks at the same cells differ: moments, what a prediction leaves, medians. Twins in
   `onboard.change.predict`. */
#include "layout.h"

#define MAX_TERMS (2 * MAX_BANDS + 1)

/* Both looks at a cell, (terms, 64) whole numbers: bands of the new one, of the past one, and 1; 0 in all of a sub-cell
   that is not valid in both. Returns the bits of those that are. */
INLINE uint64_t numbers(const uint8_t *now, const uint8_t *past, const Layout *layout, int16_t out[MAX_TERMS][SUB]) {
    const uint64_t bits = valid_bits(now, layout) & valid_bits(past, layout);
    int64_t term = 0;
    for (int look = 0; look < 2; look++) {
        const uint8_t *record = look ? past : now;
        for (int64_t b = 0; b < layout->fines; b++, term++)
            for (int i = 0; i < SUB; i++) out[term][i] = record[layout->fine + b * SUB + i];
        for (int64_t b = 0; b < layout->coarses; b++, term++)
            for (int i = 0; i < SUB; i++) out[term][i] = record[layout->coarse + b * BLOCK + i / 16 * 4 + i % 8 / 2];
    }
    for (int i = 0; i < SUB; i++) out[term][i] = 1;
    if (bits != ~0ull)
        for (int64_t t = 0; t <= term; t++)
            for (int i = 0; i < SUB; i++) out[t][i] *= (int16_t)(bits >> i & 1);
    return bits;
}

/* Sums of products of each two terms over the sub-cells of n cells, added to out (terms, terms), the lower half. */
EXPORT CLONES void onboard_moments(
    const uint8_t *now, const uint8_t *past, int64_t n, const Layout *layout, int64_t *out) {
    const int64_t terms = 2 * (layout->fines + layout->coarses) + 1;
    int16_t both[MAX_TERMS][SUB];
    for (int64_t cell = 0; cell < n; cell++) {
        numbers(now + cell * layout->size, past + cell * layout->size, layout, both);
        for (int64_t i = 0; i < terms; i++)
            for (int64_t j = 0; j <= i; j++) {
                int32_t sum = 0; /* 64 x 255 x 255 at most */
                for (int k = 0; k < SUB; k++) sum += (int32_t)both[i][k] * both[j][k];
                out[i * terms + j] += sum;
            }
    }
}

#define TOGETHER 4 /* maps, so that what they are of is loaded once */
typedef double Eight __attribute__((vector_size(64), may_alias));
typedef int32_t Ints __attribute__((vector_size(32), may_alias));
typedef int16_t Shorts __attribute__((vector_size(16), may_alias));

/* Sizes of `rows` linear maps, TOGETHER at most, (rows, terms) weights, of numbers (terms, 64): summed term by term. */
INLINE void sizes(const double *weights, int rows, int64_t terms, int16_t in[MAX_TERMS][SUB], float out[TOGETHER][SUB]) {
    for (int i = 0; i < SUB; i += 8) {
        Eight sums[TOGETHER] = {{0}};
        for (int64_t t = 0; t < terms; t++) {
            Shorts whole;
            memcpy(&whole, in[t] + i, sizeof whole);
            const Eight values = __builtin_convertvector(__builtin_convertvector(whole, Ints), Eight);
            _Pragma("GCC unroll 4")
            for (int row = 0; row < TOGETHER; row++) sums[row] += weights[(row < rows ? row : 0) * terms + t] * values;
        }
        for (int row = 0; row < rows; row++)
            for (int k = 0; k < 8; k++) out[row][i + k] = (float)__builtin_fabs(sums[row][k]);
    }
}

/* The same in the valid sub-cells of n cells: out (rows, step), as many in each row as are returned. */
EXPORT CLONES int64_t onboard_left(
    const uint8_t *now, const uint8_t *past, int64_t n, const Layout *layout, const double *weights, int64_t rows,
    float *out, int64_t step) {
    const int64_t terms = 2 * (layout->fines + layout->coarses) + 1;
    int16_t both[MAX_TERMS][SUB];
    float left[TOGETHER][SUB];
    int64_t held = 0;
    for (int64_t cell = 0; cell < n; cell++) {
        const uint64_t bits = numbers(now + cell * layout->size, past + cell * layout->size, layout, both);
        int64_t end = held;
        for (int64_t first = 0; first < rows; first += TOGETHER) {
            const int some = rows - first < TOGETHER ? (int)(rows - first) : TOGETHER;
            sizes(weights + first * terms, some, terms, both, left);
            for (int row = 0; row < some; row++) {
                float *to = out + (first + row) * step;
                end = held;
                if (bits == ~0ull) memcpy(to + end, left[row], sizeof left[row]), end += SUB;
                else
                    for (int i = 0; i < SUB; i++)
                        if (bits >> i & 1) to[end++] = left[row][i];
            }
        }
        held = end;
    }
    return held;
}

/* The value of a rank, 0 the least, among n that are not negative: their bits rise as they do, and are told one by one by
   how many lie below. */
INLINE int32_t ranked(const int32_t *values, int64_t n, int64_t rank) {
    int32_t known = 0;
    for (int bit = 30; bit >= 0; bit--) {
        const int32_t least = known | 1 << bit;
        int64_t below = 0;
        for (int64_t i = 0; i < n; i += 1 << 14) { /* counted in 32 bits */
            const int64_t end = n - i < 1 << 14 ? n : i + (1 << 14);
            int32_t some = 0;
            for (int64_t k = i; k < end; k++) some += values[k] < least;
            below += some;
        }
        if (below <= rank) known = least;
    }
    return known;
}

/* Medians of rows of n floats, none negative: of an even number the mean of both in the middle. */
EXPORT CLONES void onboard_medians(const float *values, int64_t rows, int64_t n, int64_t step, float *out) {
    for (int64_t row = 0; row < rows; row++) {
        const float *of = values + row * step;
        const int32_t bits = ranked((const int32_t *)(const void *)of, n, n / 2);
        float upper, lower = 0;
        int64_t below = 0;
        memcpy(&upper, &bits, 4);
        for (int64_t i = 0; i < n; i++) {
            below += of[i] < upper;
            lower = of[i] < upper && of[i] > lower ? of[i] : lower;
        }
        if (below < n / 2) lower = upper;
        out[row] = n % 2 ? upper : (lower + upper) / 2;
    }
}
