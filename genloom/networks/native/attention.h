// Attention of new positions to a row's cached keys and values, which have half precision.
//
// Keys are stored in blocks of 16 positions, feature by feature, so that 16 scores are summed at once and no sum crosses
// lanes; values are stored position by position.
#pragma once
#include "vectors.h"

enum { CACHE_BLOCK = 16, MAX_HEADS = 4 };

// The keys and values of one row and one key head.
struct HeadCache {
    uint16_t* keys;    // block, feature, 16 positions
    uint16_t* values;  // position, feature
    int width;

    void write(int position, const float* key, const float* value) const {
        uint16_t* block = keys + (size_t)(position / CACHE_BLOCK) * width * CACHE_BLOCK + position % CACHE_BLOCK;
        for (int i = 0; i < width; i++) block[i * CACHE_BLOCK] = _cvtss_sh(key[i], 0);
        for (int i = 0; i < width; i += 16) store_half(values + (size_t)position * width + i, load(value + i));
    }
};

// Applies rotary positions (Su et al. 2021) in the half-split layout; cosines and sines have half the head's width.
static inline void rotate(float* x, const float* cosines, const float* sines, int width) {
    int half = width / 2;
    for (int i = 0; i < half; i += 16) {
        Floats left = load(x + i), right = load(x + half + i), c = load(cosines + i), s = load(sines + i);
        store(x + i, left * c - right * s);
        store(x + half + i, right * c + left * s);
    }
}

static inline void rms_norm_head(float* x, const float* weight, int width, float eps) {
    Floats squares{};
    for (int i = 0; i < width; i += 16) squares = fmadd(load(x + i), load(x + i), squares);
    float inverse = 1 / __builtin_sqrtf(reduce_sum(squares) / width + eps);
    for (int i = 0; i < width; i += 16) store(x + i, load(x + i) * inverse * load(weight + i));
}

// Scores N query heads (features side by side in `queries`) against the 16 keys of a block.
template <int N>
static inline void score_block(const float* queries, const uint16_t* block, int width, Floats* out) {
    Floats even[N] = {}, odd[N] = {};
    for (int i = 0; i < width; i += 2) {
        Floats first = load_half(block + i * CACHE_BLOCK), second = load_half(block + (i + 1) * CACHE_BLOCK);
        for (int n = 0; n < N; n++) {
            even[n] = fmadd(broadcast(queries[n * width + i]), first, even[n]);
            odd[n] = fmadd(broadcast(queries[n * width + i + 1]), second, odd[n]);
        }
    }
    for (int n = 0; n < N; n++) out[n] = even[n] + odd[n];
}

// Sums the values with N heads' weights, 32 features at a time; a head's weights start `stride` floats after the last's.
template <int N>
static inline void weighted_sum(const float* weights, int stride, const uint16_t* values, int begin, int end, int width,
                                float* out) {
    for (int i = 0; i < width; i += 32) {
        Floats left[N] = {}, right[N] = {};
        for (int t = begin; t < end; t++) {
            const uint16_t* row = values + (size_t)t * width + i;
            Floats a = load_half(row), b = load_half(row + 16);
            for (int n = 0; n < N; n++) {
                Floats weight = broadcast(weights[n * stride + t]);
                left[n] = fmadd(weight, a, left[n]);
                right[n] = fmadd(weight, b, right[n]);
            }
        }
        for (int n = 0; n < N; n++) {
            store(out + n * width + i, left[n]);
            store(out + n * width + i + 16, right[n]);
        }
    }
}

// Lets N query heads of one position attend to positions begin..end-1 and overwrites `queries` with the result. `scores`
// is scratch space of N x `stride` floats; the stride is a multiple of the block.
template <int N>
static inline void attend(float* queries, const HeadCache& cache, int begin, int end, float* scores, int stride) {
    const int width = cache.width, first = begin / CACHE_BLOCK, last = (end + CACHE_BLOCK - 1) / CACHE_BLOCK;
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Floats max_N[N], total_N[N] = {};
    for (int n = 0; n < N; n++) max_N[n] = broadcast(-1e30f);
    for (int b = first; b < last; b++) {
        Floats scores_N[N];
        score_block<N>(queries, cache.keys + (size_t)b * width * CACHE_BLOCK, width, scores_N);
        Ints position = lanes + b * CACHE_BLOCK, is_visible = (position >= begin) & (position < end);
        for (int n = 0; n < N; n++) {
            scores_N[n] = (Floats)(((Ints)scores_N[n] & is_visible) | ((Ints)broadcast(-1e30f) & ~is_visible));
            store(scores + n * stride + b * CACHE_BLOCK, scores_N[n]);
            max_N[n] = max(max_N[n], scores_N[n]);
        }
    }
    for (int n = 0; n < N; n++) {
        float max_score = reduce_max(max_N[n]);
        for (int b = first; b < last; b++) {
            float* block = scores + n * stride + b * CACHE_BLOCK;
            Floats weight = exponential(load(block) - max_score);
            store(block, weight);
            total_N[n] += weight;
        }
    }
    weighted_sum<N>(scores, stride, cache.values, begin, end, width, queries);
    for (int n = 0; n < N; n++) {
        float inverse = 1 / reduce_sum(total_N[n]);
        for (int i = 0; i < width; i += 16) store(queries + n * width + i, load(queries + n * width + i) * inverse);
    }
}
