// Rows of numbers times a packed weight: the product under every convolution of `packed_conv`.
//
// A weight is packed as panels of 16 outputs, [outputs / 16][depth][16]. A block keeps rows x 16 sums in registers and
// walks the depth once: of each step it loads 16 weights and one number of every row.
#pragma once
#include <algorithm>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace spt {

constexpr int64_t kLanes = 16;   // outputs of a panel
constexpr int64_t kDepth = 256;  // of a pass: 16 kB of a panel stay in the first cache
constexpr int kMostRows = 12;    // of a block

// x: a pointer for each row; out: the sums of each row, begun anew where `first`
using Block = void (*)(const float* const* x, const float* weight, int64_t depth, float* const* out, bool first);

struct Blocks {
    int rows;  // of the largest block
    Block of[kMostRows];
};

template <int R> void block_plain(const float* const* x, const float* weight, int64_t depth, float* const* out, bool first) {
    for (int r = 0; r < R; ++r) {
        float sums[kLanes];
        for (int64_t i = 0; i < kLanes; ++i) sums[i] = first ? 0.0f : out[r][i];
        for (int64_t k = 0; k < depth; ++k)
            for (int64_t i = 0; i < kLanes; ++i) sums[i] += x[r][k] * weight[k * kLanes + i];
        for (int64_t i = 0; i < kLanes; ++i) out[r][i] = sums[i];
    }
}

#if defined(__x86_64__)
template <int R> __attribute__((target("avx2,fma")))
void block_avx2(const float* const* x, const float* weight, int64_t depth, float* const* out, bool first) {
    __m256 low[R], high[R];
    const float* row[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        row[r] = x[r];
        low[r] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(out[r]);
        high[r] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(out[r] + 8);
    }
#pragma GCC unroll 2
    for (int64_t k = 0; k < depth; ++k, weight += kLanes) {
        const __m256 a = _mm256_loadu_ps(weight), b = _mm256_loadu_ps(weight + 8);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            const __m256 number = _mm256_broadcast_ss(row[r] + k);
            low[r] = _mm256_fmadd_ps(number, a, low[r]);
            high[r] = _mm256_fmadd_ps(number, b, high[r]);
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) _mm256_storeu_ps(out[r], low[r]), _mm256_storeu_ps(out[r] + 8, high[r]);
}

template <int R> __attribute__((target("avx512f")))
void block_avx512(const float* const* x, const float* weight, int64_t depth, float* const* out, bool first) {
    __m512 sums[R];
    const float* row[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
        row[r] = x[r];
        sums[r] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(out[r]);
    }
#pragma GCC unroll 2
    for (int64_t k = 0; k < depth; ++k, weight += kLanes) {
        const __m512 a = _mm512_loadu_ps(weight);
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) sums[r] = _mm512_fmadd_ps(_mm512_set1_ps(row[r][k]), a, sums[r]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) _mm512_storeu_ps(out[r], sums[r]);
}
#endif

// The blocks that this processor runs fastest.
inline const Blocks& blocks() {
    static const Blocks chosen = [] {
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx512f"))
            return Blocks{12, {block_avx512<1>, block_avx512<2>, block_avx512<3>, block_avx512<4>, block_avx512<5>,
                               block_avx512<6>, block_avx512<7>, block_avx512<8>, block_avx512<9>, block_avx512<10>,
                               block_avx512<11>, block_avx512<12>}};
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
            return Blocks{6, {block_avx2<1>, block_avx2<2>, block_avx2<3>, block_avx2<4>, block_avx2<5>, block_avx2<6>}};
#endif
        return Blocks{4, {block_plain<1>, block_plain<2>, block_plain<3>, block_plain<4>}};
    }();
    return chosen;
}

// Of `count` rows, given by pointers, the sums of one panel.
inline void multiply(const float* const* x, int64_t count, const float* weight, int64_t depth, float* const* out, bool first) {
    const Blocks& b = blocks();
    for (int64_t r = 0; r < count; r += b.rows) {
        const int64_t n = std::min<int64_t>(b.rows, count - r);
        b.of[n - 1](x + r, weight, depth, out + r, first);
    }
}

}  // namespace spt
