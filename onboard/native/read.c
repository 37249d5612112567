/* Many rectangles of a file in one call: what lies of a chunk in each tile or strip of each band. */
#include <errno.h>
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

/* Returns 0, or where one cannot be read the errno; -1 where the file ends before. */
EXPORT int64_t onboard_read(int64_t file, int64_t count, const Part *parts) {
    for (int64_t i = 0; i < count; i++) {
        Part part = parts[i];
        if (part.step == part.bytes && part.target_step == part.bytes) {
            part.bytes *= part.lines;
            part.lines = 1;
        }
        for (int64_t line = 0; line < part.lines; line++) {
            char *target = (char *)(intptr_t)part.target + line * part.target_step;
            const int64_t fault = fill((int)file, target, part.bytes, part.place + line * part.step);
            if (fault) return fault;
        }
    }
    return 0;
}
