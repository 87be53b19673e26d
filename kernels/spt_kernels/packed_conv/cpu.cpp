// `packed_conv` for processors: convolutions of channels-last maps with weights that were packed before.
//
// Maps come in parts, side by side along the channels, so nobody joins them; the leaky ReLU in front of a convolution is
// taken on the way. A direct convolution reads a copy with a border of zeros, in which the numbers under a kernel's row
// lie side by side. A doubling one on many pixels goes through tiles of 6x6 (see tile_conv), a block of rows of tiles
// at a time, so that what is written is still near when it is read.
#include <cstring>
#include <memory>

#include "../tile_conv/tiles.h"
#include "maps.h"
#include "multiply.h"

namespace {

using spt::kDepth;
using spt::kLanes;
using spt::kSide;

constexpr int64_t kRowsAtOnce = 96;
constexpr int64_t kBlockNumbers = 1 << 20;  // of a block's tiles, 4 MB: several times a second cache, a part of the third

// How a convolution meets a padded map: where its numbers lie, and where its results go.
struct Conv {
    int64_t b, rows, columns, stride, first_row, first_column;  // pixels of results; where their windows begin
    int64_t padded_w, sample, pixel;                            // numbers of the padded map: a row's pixels, a sample, a pixel
    int64_t kernel, runs, run, step;                            // a kernel's rows; runs of numbers in each, how far apart
    int64_t out_sample, out_row, out_pixel, outputs;

