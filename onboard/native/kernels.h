/* What the kernels share. C11 with a few of GCC's and Clang's attributes; no Python in it, and no state but what a library
   finds out as it is loaded (crc.c).

   Rules: every kernel gives the bits that the NumPy code beside its caller gives (`tests/unit/native`); it allocates
   nothing, keeps to the arrays that it was handed, and believes their sizes: whoever calls it has checked them. Floating
   point is added up in the order of the NumPy code, or where no sum is ever rounded (`onboard.change.exact`). Compiled
   with -ffp-contract=off, for a fused multiply-add rounds once where NumPy rounds twice. */
#ifndef ONBOARD_KERNELS_H
#define ONBOARD_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* One body, compiled for several processors; the loader picks. The bits are the same on all of them. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__)
#if __GNUC__ >= 12
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES __attribute__((target_clones("avx2", "default")))
#endif
#else
#define CLONES
#endif

/* What a clone calls is compiled for the same processor only where it becomes part of it. */
#define INLINE static inline __attribute__((always_inline))

#define CELL 32
#define SUB 64   /* fine sub-cells of a cell */
#define BLOCK 16 /* coarse sub-cells of a cell */
#define QUARTERS 4

#endif
