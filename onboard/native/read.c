/* Several parts of a file in one call: the tiles of all bands under a chunk. */
#include <errno.h>
#include <unistd.h>

#include "kernels.h"

/* Part i, `lengths[i]` bytes from `places[i]` on, to `targets[i]`. Returns 0, or where one cannot be read the errno; -1
   where the file ends before. */
EXPORT int64_t onboard_read(
    int64_t file, int64_t count, const int64_t *places, const int64_t *lengths, const int64_t *targets) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t done = 0; done < lengths[i];) {
            const ssize_t some = pread((int)file, (char *)(intptr_t)targets[i] + done, (size_t)(lengths[i] - done),
                                       (off_t)(places[i] + done));
            if (some > 0) done += some;
            else if (some == 0) return -1;
            else if (errno != EINTR) return errno;
        }
    return 0;
}
