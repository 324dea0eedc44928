// Products of activations with a weight matrix in panels of 16 rows and groups of 32 columns.
//
// Activations have 16 bits, because rounding them to 8 changes what a model writes; products are summed exactly, in 32.
// The layout of the weights follows the dot product, which takes two columns of a row side by side in 16 bits each: a
// lane of 32 bits holds four such pairs of nibbles or two of bytes, 4 or 8 bits apart. A weight is scale x nibble +
// minimum (GGUF's Q4_1) or scale x signed byte (Q8_0). block_quantization.py writes both.
#pragma once
#include "vectors.h"

enum { PANEL_ROWS = 16, GROUP_SIZE = 32 };

struct Matrix {
    int32_t rows, columns, bits;  // rows: a multiple of the panel, columns: of the group
    const uint8_t* quants;        // panel, group, line (4 of nibbles or 8 of bytes), 16 rows, 32 bits
    const uint16_t* scales;       // panel, group, (scale, minimum) or (scale), 16 rows; float16
    const float* bias;            // rows, or null
};

// Rows of activations; each group of 32 has its own scale.
struct Activations {
    int columns;
    int16_t* values;  // token, column
    float* scales;    // token, group
    float* sums;      // token, group: scale x sum of the values, the factor of the minimum of 4-bit weights

    int groups() const { return columns / GROUP_SIZE; }
};

static inline void quantize(Floats a, Floats b, const Activations& to, int token, int group) {
    float max_abs = reduce_max(max(magnitude(a), magnitude(b)));
    float scale = max_abs / 32767, inverse = max_abs > 0 ? 32767 / max_abs : 0;
    Ints left = round_to_int(a * inverse), right = round_to_int(b * inverse);
    int16_t* values = to.values + (size_t)token * to.columns + group * GROUP_SIZE;
    store_int16(values, left);
    store_int16(values + 16, right);
    size_t index = (size_t)token * to.groups() + group;
    to.scales[index] = scale;
    to.sums[index] = scale * reduce_sum(left + right);
}

// Normalizes a row by its root mean square (Zhang and Sennrich 2019) and rounds it.
static inline void rms_norm(const float* x, const float* weight, float eps, const Activations& to, int token) {
    Floats squares{};
    for (int i = 0; i < to.columns; i += 16) squares = fmadd(load(x + i), load(x + i), squares);
    float inverse = 1 / __builtin_sqrtf(reduce_sum(squares) / to.columns + eps);
    for (int g = 0; g < to.groups(); g++) {
        const float *values = x + g * GROUP_SIZE, *w = weight + g * GROUP_SIZE;
        quantize(load(values) * inverse * load(w), load(values + 16) * inverse * load(w + 16), to, token, g);
    }
}

// Adds the dot products of N tokens with one group of one panel; a token's values start `columns` after the last one's.
template <int BITS, int N>
static inline void add_group(const uint8_t* w, const int16_t* values, int columns, Lanes* sums) {
    const int pairs = 16 / BITS;
#pragma GCC unroll 8
    for (int line = 0; line < BITS; line++) {
        const Lanes lanes = load_lanes(w + line * 64);
#pragma GCC unroll 4
        for (int pair = 0; pair < pairs; pair++) {
            Lanes weights = BITS == 4 ? unpack_nibbles(lanes, pair) : unpack_bytes(lanes, pair);
            for (int i = 0; i < N; i++)
                sums[i] = dot(sums[i], weights, load_pair(values + i * columns + 2 * (line * pairs + pair)));
        }
    }
}

// Computes the products of one panel with N tokens from `first` on: 16 numbers per token. N hides the latency of the
// sums, and the weights are unpacked once for N tokens.
template <int BITS, int N>
static inline void multiply_panel_bits(const Matrix& m, int panel, const Activations& x, int first, Floats* products) {
    const int groups = x.groups(), columns = x.columns;
    const int size = GROUP_SIZE * PANEL_ROWS * BITS / 8, numbers = BITS == 4 ? 2 * PANEL_ROWS : PANEL_ROWS;
    const uint8_t* w = m.quants + (size_t)panel * groups * size;
    const uint16_t* scales = m.scales + (size_t)panel * groups * numbers;
    const int16_t* values = x.values + (size_t)first * columns;
    const float *x_scales = x.scales + (size_t)first * groups, *x_sums = x.sums + (size_t)first * groups;
    Floats out[N];
    for (int i = 0; i < N; i++) out[i] = m.bias ? load(m.bias + panel * PANEL_ROWS) : Floats{};
    for (int g = 0; g < groups; g++, w += size, scales += numbers) {
        if (N > 1)  // prefetch the next panel into the second-level cache
            for (int line = 0; line < size; line += 64) __builtin_prefetch(w + (size_t)groups * size + line, 0, 2);
        Lanes sums[N] = {};
        add_group<BITS, N>(w, values + g * GROUP_SIZE, columns, sums);
        Floats scale = load_half(scales), minimum = BITS == 4 ? load_half(scales + PANEL_ROWS) : Floats{};
        for (int i = 0; i < N; i++) {
            out[i] = fmadd(to_float(sums[i]), scale * x_scales[i * groups + g], out[i]);
            if (BITS == 4) out[i] = fmadd(minimum, broadcast(x_sums[i * groups + g]), out[i]);
        }
    }
    for (int i = 0; i < N; i++) products[i] = out[i];
}

template <int N>
__attribute__((noinline)) static void multiply_panel(const Matrix& m, int panel, const Activations& x, int first, Floats* out) {
    m.bits == 4 ? multiply_panel_bits<4, N>(m, panel, x, first, out) : multiply_panel_bits<8, N>(m, panel, x, first, out);
}

// Calls work(N, first) for tiles of 8, 4, 2 and 1 tokens; a token's result does not depend on its tile.
template <class Work>
static inline void for_each_tile(int tokens, Work work) {
    int first = 0;
    for (; first + 8 <= tokens; first += 8) work(std::integral_constant<int, 8>{}, first);
    if (tokens & 4) work(std::integral_constant<int, 4>{}, first), first += 4;
    if (tokens & 2) work(std::integral_constant<int, 2>{}, first), first += 2;
    if (tokens & 1) work(std::integral_constant<int, 1>{}, first);
}

// Multiplies all tokens with the matrix and calls use(token, row, sixteen products). All threads of a parallel region
// call it: panels are assigned evenly and in advance, so a result does not depend on the number of threads.
template <class Use>
static inline void multiply(const Matrix& m, const Activations& x, int tokens, Use use) {
#pragma omp for schedule(static)
    for (int panel = 0; panel < m.rows / PANEL_ROWS; panel++)
        for_each_tile(tokens, [&](auto n, int first) {
            Floats out[n];
            multiply_panel<n>(m, panel, x, first, out);
            for (int i = 0; i < n; i++) use(first + i, panel * PANEL_ROWS, out[i]);
        });
}