    // Where `count` windows from `begin` on lie, and their results.
    void place(int64_t begin, int64_t count, const float* padded, float* out, const float** window, float** result) const {
        int64_t column = begin % columns, row = begin / columns % rows, n = begin / columns / rows;
        for (int64_t i = 0; i < count; ++i) {
            window[i] = padded + n * sample + ((row * stride + first_row) * padded_w + column * stride + first_column) * pixel;
            result[i] = out + n * out_sample + row * out_row + column * out_pixel;
            if (++column == columns) column = 0, ++row;
            if (row == rows) row = 0, ++n;
        }
    }
};

// Some windows, some panels.
void convolve(const Conv& c, const float* padded, const float* weight, const float* bias, float* out, int64_t begin,
              int64_t end, int64_t first_panel, int64_t last_panel) {
    const float *window[kRowsAtOnce], *at[kRowsAtOnce];
    float *result[kRowsAtOnce], *to[kRowsAtOnce];
    const int64_t count = end - begin, depth = c.kernel * c.runs * c.run;
    c.place(begin, count, padded, out, window, result);
    if (bias)
        for (int64_t i = 0; i < count; ++i)
            std::memcpy(result[i] + first_panel * kLanes, bias + first_panel * kLanes, (last_panel - first_panel) * kLanes * sizeof(float));
    int64_t done = 0;
    for (int64_t y = 0; y < c.kernel; ++y)
        for (int64_t r = 0; r < c.runs; ++r)
            for (int64_t k = 0; k < c.run;) {
                const int64_t pass = std::min(c.run - k > kDepth && c.run - k < 2 * kDepth ? (c.run - k + 1) / 2 : kDepth, c.run - k);
                for (int64_t i = 0; i < count; ++i) at[i] = window[i] + y * c.padded_w * c.pixel + r * c.step + k;
                for (int64_t p = first_panel; p < last_panel; ++p) {
                    for (int64_t i = 0; i < count; ++i) to[i] = result[i] + p * kLanes;
                    spt::multiply(at, count, weight + (p * depth + done) * kLanes, pass, to, done == 0 && !bias);
                }
                k += pass, done += pass;
            }
}

void convolve_all(const Conv& c, const float* padded, const float* weight, const float* bias, float* out) {
    const int64_t windows = c.b * c.rows * c.columns, panels = c.outputs / kLanes;
    const int64_t strips = (windows + kRowsAtOnce - 1) / kRowsAtOnce;
    const int64_t groups = strips >= 16 ? 1 : std::min<int64_t>(panels, strips >= 4 ? 4 : 16);
#pragma omp parallel for collapse(2) schedule(dynamic)
    for (int64_t g = 0; g < groups; ++g)
        for (int64_t s = 0; s < strips; ++s)
            convolve(c, padded, weight, bias, out, windows * s / strips, windows * (s + 1) / strips, panels * g / groups,
                     panels * (g + 1) / groups);
}

// The window of 6x6 pixels of one tile, 8 channels of it, as 36 numbers a channel.
INLINE void window_forth(const float* const* pixels, int64_t channel, float slope, float* out, int64_t stride) {
    Lanes rows[kSide][kSide];
    for (int64_t x = 0; x < kSide; ++x) {
        Lanes v[kSide], t[kSide];
        for (int64_t y = 0; y < kSide; ++y) {
            v[y] = *reinterpret_cast<const Lanes*>(pixels[y * kSide + x] + channel);
            activate(v[y], slope);
        }
        spt::forth<kSide>(v, t);
        for (int64_t y = 0; y < kSide; ++y) rows[y][x] = t[y];
    }
    for (int64_t y = 0; y < kSide; ++y) {
        Lanes t[kSide];
        spt::forth<kSide>(rows[y], t);
        for (int64_t x = 0; x < kSide; ++x) *reinterpret_cast<Lanes*>(out + (y * kSide + x) * stride) = t[x];
    }
}

constexpr int64_t kStep = 5;  // of a 2x2 kernel's tiles

struct Doubling {
    int64_t b, h, w, channels, outputs, down, across;
    int64_t row() const { return channels + kLanes; }  // numbers of a tile's row: rows 4 kB apart would share few places of a cache
    int64_t tiles() const { return b * down * across; }
};

HOT void windows(const Doubling& d, const Maps& maps, const float* zeros, int64_t tile, float* out, int64_t stride) {
    const int64_t column = tile % d.across * kStep - 1, row = tile / d.across % d.down * kStep - 1, n = tile / d.across / d.down;
    for (int64_t part = 0; part < kMostParts && maps.channels[part]; ++part) {
        const int64_t c = maps.channels[part];
        const float* pixels[kSide * kSide];
        for (int64_t y = 0; y < kSide; ++y)
            for (int64_t x = 0; x < kSide; ++x) {
                const bool inside = row + y >= 0 && row + y < d.h && column + x >= 0 && column + x < d.w;
                pixels[y * kSide + x] = inside ? maps.of[part] + ((n * d.h + row + y) * d.w + column + x) * c : zeros;
            }
        for (int64_t channel = 0; channel < c; channel += kVector)
            window_forth(pixels, channel, maps.slope, out + channel, stride);
        out += c;
    }
}

// One tile's 36 numbers, of all four phases, as pixels of the result.
HOT void phases(const Doubling& d, const float* numbers, int64_t stride, int64_t tile, float* result) {
    const int64_t column = tile % d.across * kStep, row = tile / d.across % d.down * kStep, n = tile / d.across / d.down;
    for (int64_t phase = 0; phase < 4; ++phase) {
        const int64_t p = phase / 2, q = phase % 2;
        for (int64_t o = 0; o < d.outputs; o += kVector) {
            Lanes rows[kStep][kSide];
            for (int64_t x = 0; x < kSide; ++x) {
                Lanes t[kSide], v[kStep];
                for (int64_t y = 0; y < kSide; ++y)
                    t[y] = *reinterpret_cast<const Lanes*>(numbers + (y * kSide + x) * stride + phase * d.outputs + o);
                spt::back<kStep>(t, v);
                for (int64_t y = 0; y < kStep; ++y) rows[y][x] = v[y];
            }
            for (int64_t y = 0; y < kStep; ++y) {
                const int64_t i = row + y - p;
                if (i < 0 || i >= d.h) continue;
                Lanes v[kStep];
                spt::back<kStep>(rows[y], v);
                float* to = result + ((n * d.h + i) * 2 + p) * 2 * d.w * d.outputs + o;
                for (int64_t x = 0; x < kStep; ++x) {
                    const int64_t j = column + x - q;
                    if (j >= 0 && j < d.w) *reinterpret_cast<Lanes*>(to + (2 * j + q) * d.outputs) = v[x];
                }
            }
        }
    }
}

// One of the 36 products of a block of tiles: some panels.
void product(const float* x, int64_t x_row, int64_t rows, const float* weight, int64_t depth, float* out, int64_t out_row,
             int64_t first_panel, int64_t last_panel) {
    for (int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
        const int64_t count = std::min(kRowsAtOnce, rows - begin);
        const float* at[kRowsAtOnce];
        float* to[kRowsAtOnce];
        for (int64_t k = 0; k < depth; k += kDepth) {
            for (int64_t i = 0; i < count; ++i) at[i] = x + (begin + i) * x_row + k;
            for (int64_t p = first_panel; p < last_panel; ++p) {
                for (int64_t i = 0; i < count; ++i) to[i] = out + (begin + i) * out_row + p * kLanes;
                spt::multiply(at, count, weight + (p * depth + k) * kLanes, std::min(kDepth, depth - k), to, k == 0);
            }
        }
    }
}

}  // namespace

