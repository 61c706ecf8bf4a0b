// Padding by reflection, also of too few rows to reflect. Source: `nn.conv.reflect_pad`.
#pragma once

#include <algorithm>
#include <limits>

constexpr int ZERO_ROW = std::numeric_limits<int>::min();

// The index, among `rows` rows, of the padded row `at`, or ZERO_ROW. `reach` is the size of the
// padding, or of its larger side; too few rows are first extended by zeros:
//
//     reach 4, rows a b c         0 0 c b [a b c] 0 0 0 c
//                                 reflected at a   and at the second 0
static inline int reflected(int at, int rows, int reach) {
    const int end = std::max(rows - 1, reach);
    const int from = at < 0 ? -at : at > end ? 2 * end - at : at;
    return from < rows ? from : ZERO_ROW;
}
