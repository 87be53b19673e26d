// `part_warp` for processors, on contiguous float32 maps.
//
// Each sample's live (pixel, part) pairs are listed once, with their four taps, in layers: layer k holds the k-th live
// part of every pixel that has one. So a layer never names a pixel twice and its loop runs in vectors. Tiles of a layer
// stay in the cache while all channels pass over them.
#include <cstring>
#include <vector>

#include "../part_masks/quad.h"
#include "../processors.h"

namespace {

constexpr int64_t kTile = 512;  // pairs: 20 kB of taps

struct Layer {
    std::vector<int32_t> pixel, source[4];
    std::vector<float> weight[4];
    std::vector<uint8_t> part;
};

struct Sample {
    std::vector<Layer> layers;
    std::vector<uint8_t> first_out;  // of every pixel: the first part that is masked out there; 255 where none is
};

struct Shape {
    int64_t b, c, p, h, w, image_h, image_w;
};

// Where feature row or column `i` lies among the picture's: its two neighbours and the second one's share.
struct Resized {
    int64_t first, second;
    float share;

    Resized(int64_t i, int64_t length, int64_t image_length) {
        const float scale = float(image_length) / float(length);
        const float place = std::max(0.0f, (float(i) + 0.5f) * scale - 0.5f);
        first = std::min(int64_t(place), image_length - 1);
        second = std::min(first + 1, image_length - 1);
        share = std::min(std::max(place - float(first), 0.0f), 1.0f);
    }
};

float mask_at(const spt::Quad& quad, const Resized& x, const Resized& y) {
    const auto at = [&](int64_t column, int64_t row) { return quad.covers(column, row) ? 1.0f : 0.0f; };
    const float top = x.share == 0 ? at(x.first, y.first)
                                   : (1 - x.share) * at(x.first, y.first) + x.share * at(x.second, y.first);
    if (y.share == 0) return top;
    const float bottom = x.share == 0 ? at(x.first, y.second)
                                      : (1 - x.share) * at(x.first, y.second) + x.share * at(x.second, y.second);
    return (1 - y.share) * top + y.share * bottom;
}

// The four pixels that a target pixel reads, and their weights, the mask in them.
struct Taps {
    int32_t source[4];
    float weight[4];

