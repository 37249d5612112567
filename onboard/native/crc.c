/* CRC-32 as zlib's (ISO 3309, reflected 0xEDB88320), over many records in one call. Sixteen bytes a step by sixteen
   tables (M. Kounavis and F. Berry 2005, "slicing"). */
#include "kernels.h"

static uint32_t table[16][256];

__attribute__((constructor)) static void fill(void) {
    for (uint32_t n = 0; n < 256; n++) {
        uint32_t c = n;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xEDB88320u : c >> 1;
        table[0][n] = c;
    }
    for (int t = 1; t < 16; t++)
        for (int n = 0; n < 256; n++) table[t][n] = table[0][table[t - 1][n] & 255] ^ table[t - 1][n] >> 8;
}

static uint32_t crc_of(const uint8_t *p, int64_t size) {
    uint32_t c = 0xFFFFFFFFu;
    for (; size >= 16; size -= 16, p += 16) {
        uint32_t found = 0;
        for (int i = 0; i < 4; i++) found ^= table[15 - i][p[i] ^ (c >> 8 * i & 255)];
        for (int i = 4; i < 16; i++) found ^= table[15 - i][p[i]];
        c = found;
    }
    for (; size > 0; size--, p++) c = table[0][(c ^ *p) & 255] ^ c >> 8;
    return ~c;
}

/* crc[i] of the first `covered` bytes of record i, `size` bytes apart. */
EXPORT void onboard_crc32(const uint8_t *records, int64_t count, int64_t size, int64_t covered, uint32_t *crc) {
    for (int64_t i = 0; i < count; i++) crc[i] = crc_of(records + i * size, covered);
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