// Parts -> one map with a border of zeros, [b, h + 2 pad, w + 2 pad, pixel], `pixel` numbers a pixel.
extern "C" void spt_packed_pad(const float* m0, const float* m1, const float* m2, const float* m3, const int64_t* layout,
                               float* padded, int64_t b, int64_t h, int64_t w, int64_t pad, int64_t pixel, double slope) {
    const Maps maps = maps_of(m0, m1, m2, m3, layout, slope);
    const int64_t rows = h + 2 * pad, columns = w + 2 * pad;
#pragma omp parallel for
    for (int64_t row = 0; row < b * rows; ++row) {
        float* to = padded + row * columns * pixel;
        const int64_t y = row % rows - pad, n = row / rows;
        if (y < 0 || y >= h) {
            std::fill(to, to + columns * pixel, 0.0f);
            continue;
        }
        std::fill(to, to + pad * pixel, 0.0f);
        std::fill(to + (pad + w) * pixel, to + columns * pixel, 0.0f);
        copy_row(maps, n, h, y, w, to + pad * pixel, pixel);
    }
}

// A padded map -> [b, (h - k) / stride + 1, (w - k) / stride + 1, outputs]
extern "C" void spt_packed_conv(const float* padded, const float* weight, const float* bias, float* out, int64_t b, int64_t h,
                                int64_t w, int64_t channels, int64_t pixel, int64_t kernel, int64_t stride, int64_t outputs) {
    const int64_t rows = (h - kernel) / stride + 1, columns = (w - kernel) / stride + 1;
    const bool whole = pixel == channels;
    convolve_all({b, rows, columns, stride, 0, 0, w, h * w * pixel, pixel, kernel, whole ? 1 : kernel,
                  whole ? kernel * channels : channels, pixel, rows * columns * outputs, columns * outputs, outputs, outputs},
                 padded, weight, bias, out);
}

// A map padded by one -> [b, 2 (h - 2), 2 (w - 2), outputs]; the weight [4, outputs / 16, 4 c, 16] by phase
extern "C" void spt_packed_conv_transposed(const float* padded, const float* weight, float* out, int64_t b, int64_t h, int64_t w,
                                           int64_t channels, int64_t pixel, int64_t outputs) {
    const int64_t rows = h - 2, columns = w - 2;
    const bool whole = pixel == channels;
    for (int64_t phase = 0; phase < 4; ++phase) {
        const int64_t p = phase / 2, q = phase % 2;
        convolve_all({b, rows, columns, 1, p, q, w, h * w * pixel, pixel, 2, whole ? 1 : 2, whole ? 2 * channels : channels,
                      pixel, 4 * rows * columns * outputs, 4 * columns * outputs, 2 * outputs, outputs},
                     padded, weight + phase * 4 * channels * outputs, nullptr, out + (p * 2 * columns + q) * outputs);
    }
}

