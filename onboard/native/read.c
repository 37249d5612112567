/* Many rectangles of a file in one call: what lies of a chunk in each tile or strip of each band. */
#define _DEFAULT_SOURCE /* preadv */
#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernels.h"

/* `lines` lines of `bytes` each, `step` apart in the file from `place` on, to `target`, `target_step` apart there. */
typedef struct {
    int64_t place, step, lines, bytes, target, target_step;
} Part;

INLINE int64_t fill(int file, char *target, int64_t bytes, int64_t place) {
    for (int64_t done = 0; done < bytes;) {
        const ssize_t some = pread(file, target + done, (size_t)(bytes - done), (off_t)(place + done));
        if (some > 0) done += some;
        else if (some == 0) return -1;
        else if (errno != EINTR) return errno;
    }
    return 0;
}

#define TOGETHER 64 /* lines that are asked for in one call */
#define BETWEEN 2048 /* bytes between two of them that cost less to copy than a call does */

/* Lines that lie near each other, and what is between them to where nobody looks. Returns how many came whole. */
INLINE int64_t near_lines(int file, const Part *part, int64_t first, int64_t lines) {
    char between[BETWEEN];
    struct iovec to[2 * TOGETHER];
    const int64_t gap = part->step - part->bytes, most = lines < TOGETHER ? lines : TOGETHER;
    for (int64_t i = 0; i < most; i++) {
        to[2 * i] = (struct iovec){(char *)(intptr_t)part->target + (first + i) * part->target_step, (size_t)part->bytes};
        to[2 * i + 1] = (struct iovec){between, (size_t)gap};
    }
    const ssize_t found = preadv(file, to, (int)(2 * most - 1), (off_t)(part->place + first * part->step));
    return found < 0 ? 0 : (found + gap) / part->step;
}

/* Returns 0, or where one cannot be read the errno; -1 where the file ends before. */
EXPORT int64_t onboard_read(int64_t file, int64_t count, const Part *parts) {
    for (int64_t i = 0; i < count; i++) {
        Part part = parts[i];
        if (part.step == part.bytes && part.target_step == part.bytes) {
            part.bytes *= part.lines;
            part.lines = 1;
        }
        const int64_t gap = part.step - part.bytes;
        for (int64_t line = 0; line < part.lines;) {
            const int64_t came = gap < BETWEEN && part.lines > 1 ? near_lines((int)file, &part, line, part.lines - line) : 0;
            line += came;
            if (came) continue;
            char *target = (char *)(intptr_t)part.target + line * part.target_step;
            const int64_t fault = fill((int)file, target, part.bytes, part.place + line * part.step);
            if (fault) return fault;
            line++;
        }
    }
    return 0;
}
