// What the compiled forms say of functions.
#pragma once

// Compiled once for each kind of processor; the loader takes the one that fits.
#if defined(__x86_64__)
#define HOT __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define HOT
#endif

// Into `HOT` functions, so that it is compiled for their processor too.
#define INLINE inline __attribute__((always_inline))
