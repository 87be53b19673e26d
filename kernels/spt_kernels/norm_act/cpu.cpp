// `norm_act` for processors, of whole samples, without gradients: one pass for both moments, one that writes.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "../processors.h"

namespace {

constexpr int64_t kChunk = 4096, kLanes = 16;  // numbers whose sums are float32; sums side by side

// Sums of the numbers less `origin`, and of their squares.
HOT void add_moments(const float* x, int64_t count, float origin, double* sums) {
    float sum[kLanes] = {}, square[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        for (int64_t lane = 0; lane < kLanes; ++lane) {
            const float number = x[i + lane] - origin;
            sum[lane] += number, square[lane] += number * number;
        }
    for (; i < count; ++i) sum[0] += x[i] - origin, square[0] += (x[i] - origin) * (x[i] - origin);
    for (int64_t lane = 0; lane < kLanes; ++lane) sums[0] += sum[lane], sums[1] += square[lane];
}

HOT void apply(const float* x, float* out, int64_t count, float scale, float shift, float slope) {
    for (int64_t i = 0; i < count; ++i) {
        const float number = x[i] * scale + shift, scaled = number * slope;
        out[i] = number < 0 ? scaled : number;
    }
}

}  // namespace

// x [b n] -> out [b n]: every sample normalised, times weight [1], plus bias [1], then a leaky ReLU
extern "C" void spt_norm_act_whole(const float* x, const float* weight, const float* bias, float* out, int64_t b, int64_t n,
                                   double eps, double slope) {
    const int64_t chunks = (n + kChunk - 1) / kChunk;
    std::vector<double> sums(2 * b * chunks, 0.0);
#pragma omp parallel
    {
#pragma omp for
        for (int64_t i = 0; i < b * chunks; ++i) {
            const int64_t sample = i / chunks, begin = i % chunks * kChunk;
            add_moments(x + sample * n + begin, std::min(kChunk, n - begin), x[sample * n], sums.data() + 2 * i);
        }
        std::vector<float> scale(b), shift(b);  // every thread its own: cheaper than to wait for one
        for (int64_t sample = 0; sample < b; ++sample) {
            double sum = 0, square = 0;
            for (int64_t i = sample * chunks; i < (sample + 1) * chunks; ++i) sum += sums[2 * i], square += sums[2 * i + 1];
            const double mean = sum / double(n), variance = std::max(0.0, square / double(n) - mean * mean);
            scale[sample] = float(weight[0] / std::sqrt(variance + eps));
            shift[sample] = float(bias[0] - (mean + x[sample * n]) * double(scale[sample]));
        }
#pragma omp for
        for (int64_t i = 0; i < b * chunks; ++i) {
            const int64_t sample = i / chunks, begin = sample * n + i % chunks * kChunk;
            apply(x + begin, out + begin, std::min(kChunk, (sample + 1) * n - begin), scale[sample], shift[sample], float(slope));
        }
    }
}
