// Which pixels a quadrilateral covers: the definition is `part_masks/reference.py`, in the same order of arithmetic.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace spt {

constexpr double kOnCornerPx = 1e-12;

struct Quad {
    double x[4], y[4];
    int64_t left = 0, top = 0, right = 0, bottom = 0;  // the box of pixels round it, ends excluded; empty when absent
    bool upright = false;  // an upright rectangle covers its box: the frame, the head

    Quad(const double* corners, int64_t height, int64_t width) {
        double low_x = INFINITY, low_y = INFINITY, high_x = -INFINITY, high_y = -INFINITY;
        for (int i = 0; i < 4; ++i) {
            x[i] = corners[2 * i], y[i] = corners[2 * i + 1];
            if (!(std::isfinite(x[i]) && std::isfinite(y[i]))) return;
            low_x = std::min(low_x, x[i]), high_x = std::max(high_x, x[i]);
            low_y = std::min(low_y, y[i]), high_y = std::max(high_y, y[i]);
        }
        upright = (x[0] == x[3] && x[1] == x[2] && y[0] == y[1] && y[2] == y[3]) ||
                  (x[0] == x[1] && x[2] == x[3] && y[0] == y[3] && y[1] == y[2]);
        if (upright) low_x = std::ceil(low_x), low_y = std::ceil(low_y), high_x = std::floor(high_x), high_y = std::floor(high_y);
        left = int64_t(std::floor(std::clamp(low_x, 0.0, double(width))));
        top = int64_t(std::floor(std::clamp(low_y, 0.0, double(height))));
        right = int64_t(std::ceil(std::clamp(high_x + 1, 0.0, double(width))));
        bottom = int64_t(std::ceil(std::clamp(high_y + 1, 0.0, double(height))));
    }

    bool absent() const { return left >= right || top >= bottom; }

    // Even-odd crossings of the vertical rays from the centre, up and down; on a border they differ.
    bool covers(int64_t column, int64_t row) const {
        if (column < left || column >= right || row < top || row >= bottom) return false;
        if (upright) return true;
        bool below = false, above = false;
        for (int i = 0, last = 3; i < 4; last = i++) {
            const double x1 = x[i] - column, x0 = x[last] - column;
            const double y1 = y[i] - row, y0 = y[last] - row;
            if (std::fabs(x1) < kOnCornerPx && std::fabs(y1) < kOnCornerPx) return true;
            const bool down = (x1 > 0) != (x0 > 0), up = (x1 < 0) != (x0 < 0);
            if (!(down || up)) continue;
            const double crossing = (y1 * x0 - y0 * x1) * ((x0 > x1) - (x0 < x1));
            below ^= down && crossing > 0;
            above ^= up && crossing < 0;
        }
        return below || above;
    }
};

}  // namespace spt
