// `part_masks` for processors: only the pixels of each quadrilateral's box are asked.
#include <cstring>

#include "quad.h"

// quads [n 4 2] -> out [n h w], one byte a pixel
extern "C" void spt_part_masks(const double* quads, bool* out, int64_t n, int64_t h, int64_t w) {
#pragma omp parallel for schedule(dynamic)
    for (int64_t i = 0; i < n; ++i) {
        const spt::Quad quad(quads + 8 * i, h, w);
        bool* mask = out + i * h * w;
        std::memset(mask, 0, h * w);
        for (int64_t row = quad.top; row < quad.bottom; ++row) {
            if (quad.upright && quad.right > quad.left) std::memset(mask + row * w + quad.left, 1, quad.right - quad.left);
            if (quad.upright) continue;
            for (int64_t column = quad.left; column < quad.right; ++column) mask[row * w + column] = quad.covers(column, row);
        }
    }
}
