// `tile_conv` for processors: between planes of pixels and tiles of 6x6 numbers, on contiguous float32 maps.
//
// Both directions apply a matrix P [n 6] on either side of every window of n x n pixels, windows `step` apart: gather
// computes tile = P' window P, scatter its adjoint, the sum of all P tile P'. P is B for windows of 6 pixels and A for
// those of `step`. A plane is one task: the product along y runs in vectors along x, the one along x over tiles.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "tiles.h"

namespace {

using spt::back;
using spt::forth;
using spt::kSide;

struct Windows {
    int64_t step, pad, down, across;
    bool reflect;

    // The index within `length` that a padded index stands for, or -1 where it reads zero.
    int64_t place(int64_t i, int64_t length) const {
        if (i >= 0 && i < length) return i;
        if (!reflect || i < -pad || i >= length + pad) return -1;
        return i < 0 ? -i : 2 * (length - 1) - i;
    }
};

// Along vectors of `count` numbers: n rows to 6 rows.
template <int N> INLINE void rows_forth(const float* const* rows, float* const* out, int64_t count) {
    const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[N > 3 ? 3 : 0], *e = rows[N > 4 ? 4 : 0], *f = rows[N > 5 ? 5 : 0];
    float *o0 = out[0], *o1 = out[1], *o2 = out[2], *o3 = out[3], *o4 = out[4], *o5 = out[5];
#pragma GCC ivdep
    for (int64_t x = 0; x < count; ++x) {
        const float v[6] = {a[x], b[x], c[x], N > 3 ? d[x] : 0, N > 4 ? e[x] : 0, N > 5 ? f[x] : 0};
        float t[6];
        forth<N>(v, t);
        o0[x] = t[0], o1[x] = t[1], o2[x] = t[2], o3[x] = t[3], o4[x] = t[4], o5[x] = t[5];
    }
}

// Along vectors of `count` numbers: 6 rows to n rows.
template <int N> INLINE void rows_back(const float* const* rows, float* const* out, int64_t count) {
    const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3], *e = rows[4], *f = rows[5];
    float *o0 = out[0], *o1 = out[1], *o2 = out[2], *o3 = out[N > 3 ? 3 : 0], *o4 = out[N > 4 ? 4 : 0], *o5 = out[N > 5 ? 5 : 0];
#pragma GCC ivdep
    for (int64_t x = 0; x < count; ++x) {
        const float t[6] = {a[x], b[x], c[x], d[x], e[x], f[x]};
        float v[6];
        back<N>(t, v);
        o0[x] = v[0], o1[x] = v[1], o2[x] = v[2];
        if (N > 3) o3[x] = v[3];
        if (N > 4) o4[x] = v[4];
        if (N > 5) o5[x] = v[5];
    }
}

struct Scratch {
    int64_t columns, phase, count;
    std::vector<float> zeros, rows, phases, tiles;

    // a row of `columns` padded pixels, or as `step` rows of every step-th pixel, `phase` long
    Scratch(const Windows& w, int64_t width)
        : columns(w.step * (w.across + 2) + width + 2 * w.pad), phase(columns / w.step + 1), count(w.down * w.across),
          zeros(columns), rows(kSide * columns), phases(kSide * phase), tiles(kSide * kSide * count) {}
};

template <int N, int STEP>
INLINE void gather_plane(const Windows& w, const float* plane, int64_t height, int64_t width, float* tiles, int64_t stride, Scratch& s) {
    const float* source[kSide];
    float* target[kSide];
    for (int64_t ty = 0; ty < w.down; ++ty) {
        for (int64_t r = 0; r < N; ++r) {
            const int64_t y = w.place(ty * STEP + r - w.pad, height);
            source[r] = y < 0 ? s.zeros.data() : plane + y * width;
        }
        for (int64_t i = 0; i < kSide; ++i) target[i] = s.rows.data() + i * s.columns + w.pad;
        rows_forth<N>(source, target, width);
        for (int64_t i = 0; i < kSide; ++i) {
            float* row = target[i];
            for (int64_t x = 1; w.reflect && x <= w.pad; ++x) row[-x] = row[x], row[width - 1 + x] = row[width - 1 - x];
            const float* padded = row - w.pad;
            for (int64_t t = 0; t < w.across + 2; ++t)
                for (int64_t q = 0; q < STEP; ++q) s.phases[q * s.phase + t] = padded[t * STEP + q];
            for (int64_t c = 0; c < N; ++c) source[c] = s.phases.data() + (c % STEP) * s.phase + c / STEP;
            float* out[kSide];
            for (int64_t j = 0; j < kSide; ++j) out[j] = tiles + (i * kSide + j) * stride + ty * w.across;
            rows_forth<N>(source, out, w.across);
        }
    }
}

