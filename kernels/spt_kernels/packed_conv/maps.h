// Maps in parts, side by side along the channels, and how a pixel and a row of all of them are copied.
#pragma once
#include <cstdint>
#include <cstring>

#include "../tile_conv/tiles.h"

namespace {

constexpr int64_t kMostParts = 4;

typedef float Lanes __attribute__((vector_size(32), aligned(4), may_alias));
constexpr int64_t kVector = 8;

// Parts [b h w c], or, where `plane` is not 0, [b c h w] with so many numbers between channels and `sample` between samples.
struct Maps {
    const float* of[kMostParts];
    int64_t channels[kMostParts], plane[kMostParts], sample[kMostParts];
    float slope;
};

Maps maps_of(const float* a, const float* b, const float* c, const float* d, const int64_t* layout, double slope) {
    Maps maps{{a, b, c, d}, {}, {}, {}, float(slope)};
    for (int64_t i = 0; i < kMostParts; ++i)
        maps.channels[i] = layout[3 * i], maps.plane[i] = layout[3 * i + 1], maps.sample[i] = layout[3 * i + 2];
    return maps;
}

INLINE void activate(Lanes& numbers, float slope) { numbers = numbers < 0 ? numbers * slope : numbers; }

INLINE void copy_active(const float* from, float* to, int64_t count, float slope) {
    int64_t i = 0;
    for (; i + kVector <= count; i += kVector) {
        Lanes numbers = *reinterpret_cast<const Lanes*>(from + i);
        activate(numbers, slope);
        *reinterpret_cast<Lanes*>(to + i) = numbers;
    }
    for (; i < count; ++i) to[i] = from[i] < 0 ? from[i] * slope : from[i];
}

// One channels-last pixel of every part.
HOT void copy_pixel(const Maps& maps, int64_t pixel, float* to) {
    for (int64_t part = 0; part < kMostParts && maps.channels[part]; ++part) {
        const int64_t c = maps.channels[part];
        if (maps.slope == 1) std::memcpy(to, maps.of[part] + pixel * c, c * sizeof(float));
        else copy_active(maps.of[part] + pixel * c, to, c, maps.slope);
        to += c;
    }
}

// A row of every part; `pixel` numbers from one pixel to the next.
HOT void copy_row(const Maps& maps, int64_t n, int64_t h, int64_t y, int64_t w, float* to, int64_t pixel) {
    for (int64_t part = 0; part < kMostParts && maps.channels[part]; ++part) {
        const int64_t c = maps.channels[part], plane = maps.plane[part];
        const float* from = maps.of[part] + (plane ? n * maps.sample[part] + y * w : (n * h + y) * w * c);
        if (plane)
            for (int64_t i = 0; i < c; ++i)
                for (int64_t x = 0; x < w; ++x) {
                    const float number = from[i * plane + x];
                    to[x * pixel + i] = number < 0 ? number * maps.slope : number;
                }
        else
            for (int64_t x = 0; x < w; ++x) copy_active(from + x * c, to + x * pixel, c, maps.slope);
        to += c;
    }
}

}  // namespace
