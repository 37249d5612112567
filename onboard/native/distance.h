/* Euclidean distance of latents: `onboard.change.distance`. Squares of whole numbers, exact in any order. */
#ifndef ONBOARD_DISTANCE_H
#define ONBOARD_DISTANCE_H

#include <math.h>

#include "kernels.h"

INLINE float latent_distance(const uint8_t *now, const uint8_t *past, int64_t latents, float scale) {
    int32_t sum = 0;
    for (int64_t i = 0; i < latents; i++) {
        const int32_t d = (int32_t)now[i] - (int32_t)past[i];
        sum += d * d;
    }
    return sqrtf((float)sum) * scale;
}

#endif
