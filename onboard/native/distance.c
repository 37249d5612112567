/* Euclidean distance of latents: `onboard.change.distance`. Squares of whole numbers, exact in any order. */
#include <math.h>

#include "kernels.h"

/* now, past: (cells) rows of `latents` numbers, `now_step` and `past_step` bytes apart. */
EXPORT CLONES void onboard_latent_distance(
    const uint8_t *now, int64_t now_step, const uint8_t *past, int64_t past_step, int64_t cells, int64_t latents,
    float scale, float *distance) {
    for (int64_t n = 0; n < cells; n++) {
        const uint8_t *a = now + n * now_step, *b = past + n * past_step;
        int32_t sum = 0;
        for (int64_t i = 0; i < latents; i++) {
            const int32_t d = (int32_t)a[i] - (int32_t)b[i];
            sum += d * d;
        }
        distance[n] = sqrtf((float)sum) * scale;
    }
}
