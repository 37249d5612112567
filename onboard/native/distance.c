/* Distances of latents, cell by cell. */
#include "distance.h"

/* now, past: (cells) rows of `latents` numbers, `now_step` and `past_step` bytes apart. */
EXPORT CLONES void onboard_latent_distance(
    const uint8_t *now, int64_t now_step, const uint8_t *past, int64_t past_step, int64_t cells, int64_t latents,
    float scale, float *distance) {
    for (int64_t n = 0; n < cells; n++)
        distance[n] = latent_distance(now + n * now_step, past + n * past_step, latents, scale);
}