    Taps(const Shape& s, const float* map, float x, float y, float mask) {
        // The order of the arithmetic is `reference.positions`'.
        const float at_x = (((map[0] * x + map[1] * y) + map[2]) + 1) * (float(s.w - 1) / 2);
        const float at_y = (((map[3] * x + map[4] * y) + map[5]) + 1) * (float(s.h - 1) / 2);
        const float left = std::floor(at_x), top = std::floor(at_y);
        const float across[2] = {1 - (at_x - left), at_x - left}, down[2] = {1 - (at_y - top), at_y - top};
        for (int tap = 0; tap < 4; ++tap) {
            const float column = left + float(tap % 2), row = top + float(tap / 2);
            const bool inside = column >= 0 && column <= float(s.w - 1) && row >= 0 && row <= float(s.h - 1);
            source[tap] = inside ? int32_t(row) * int32_t(s.w) + int32_t(column) : 0;
            weight[tap] = inside ? down[tap / 2] * mask * across[tap % 2] : 0.0f;
        }
    }
};

void add_pair(Layer& layer, const Taps& taps, int64_t pixel, int part) {
    layer.pixel.push_back(int32_t(pixel)), layer.part.push_back(uint8_t(part));
    for (int tap = 0; tap < 4; ++tap) {
        layer.source[tap].push_back(taps.source[tap]);
        layer.weight[tap].push_back(taps.weight[tap]);
    }
}

Sample list_pairs(const Shape& s, const float* maps, const double* quads, const float* axis_x, const float* axis_y) {
    Sample sample;
    sample.first_out.assign(s.h * s.w, 255);
    std::vector<uint8_t> live(s.h * s.w, 0);
    for (int64_t part = 0; part < s.p; ++part) {
        const spt::Quad quad(quads + 8 * part, s.image_h, s.image_w);
        for (int64_t row = 0; row < s.h; ++row) {
            const Resized y(row, s.h, s.image_h);
            const bool missed = quad.absent() || y.second < quad.top || y.first >= quad.bottom;
            for (int64_t column = 0; column < s.w; ++column) {
                const int64_t pixel = row * s.w + column;
                const float mask = missed ? 0.0f : mask_at(quad, Resized(column, s.w, s.image_w), y);
                if (mask == 0) {
                    if (sample.first_out[pixel] == 255) sample.first_out[pixel] = uint8_t(part);
                    continue;
                }
                const int64_t level = live[pixel]++;
                if (level == int64_t(sample.layers.size())) sample.layers.emplace_back();
                add_pair(sample.layers[level], Taps(s, maps + 6 * part, axis_x[column], axis_y[row], mask), pixel, int(part));
            }
        }
    }
    return sample;
}

HOT void sample_tile(const Layer& layer, int64_t begin, int64_t end, const float* plane, float* sampled) {
    const int32_t *i0 = layer.source[0].data(), *i1 = layer.source[1].data();
    const int32_t *i2 = layer.source[2].data(), *i3 = layer.source[3].data();
    const float *w0 = layer.weight[0].data(), *w1 = layer.weight[1].data();
    const float *w2 = layer.weight[2].data(), *w3 = layer.weight[3].data();
    for (int64_t n = begin; n < end; ++n)
        sampled[n - begin] = w0[n] * plane[i0[n]] + w1[n] * plane[i1[n]] + w2[n] * plane[i2[n]] + w3[n] * plane[i3[n]];
}

HOT void join_zero(const uint8_t* first_out, float* values, uint8_t* winners, int64_t pixels) {
    for (int64_t n = 0; n < pixels; ++n) {
        const bool zero = first_out[n] != 255 && (values[n] < 0 || (values[n] == 0 && first_out[n] < winners[n]));
        values[n] = zero ? 0.0f : values[n];
        winners[n] = zero ? first_out[n] : winners[n];
    }
}

// The maximum of what is there and of four pixels' weighted sum, over all channels.
HOT void join_pixel(const float* features, const Taps& taps, int64_t channels, float* values) {
    const float *f0 = features + taps.source[0] * channels, *f1 = features + taps.source[1] * channels;
    const float *f2 = features + taps.source[2] * channels, *f3 = features + taps.source[3] * channels;
    const float w0 = taps.weight[0], w1 = taps.weight[1], w2 = taps.weight[2], w3 = taps.weight[3];
#pragma GCC ivdep
    for (int64_t c = 0; c < channels; ++c) {
        const float found = w0 * f0[c] + w1 * f1[c] + w2 * f2[c] + w3 * f3[c], best = values[c];
        values[c] = found > best || found != found ? found : best;  // a NaN stays seen
    }
}

}  // namespace

// The values alone, of channels-last features: features [b h w c] -> values [b h w c]
extern "C" void spt_part_warp_last(
    const float* features, const float* maps, const double* quads, const float* axis_x, const float* axis_y,
    float* values, int64_t b, int64_t c, int64_t p, int64_t h, int64_t w, int64_t image_h, int64_t image_w) {
    const Shape s{b, c, p, h, w, image_h, image_w};
    std::vector<spt::Quad> parts;
    for (int64_t i = 0; i < b * p; ++i) parts.emplace_back(quads + 8 * i, image_h, image_w);
    std::vector<Resized> columns;
    for (int64_t column = 0; column < w; ++column) columns.emplace_back(column, w, image_w);
#pragma omp parallel for schedule(dynamic)
    for (int64_t line = 0; line < b * h; ++line) {
        const int64_t sample = line / h, row = line % h;
        const Resized y(row, h, image_h);
        const float* of_sample = features + sample * h * w * c;
        for (int64_t column = 0; column < w; ++column) {
            float* value = values + (line * w + column) * c;
            bool out = false;
            std::fill(value, value + c, -INFINITY);
            for (int64_t part = 0; part < p; ++part) {
                const spt::Quad& quad = parts[sample * p + part];
                const Resized& x = columns[column];
                const bool missed = quad.absent() || y.second < quad.top || y.first >= quad.bottom ||
                                    x.second < quad.left || x.first >= quad.right;
                const float mask = missed ? 0.0f : mask_at(quad, x, y);
                if (mask == 0) out = true;
                else join_pixel(of_sample, Taps(s, maps + (sample * p + part) * 6, axis_x[column], axis_y[row], mask), c, value);
            }
            if (out)
                for (int64_t channel = 0; channel < c; ++channel) value[channel] = value[channel] < 0 ? 0.0f : value[channel];
        }
    }
}

