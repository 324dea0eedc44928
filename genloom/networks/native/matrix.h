// A weight matrix in panels of 16 rows and groups of 32 columns, times activations rounded to 8 bits.
//
// Within a group the bytes stand as the dot product takes them: step by step, 16 rows x 4 columns. A 4-bit matrix holds
// two steps in a byte (even steps in the low nibble) and a weight is scale x nibble + least (GGUF's Q4_1); an 8-bit one
// holds w + 128 and a weight is scale x w (GGUF's Q8_0). quantised.py packs both.
#pragma once
#include "vectors.h"

enum { ROWS = 16, GROUP = 32 };

struct Matrix {
    int32_t rows, columns, bits;  // rows in whole panels, columns in whole groups
    const uint8_t* quants;        // panel, group, step (4 of nibbles or 8 of bytes), 16 rows, 4 columns
    const uint16_t* scales;       // panel, group, (scale, least) or (scale), 16 rows; float16
    const float* bias;            // rows, or null
};

// Rows of activations, each group of 32 with its own scale.
struct Activations {
    int columns;
    int8_t* values;   // token, column
    float* scales;    // token, group
    float* sums;      // token, group: scale x sum of the values, which meets the least of 4-bit weights
    int32_t* totals;  // token, group: sum of the values, which takes the bias out of 8-bit weights

    int groups() const { return columns / GROUP; }
};

static inline void quantise(Floats a, Floats b, const Activations& to, int token, int group) {
    float most = largest(larger(magnitude(a), magnitude(b)));
    float scale = most / 127, inverse = most > 0 ? 127 / most : 0;
    Ints left = rounded(a * inverse), right = rounded(b * inverse);
    int8_t* values = to.values + (size_t)token * to.columns + group * GROUP;
    store_bytes(values, left);
    store_bytes(values + 16, right);
    size_t at = (size_t)token * to.groups() + group;
    to.scales[at] = scale;
    to.totals[at] = sum(left + right);
    to.sums[at] = scale * to.totals[at];
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

static inline int32_t four(const int8_t* values) { int32_t x; memcpy(&x, values, 4); return x; }

// The products of one panel with N tokens from `first` on: 16 numbers a token. N hides the latency of the sums, and the
// weights, unpacked once, serve N tokens.
template <int N>
__attribute__((noinline)) static void products(const Matrix& m, int panel, const Activations& x, int first, Floats* out) {
    const int groups = x.groups(), columns = x.columns;
    const int bytes = m.bits == 4 ? 256 : 512;
    const uint8_t* w = m.quants + (size_t)panel * groups * bytes;
    const uint16_t* scales = m.scales + (size_t)panel * groups * (m.bits == 4 ? 32 : 16);
    const int8_t* values = x.values + (size_t)first * columns;
    const size_t at = (size_t)first * groups;
    for (int i = 0; i < N; i++) out[i] = m.bias ? load(m.bias + panel * ROWS) : Floats{};
    if (m.bits == 4) {
        for (int g = 0; g < groups; g++, w += 256, scales += 32) {
            Ints sums[N] = {};
            for (int step = 0; step < 8; step += 2) {
                Bytes both = load_bytes(w + step * 32), low = low_nibbles(both), high = high_nibbles(both);
                for (int i = 0; i < N; i++) {
                    const int8_t* v = values + (size_t)i * columns + g * GROUP + step * 4;
                    sums[i] = dot_nibbles(dot_nibbles(sums[i], low, four(v)), high, four(v + 4));
                }
            }
            Floats scale = halves(scales), least = halves(scales + 16);
            for (int i = 0; i < N; i++) {
                size_t k = at + (size_t)i * groups + g;
                out[i] = fused(floats(sums[i]), scale * x.scales[k], out[i]);
                out[i] = fused(least, all(x.sums[k]), out[i]);
            }
        }
    } else {
        for (int g = 0; g < groups; g++, w += 512, scales += 16) {
            if (N == 1)  // nothing else hides the memory here; into the second cache, a page ahead
                for (int line = 0; line < 512; line += 64) __builtin_prefetch(w + 4096 + line, 0, 2);
            Ints sums[N];
            for (int i = 0; i < N; i++) sums[i] = unbiased(x.totals[at + (size_t)i * groups + g]);
            for (int step = 0; step < 8; step++) {
                Bytes bytes = load_bytes(w + step * 64);
                for (int i = 0; i < N; i++)
                    sums[i] = dot_biased(sums[i], bytes, four(values + (size_t)i * columns + g * GROUP + step * 4));
            }
            Floats scale = halves(scales);
            for (int i = 0; i < N; i++)
                out[i] = fused(floats(sums[i]), scale * x.scales[at + (size_t)i * groups + g], out[i]);
        }
    }
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
