/* CRC-32 as zlib's (ISO 3309, reflected 0xEDB88320), over many records in one call. Sixteen bytes a step by sixteen
   tables (M. Kounavis and F. Berry 2005, "slicing"); where the processor multiplies without carry, sixty-four a step (V.
   Gopal et al. 2009, "Fast CRC Computation Using PCLMULQDQ"), and where it has an instruction for this CRC, by that. */
#include "kernels.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#define HAS_CRC32 (1 << 7) /* of AT_HWCAP */
#endif

static uint32_t table[16][256];

INLINE uint32_t sixteen(const uint8_t *p, uint32_t c) {
    uint32_t found = 0;
    for (int i = 0; i < 4; i++) found ^= table[15 - i][p[i] ^ (c >> 8 * i & 255)];
    for (int i = 4; i < 16; i++) found ^= table[15 - i][p[i]];
    return found;
}

static uint32_t by_tables(const uint8_t *p, int64_t size, uint32_t c) {
    for (; size >= 16; size -= 16, p += 16) c = sixteen(p, c);
    for (; size > 0; size--, p++) c = table[0][(c ^ *p) & 255] ^ c >> 8;
    return c;
}

static uint32_t (*crc_after)(const uint8_t *p, int64_t size, uint32_t c) = by_tables;

#if defined(__x86_64__) && defined(__GNUC__)
#define FOLDS __attribute__((target("pclmul,sse4.1")))

/* What lies so many bits before `next` is worth there: both halves times a power of x. */
FOLDS static inline __m128i onto(__m128i before, __m128i powers, __m128i next) {
    const __m128i low = _mm_clmulepi64_si128(before, powers, 0x00), high = _mm_clmulepi64_si128(before, powers, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

FOLDS static inline __m128i at(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }

FOLDS static uint32_t by_folding(const uint8_t *p, int64_t size, uint32_t c) {
    if (size < 64) return by_tables(p, size, c);
    const __m128i far = _mm_set_epi64x(0x1C6E41596, 0x154442BD4);  /* 512 bits before */
    const __m128i near = _mm_set_epi64x(0x0CCAA009E, 0x1751997D0); /* 128 */
    __m128i sums[4] = {_mm_xor_si128(at(p), _mm_cvtsi32_si128((int)c)), at(p + 16), at(p + 32), at(p + 48)};
    for (p += 64, size -= 64; size >= 64; p += 64, size -= 64)
        for (int i = 0; i < 4; i++) sums[i] = onto(sums[i], far, at(p + 16 * i));
    for (int i = 1; i < 4; i++) sums[i] = onto(sums[i - 1], near, sums[i]);
    for (; size >= 16; p += 16, size -= 16) sums[3] = onto(sums[3], near, at(p));
    uint8_t rest[32] = {0}; /* zeros before a message that begins with 0 change nothing */
    _mm_storeu_si128((__m128i *)(rest + 16 - size), sums[3]);
    memcpy(rest + 32 - size, p, size);
    return sixteen(rest + 16, sixteen(rest, 0));
}
#elif defined(__aarch64__) && defined(__linux__)
__attribute__((target("+crc"))) static uint32_t by_instruction(const uint8_t *p, int64_t size, uint32_t c) {
    for (uint64_t word; size >= 8; size -= 8, p += 8) {
        memcpy(&word, p, 8);
        c = __crc32d(c, word);
    }
    return by_tables(p, size, c);
}
#endif

__attribute__((constructor)) static void fill(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
        table[0][n] = c;
    }
    for (int t = 1; t < 16; t++)
        for (int n = 0; n < 256; n++) table[t][n] = table[0][table[t - 1][n] & 255] ^ table[t - 1][n] >> 8;
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1")) crc_after = by_folding;
#elif defined(__aarch64__) && defined(__linux__)
    if (getauxval(AT_HWCAP) & HAS_CRC32) crc_after = by_instruction;
#endif
}

static uint32_t crc_of(const uint8_t *p, int64_t size) { return ~crc_after(p, size, 0xFFFFFFFFu); }

/* crc[i] of the first `covered` bytes of record i, `size` bytes apart. */
EXPORT void onboard_crc32(const uint8_t *records, int64_t count, int64_t size, int64_t covered, uint32_t *crc) {
    for (int64_t i = 0; i < count; i++) crc[i] = crc_of(records + i * size, covered);
}

/* The same of all of so many bytes at each of some places. */
EXPORT void onboard_crc32_of(const uint8_t *const *places, const int64_t *sizes, int64_t count, uint32_t *crc) {
    for (int64_t i = 0; i < count; i++) crc[i] = crc_of(places[i], sizes[i]);
}

/* Records that hold anything, by their format (a byte at `format`) or checksum (the last four), and do not match either:
   1 in `bad`, else 0. Returns how many. */
EXPORT int64_t onboard_damaged(
    const uint8_t *records, int64_t count, int64_t size, int64_t format, uint8_t expected, uint8_t *bad) {
    int64_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint8_t *record = records + i * size;
        uint32_t stored;
        memcpy(&stored, record + size - 4, 4);
        const int here = record[format] != 0 || stored != 0;
        bad[i] = here && (record[format] != expected || crc_of(record, size - 4) != stored);
        found += bad[i];
    }
    return found;
}
