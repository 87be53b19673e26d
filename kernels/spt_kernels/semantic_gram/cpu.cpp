// The pixels of every region: found, gathered as [channels, pixels] for a matrix product, and scattered back.
// Lists have a fixed place: entry j of region r of sample b lies at (b * regions + r) * pixels + j.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "../processors.h"

namespace {

// How many of the labels under each feature pixel of one row are the wanted one.
HOT void count_row(const uint8_t* labels, int64_t width, int64_t factor, uint8_t wanted, uint8_t* counts) {
    if (factor == 1)
        for (int64_t x = 0; x < width; ++x) counts[x] = labels[x] == wanted;
    else if (factor == 2)
        for (int64_t x = 0; x < width; ++x) {
            const uint8_t *above = labels + 2 * x, *below = above + 2 * width;
            counts[x] = (above[0] == wanted) + (above[1] == wanted) + (below[0] == wanted) + (below[1] == wanted);
        }
    else
        for (int64_t x = 0; x < width; ++x) {
            counts[x] = 0;
            for (int64_t dy = 0; dy < factor; ++dy)
                for (int64_t dx = 0; dx < factor; ++dx)
                    counts[x] += labels[(dy * width + x) * factor + dx] == wanted;
        }
}

HOT void gather_row(const float* row, const int32_t* places, const float* weights, int64_t count, bool squared,
                    float* out) {
    if (squared)
        for (int64_t j = 0; j < count; ++j) out[j] = weights[j] * weights[j] * row[places[j]];
    else
        for (int64_t j = 0; j < count; ++j) out[j] = weights[j] * row[places[j]];
}

}  // namespace

extern "C" {

// Every region's pixels and weights, their number, the sum of squared weights and the largest weight [b r].
void semantic_gram_find(const uint8_t* labels, const int64_t* wanted, int64_t batch, int64_t regions, int64_t height,
                        int64_t width, int64_t factor, int32_t* places, float* weights, int64_t* counts, float* areas,
                        float* peaks) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t owner = 0; owner < batch * regions; ++owner) {
        const uint8_t* map = labels + owner / regions * height * width * factor * factor;
        int32_t* place = places + owner * height * width;
        float* weight = weights + owner * height * width;
        std::vector<uint8_t> row(width);
        int64_t found = 0, squares = 0, peak = 0;
        for (int64_t y = 0; y < height; ++y) {
            count_row(map + y * width * factor * factor, width, factor, wanted[owner % regions], row.data());
            for (int64_t x = 0; x < width; ++x) {
                if (!row[x]) continue;
                place[found] = y * width + x;
                weight[found++] = row[x] / static_cast<float>(factor * factor);
                squares += row[x] * row[x];
                peak = std::max<int64_t>(peak, row[x]);
            }
        }
        const float share = 1.0f / (factor * factor);
        counts[owner] = found;
        areas[owner] = squares * share * share;
        peaks[owner] = peak * share;
    }
}

// The same from soft masks [b r pixels], whose areas and peaks nobody asks for.
void semantic_gram_find_soft(const float* masks, int64_t owners, int64_t pixels, int32_t* places, float* weights,
                             int64_t* counts) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t owner = 0; owner < owners; ++owner) {
        const int64_t start = owner * pixels;
        int64_t found = 0;
        for (int64_t n = 0; n < pixels; ++n) {
            if (masks[start + n] == 0) continue;
            places[start + found] = n;
            weights[start + found++] = masks[start + n];
        }
        counts[owner] = found;
    }
}

// One sample's weighted features [channels, total], region after region.
void semantic_gram_gather(const float* features, const int32_t* places, const float* weights, const int64_t* counts,
                          int64_t channels, int64_t regions, int64_t pixels, int64_t total, int64_t squared,
                          float* out) {
#pragma omp parallel for
    for (int64_t c = 0; c < channels; ++c) {
        float* row = out + c * total;
        for (int64_t r = 0; r < regions; row += counts[r++])
            gather_row(features + c * pixels, places + r * pixels, weights + r * pixels, counts[r], squared, row);
    }
}

// One sample's gradient [channels, pixels]: every pixel is the sum of its entries, 0 without one.
void semantic_gram_scatter(const float* entries, const int32_t* places, const int64_t* counts, int64_t channels,
                           int64_t regions, int64_t pixels, int64_t total, float* out) {
#pragma omp parallel for
    for (int64_t c = 0; c < channels; ++c) {
        const float* entry = entries + c * total;
        float* row = out + c * pixels;
        std::memset(row, 0, pixels * sizeof(float));
        for (int64_t r = 0; r < regions; ++r)
            for (int64_t j = 0; j < counts[r]; ++j) row[places[r * pixels + j]] += *entry++;
    }
}
}