// features [b c h w], maps [b p 2 3], quads [b p 4 2], axes [w] and [h] -> values and winners, both [b c h w]
extern "C" void spt_part_warp_forward(
    const float* features, const float* maps, const double* quads, const float* axis_x, const float* axis_y,
    float* values, uint8_t* winners, int64_t b, int64_t c, int64_t p, int64_t h, int64_t w, int64_t image_h,
    int64_t image_w) {
    const Shape s{b, c, p, h, w, image_h, image_w};
    const int64_t pixels = h * w;
    for (int64_t i = 0; i < b; ++i) {
        const Sample sample = list_pairs(s, maps + i * p * 6, quads + i * p * 8, axis_x, axis_y);
#pragma omp parallel for
        for (int64_t channel = 0; channel < c; ++channel) {
            const float* plane = features + (i * c + channel) * pixels;
            float* value = values + (i * c + channel) * pixels;
            uint8_t* winner = winners + (i * c + channel) * pixels;
            std::fill(value, value + pixels, -INFINITY);
            std::memset(winner, 0, pixels);
            float sampled[kTile];
            for (const Layer& layer : sample.layers) {
                const int64_t pairs = layer.pixel.size();
                for (int64_t begin = 0; begin < pairs; begin += kTile) {
                    const int64_t end = std::min(begin + kTile, pairs);
                    sample_tile(layer, begin, end, plane, sampled);
                    for (int64_t n = begin; n < end; ++n) {
                        const float found = sampled[n - begin];
                        float& best = value[layer.pixel[n]];
                        const bool better = found > best || found != found;  // a NaN stays seen
                        best = better ? found : best;
                        winner[layer.pixel[n]] = better ? layer.part[n] : winner[layer.pixel[n]];
                    }
                }
            }
            join_zero(sample.first_out.data(), value, winner, pixels);
        }
    }
}

// The gradient of the values [b c h w] and the winners -> that of the features [b c h w].
extern "C" void spt_part_warp_backward(
    const float* grads, const uint8_t* winners, const float* maps, const double* quads, const float* axis_x,
    const float* axis_y, float* result, int64_t b, int64_t c, int64_t p, int64_t h, int64_t w, int64_t image_h,
    int64_t image_w) {
    const Shape s{b, c, p, h, w, image_h, image_w};
    const int64_t pixels = h * w;
    for (int64_t i = 0; i < b; ++i) {
        const Sample sample = list_pairs(s, maps + i * p * 6, quads + i * p * 8, axis_x, axis_y);
#pragma omp parallel for
        for (int64_t channel = 0; channel < c; ++channel) {
            const float* grad = grads + (i * c + channel) * pixels;
            const uint8_t* winner = winners + (i * c + channel) * pixels;
            float* plane = result + (i * c + channel) * pixels;
            std::memset(plane, 0, pixels * sizeof(float));
            for (const Layer& layer : sample.layers) {
                const int64_t pairs = layer.pixel.size();
                for (int64_t n = 0; n < pairs; ++n) {
                    const int32_t pixel = layer.pixel[n];
                    if (winner[pixel] != layer.part[n]) continue;
                    const float value = grad[pixel];
                    for (int tap = 0; tap < 4; ++tap) plane[layer.source[tap][n]] += layer.weight[tap][n] * value;
                }
            }
        }
    }
}
