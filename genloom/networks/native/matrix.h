// A weight matrix in panels of 16 rows and groups of 32 columns, times activations.
//
// Activations have 16 bits, since rounding them to 8 would show in what a model says; products are summed exactly, in 32.
// Weights stand as the dot product takes them, which wants two columns of a row side by side in 16 bits each: a lane of 32
// bits holds four such pairs of nibbles or two of bytes, 4 or 8 bits apart. A weight is scale x nibble + least (GGUF's
// Q4_1) or scale x signed byte (Q8_0). packing.py packs both.
#pragma once
#include "vectors.h"

enum { ROWS = 16, GROUP = 32 };

struct Matrix {
    int32_t rows, columns, bits;  // rows in whole panels, columns in whole groups
    const uint8_t* quants;        // panel, group, line (4 of nibbles or 8 of bytes), 16 rows, 32 bits
    const uint16_t* scales;       // panel, group, (scale, least) or (scale), 16 rows; float16
    const float* bias;            // rows, or null
};

// Rows of activations, each group of 32 with its own scale.
struct Activations {
    int columns;
    int16_t* values;  // token, column
    float* scales;    // token, group
    float* sums;      // token, group: scale x sum of the values, which meets the least of 4-bit weights

    int groups() const { return columns / GROUP; }
};

static inline void quantise(Floats a, Floats b, const Activations& to, int token, int group) {
    float most = largest(larger(magnitude(a), magnitude(b)));
    float scale = most / 32767, inverse = most > 0 ? 32767 / most : 0;
    Ints left = rounded(a * inverse), right = rounded(b * inverse);
    int16_t* values = to.values + (size_t)token * to.columns + group * GROUP;
    store_shorts(values, left);
    store_shorts(values + 16, right);
    size_t at = (size_t)token * to.groups() + group;
    to.scales[at] = scale;
    to.sums[at] = scale * sum(left + right);
}

// Root-mean-square normalisation (Zhang and Sennrich 2019) of a row, and its rounding.
static inline void normalise(const float* x, const float* weight, float eps, const Activations& to, int token) {
    Floats squares{};
    for (int i = 0; i < to.columns; i += 16) squares = fused(load(x + i), load(x + i), squares);
    float inverse = 1 / __builtin_sqrtf(sum(squares) / to.columns + eps);
    for (int g = 0; g < to.groups(); g++) {
        const float *at = x + g * GROUP, *w = weight + g * GROUP;
        quantise(load(at) * inverse * load(w), load(at + 16) * inverse * load(w + 16), to, token, g);
    }
}

// The sums of N tokens with one group of one panel; a group's values stand `columns` apart from token to token.
template <int BITS, int N>
static inline void add_group(const uint8_t* w, const int16_t* values, int columns, Lanes* sums) {
    const int pairs = 16 / BITS;
#pragma GCC unroll 8
    for (int line = 0; line < BITS; line++) {
        const Lanes lanes = load_lanes(w + line * 64);
#pragma GCC unroll 4
        for (int pair = 0; pair < pairs; pair++) {
            Lanes weights = BITS == 4 ? nibbles(lanes, pair) : bytes(lanes, pair);
            for (int i = 0; i < N; i++) sums[i] = dot(sums[i], weights, two(values + i * columns + 2 * (line * pairs + pair)));
        }
    }
}

// The products of one panel with N tokens from `first` on: 16 numbers a token. N hides the latency of the sums, and the
// weights, unpacked once, serve N tokens.
template <int BITS, int N>
static inline void panel_products(const Matrix& m, int panel, const Activations& x, int first, Floats* products) {
    const int groups = x.groups(), columns = x.columns, size = GROUP * ROWS * BITS / 8, numbers = BITS == 4 ? 2 * ROWS : ROWS;
    const uint8_t* w = m.quants + (size_t)panel * groups * size;
    const uint16_t* scales = m.scales + (size_t)panel * groups * numbers;
    const int16_t* values = x.values + (size_t)first * columns;
    const float *x_scales = x.scales + (size_t)first * groups, *x_sums = x.sums + (size_t)first * groups;
    Floats out[N];
    for (int i = 0; i < N; i++) out[i] = m.bias ? load(m.bias + panel * ROWS) : Floats{};
    for (int g = 0; g < groups; g++, w += size, scales += numbers) {
        if (N > 1)  // while this panel is multiplied, the next one comes into the second cache
            for (int line = 0; line < size; line += 64) __builtin_prefetch(w + (size_t)groups * size + line, 0, 2);
        Lanes sums[N] = {};
        add_group<BITS, N>(w, values + g * GROUP, columns, sums);
        Floats scale = halves(scales), least = BITS == 4 ? halves(scales + ROWS) : Floats{};
        for (int i = 0; i < N; i++) {
            out[i] = fused(floats(sums[i]), scale * x_scales[i * groups + g], out[i]);
            if (BITS == 4) out[i] = fused(least, all(x_sums[i * groups + g]), out[i]);
        }
    }
    for (int i = 0; i < N; i++) products[i] = out[i];
}

template <int N>
__attribute__((noinline)) static void products(const Matrix& m, int panel, const Activations& x, int first, Floats* out) {
    m.bits == 4 ? panel_products<4, N>(m, panel, x, first, out) : panel_products<8, N>(m, panel, x, first, out);
}

// Calls work(N, first) for tiles of 8, 4, 2 and 1 tokens; what a token gets does not depend on its tile.
template <class Work>
static inline void tiles(int tokens, Work work) {
    int first = 0;
    for (; first + 8 <= tokens; first += 8) work(std::integral_constant<int, 8>{}, first);
    if (tokens & 4) work(std::integral_constant<int, 4>{}, first), first += 4;
    if (tokens & 2) work(std::integral_constant<int, 2>{}, first), first += 2;
    if (tokens & 1) work(std::integral_constant<int, 1>{}, first);
}

// Multiplies all tokens with the matrix; use(token, row, sixteen products) says where they go. Called by all threads of
// a parallel region: panels are dealt out evenly and ahead, so that a result does not depend on how many threads there are.
template <class Use>
static inline void multiply(const Matrix& m, const Activations& x, int tokens, Use use) {
#pragma omp for schedule(static)
    for (int panel = 0; panel < m.rows / ROWS; panel++)
        tiles(tokens, [&](auto n, int first) {
            Floats out[n];
            products<n>(m, panel, x, first, out);
            for (int i = 0; i < n; i++) use(first + i, panel * ROWS, out[i]);
        });
}