// The same by tiles, from parts [b h w c_i]; the weight [36, 4 outputs / 16, c, 16]
extern "C" void spt_packed_tiles_transposed(const float* m0, const float* m1, const float* m2, const float* m3,
                                            const int64_t* layout, const float* weight, float* out, int64_t b, int64_t h,
                                            int64_t w, int64_t channels, int64_t outputs, double slope) {
    const Maps maps = maps_of(m0, m1, m2, m3, layout, slope);
    const Doubling d{b, h, w, channels, outputs, (h + 1 + kStep - 1) / kStep, (w + 1 + kStep - 1) / kStep};
    const int64_t products = kSide * kSide, wide = 4 * outputs, panels = wide / kLanes;
    const int64_t most = std::max<int64_t>(kRowsAtOnce, kBlockNumbers / (products * (d.row() + wide)));
    const int64_t blocks = (d.tiles() + most - 1) / most, size = (d.tiles() + blocks - 1) / blocks;
    const std::unique_ptr<float[]> zeros(new float[channels]()), x(new float[products * size * d.row()]),
        y(new float[products * size * wide]);
    const int64_t groups = std::min<int64_t>(panels, 4);
#pragma omp parallel
    for (int64_t begin = 0; begin < d.tiles(); begin += size) {
        const int64_t count = std::min(size, d.tiles() - begin);
#pragma omp for
        for (int64_t i = 0; i < count; ++i) windows(d, maps, zeros.get(), begin + i, x.get() + i * d.row(), size * d.row());
#pragma omp for collapse(2) schedule(dynamic)
        for (int64_t e = 0; e < products; ++e)
            for (int64_t g = 0; g < groups; ++g)
                product(x.get() + e * size * d.row(), d.row(), count, weight + e * channels * wide, channels,
                        y.get() + e * size * wide, wide, panels * g / groups, panels * (g + 1) / groups);
#pragma omp for
        for (int64_t i = 0; i < count; ++i) phases(d, y.get() + i * wide, size * wide, begin + i, out);
    }
}

// Parts [b h w c_i] -> [b h w outputs], a 3x3 convolution as one product of all pixels with all taps, whose nine shifted
// results are summed; the weight [taps / 16, c, 16], `taps >= 9 outputs`.
extern "C" void spt_packed_taps(const float* m0, const float* m1, const float* m2, const float* m3, const int64_t* layout,
                                const float* weight, const float* bias, float* out, int64_t b, int64_t h, int64_t w,
                                int64_t channels, int64_t taps, int64_t outputs, double slope) {
    const Maps maps = maps_of(m0, m1, m2, m3, layout, slope);
    const int64_t pixels = b * h * w, strips = (pixels + kRowsAtOnce - 1) / kRowsAtOnce;
    const std::unique_ptr<float[]> products(new float[pixels * taps]);
#pragma omp parallel
    {
        const std::unique_ptr<float[]> joined(new float[kRowsAtOnce * channels]);
#pragma omp for
        for (int64_t s = 0; s < strips; ++s) {
            const int64_t begin = s * kRowsAtOnce, count = std::min(kRowsAtOnce, pixels - begin);
            for (int64_t i = 0; i < count; ++i) copy_pixel(maps, begin + i, joined.get() + i * channels);
            product(joined.get(), channels, count, weight, channels, products.get() + begin * taps, taps, 0, taps / kLanes);
        }
#pragma omp for
        for (int64_t row = 0; row < b * h; ++row) {
            const int64_t y = row % h;
            float* to = out + row * w * outputs;
            for (int64_t x = 0; x < w; ++x) std::memcpy(to + x * outputs, bias, outputs * sizeof(float));
            for (int64_t dy = std::max<int64_t>(-1, -y); dy <= std::min<int64_t>(1, h - 1 - y); ++dy)
                for (int64_t dx = -1; dx <= 1; ++dx) {
                    const float* from = products.get() + (row + dy) * w * taps + ((dy + 1) * 3 + dx + 1) * outputs;
                    for (int64_t x = std::max<int64_t>(0, -dx); x < std::min(w, w - dx); ++x)
                        for (int64_t o = 0; o < outputs; ++o) to[x * outputs + o] += from[(x + dx) * taps + o];
                }
        }
    }
}
