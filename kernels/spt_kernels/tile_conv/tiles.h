// A tile's transforms, on numbers or on vectors of them: B and A of `reference.transforms`, and their adjoints.
#pragma once
#include <cstdint>

#include "../processors.h"

namespace spt {

constexpr int64_t kSide = 6;  // numbers along a tile

// The polynomial's points are 0, +-a, +-b and infinity; a b = 1 keeps the products small.
constexpr float a1 = 0.70710678f, a2 = 0.5f, a3 = a1 * a2, a4 = a2 * a2, b1 = 1.41421356f, b2 = 2, b3 = b1 * b2, b4 = b2 * b2, ab2 = a2 * b2, sum2 = a2 + b2;

// P' v: n numbers to 6
template <int N, typename T> INLINE void forth(const T* v, T* t) {
    T even_a, odd_a, even_b, odd_b;
    if (N == 6) {
        t[0] = ab2 * v[0] - sum2 * v[2] + v[4];
        t[5] = ab2 * v[1] - sum2 * v[3] + v[5];
        even_a = v[4] - b2 * v[2], odd_a = a1 * (v[3] - b2 * v[1]);
        even_b = v[4] - a2 * v[2], odd_b = b1 * (v[3] - a2 * v[1]);
    } else {
        t[0] = v[0];
        t[5] = v[N - 1];
        even_a = v[0] + a2 * v[2] + (N > 4 ? a4 * v[4] : T{}), odd_a = a1 * v[1] + (N > 3 ? a3 * v[3] : T{});
        even_b = v[0] + b2 * v[2] + (N > 4 ? b4 * v[4] : T{}), odd_b = b1 * v[1] + (N > 3 ? b3 * v[3] : T{});
    }
    t[1] = even_a + odd_a, t[2] = even_a - odd_a;
    t[3] = even_b + odd_b, t[4] = even_b - odd_b;
}

// P t: 6 numbers to n
template <int N, typename T> INLINE void back(const T* t, T* v) {
    const T even_a = t[1] + t[2], odd_a = a1 * (t[1] - t[2]), even_b = t[3] + t[4], odd_b = b1 * (t[3] - t[4]);
    if (N == 6) {
        v[0] = ab2 * t[0];
        v[1] = ab2 * t[5] - b2 * odd_a - a2 * odd_b;
        v[2] = -sum2 * t[0] - b2 * even_a - a2 * even_b;
        v[3] = odd_a + odd_b - sum2 * t[5];
        v[4] = t[0] + even_a + even_b;
        v[5] = t[5];
    } else {
        v[0] = t[0] + even_a + even_b;
        v[1] = odd_a + odd_b;
        v[2] = a2 * even_a + b2 * even_b + (N == 3 ? t[5] : T{});
        if (N > 3) v[3] = a2 * odd_a + b2 * odd_b + (N == 4 ? t[5] : T{});
        if (N > 4) v[4] = a4 * even_a + b4 * even_b + t[5];
    }
}

}  // namespace spt