template <int N, int STEP>
INLINE void scatter_plane(const Windows& w, const float* tiles, int64_t stride, float* plane, int64_t height, int64_t width, Scratch& s) {
    std::fill(plane, plane + height * width, 0.0f);
    const float* source[kSide];
    float* target[kSide];
    for (int64_t j = 0; j < kSide; ++j) {  // along y
        for (int64_t i = 0; i < kSide; ++i) source[i] = tiles + (i * kSide + j) * stride;
        for (int64_t r = 0; r < N; ++r) target[r] = s.tiles.data() + (r * kSide + j) * s.count;
        rows_back<N>(source, target, s.count);
    }
    for (int64_t ty = 0; ty < w.down; ++ty) {
        for (int64_t r = 0; r < N; ++r) {
            const int64_t y = w.place(ty * STEP + r - w.pad, height);
            if (y < 0) continue;
            for (int64_t j = 0; j < kSide; ++j) source[j] = s.tiles.data() + (r * kSide + j) * s.count + ty * w.across;
            for (int64_t c = 0; c < N; ++c) target[c] = s.phases.data() + c * s.phase;
            rows_back<N>(source, target, w.across);
            float *row = s.rows.data(), *inside = row + w.pad, *out = plane + y * width;
            for (int64_t t = 0; t < w.across; ++t)
                for (int64_t q = 0; q < STEP; ++q)
                    row[t * STEP + q] = s.phases[q * s.phase + t] + (q + STEP < N && t ? s.phases[(q + STEP) * s.phase + t - 1] : 0);
            const int64_t end = w.across * STEP;
            std::fill(row + end, row + std::max(end, width + 2 * w.pad), 0.0f);
            for (int64_t q = 0; q + STEP < N; ++q) row[end + q] = s.phases[(q + STEP) * s.phase + w.across - 1];
            for (int64_t x = 1; w.reflect && x <= w.pad; ++x) inside[x] += inside[-x], inside[width - 1 - x] += inside[width - 1 + x];
            for (int64_t x = 0; x < width; ++x) out[x] += inside[x];
        }
    }
}

#define PLANES(N, STEP)                                                                                                       \
    HOT void gather_##N##_##STEP(const Windows& w, const float* plane, int64_t height, int64_t width, float* tiles,           \
                                 int64_t stride, Scratch& s) {                                                                \
        gather_plane<N, STEP>(w, plane, height, width, tiles, stride, s);                                                     \
    }                                                                                                                         \
    HOT void scatter_##N##_##STEP(const Windows& w, const float* tiles, int64_t stride, float* plane, int64_t height,         \
                                  int64_t width, Scratch& s) {                                                                \
        scatter_plane<N, STEP>(w, tiles, stride, plane, height, width, s);                                                    \
    }
PLANES(6, 5)
PLANES(6, 4)
PLANES(6, 3)
PLANES(5, 5)
PLANES(4, 4)
PLANES(3, 3)

using Gather = decltype(&gather_6_4);
using Scatter = decltype(&scatter_6_4);
constexpr Gather kGather[][2] = {{gather_6_3, gather_3_3}, {gather_6_4, gather_4_4}, {gather_6_5, gather_5_5}};
constexpr Scatter kScatter[][2] = {{scatter_6_3, scatter_3_3}, {scatter_6_4, scatter_4_4}, {scatter_6_5, scatter_5_5}};

}  // namespace

// planes [b c h w] -> tiles [36 c b down across]; `n` is 6 or `step`
extern "C" void spt_tile_conv_gather(const float* planes, float* tiles, int64_t b, int64_t c, int64_t h, int64_t w, int64_t n,
                                     int64_t step, int64_t pad, int64_t reflect, int64_t down, int64_t across) {
    const Windows windows{step, pad, down, across, reflect != 0};
    const auto plane = kGather[step - 3][n == step];
    const int64_t count = down * across, stride = c * b * count;
#pragma omp parallel
    {
        Scratch scratch(windows, w);
#pragma omp for collapse(2)
        for (int64_t channel = 0; channel < c; ++channel)
            for (int64_t sample = 0; sample < b; ++sample)
                plane(windows, planes + (sample * c + channel) * h * w, h, w, tiles + (channel * b + sample) * count, stride, scratch);
    }
}

// tiles [36 c b down across] -> planes [b c h w], the adjoint
extern "C" void spt_tile_conv_scatter(const float* tiles, float* planes, int64_t b, int64_t c, int64_t h, int64_t w, int64_t n,
                                      int64_t step, int64_t pad, int64_t reflect, int64_t down, int64_t across) {
    const Windows windows{step, pad, down, across, reflect != 0};
    const auto plane = kScatter[step - 3][n == step];
    const int64_t count = down * across, stride = c * b * count;
#pragma omp parallel
    {
        Scratch scratch(windows, w);
#pragma omp for collapse(2)
        for (int64_t channel = 0; channel < c; ++channel)
            for (int64_t sample = 0; sample < b; ++sample)
                plane(windows, tiles + (channel * b + sample) * count, stride, planes + (sample * c + channel) * h * w, h, w, scratch);
    }
}
