// Attention of new positions to a row's cached keys and values, kept in half precision.
//
// Keys stand in blocks of 16 positions, one feature of all 16 after the other, so that 16 scores are summed at once and
// nothing is summed across lanes; values stand position by position.
#pragma once
#include "vectors.h"

enum { BLOCK = 16, HEADS_AT_ONCE = 4 };

// One row's keys and values of one key head.
struct HeadCache {
    uint16_t* keys;    // block, feature, 16 positions
    uint16_t* values;  // position, feature
    int width;

    void write(int position, const float* key, const float* value) const {
        uint16_t* block = keys + (size_t)(position / BLOCK) * width * BLOCK + position % BLOCK;
        for (int i = 0; i < width; i++) block[i * BLOCK] = _cvtss_sh(key[i], 0);
        for (int i = 0; i < width; i += 16) store_halves(values + (size_t)position * width + i, load(value + i));
    }
};

// Rotary positions (Su et al. 2021) in the half-split layout; cosines and sines of half the head's width.
static inline void rotate(float* x, const float* cosines, const float* sines, int width) {
    int half = width / 2;
    for (int i = 0; i < half; i += 16) {
        Floats left = load(x + i), right = load(x + half + i), c = load(cosines + i), s = load(sines + i);
        store(x + i, left * c - right * s);
        store(x + half + i, right * c + left * s);
    }
}

static inline void normalise_head(float* x, const float* weight, int width, float eps) {
    Floats squares{};
    for (int i = 0; i < width; i += 16) squares = fused(load(x + i), load(x + i), squares);
    float inverse = 1 / __builtin_sqrtf(sum(squares) / width + eps);
    for (int i = 0; i < width; i += 16) store(x + i, load(x + i) * inverse * load(weight + i));
}

// Scores of N query heads (features side by side in `queries`) against the 16 keys of a block.
template <int N>
static inline void score(const float* queries, const uint16_t* block, int width, Floats* out) {
    Floats even[N] = {}, odd[N] = {};
    for (int i = 0; i < width; i += 2) {
        Floats first = halves(block + i * BLOCK), second = halves(block + (i + 1) * BLOCK);
        for (int n = 0; n < N; n++) {
            even[n] = fused(all(queries[n * width + i]), first, even[n]);
            odd[n] = fused(all(queries[n * width + i + 1]), second, odd[n]);
        }
    }
    for (int n = 0; n < N; n++) out[n] = even[n] + odd[n];
}

// Sums of values weighted by N heads' shares, 32 features at a time; shares stand at `room` floats from head to head.
template <int N>
static inline void mix(const float* shares, int room, const uint16_t* values, int begin, int end, int width, float* out) {
    for (int i = 0; i < width; i += 32) {
        Floats left[N] = {}, right[N] = {};
        for (int t = begin; t < end; t++) {
            const uint16_t* at = values + (size_t)t * width + i;
            Floats a = halves(at), b = halves(at + 16);
            for (int n = 0; n < N; n++) {
                Floats share = all(shares[n * room + t]);
                left[n] = fused(share, a, left[n]);
                right[n] = fused(share, b, right[n]);
            }
        }
        for (int n = 0; n < N; n++) {
            store(out + n * width + i, left[n]);
            store(out + n * width + i + 16, right[n]);
        }
    }
}

// N query heads of one position see positions begin..end-1; `queries` become the mixed values. `scores` has room for N
// times `room` floats, room in whole blocks.
template <int N>
static inline void attend(float* queries, const Memory& memory, int begin, int end, float* scores, int room) {
    const int width = memory.width, first = begin / BLOCK, last = (end + BLOCK - 1) / BLOCK;
    const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    Floats most[N], total[N] = {};
    for (int n = 0; n < N; n++) most[n] = all(-1e30f);
    for (int b = first; b < last; b++) {
        Floats found[N];
        score<N>(queries, memory.keys + (size_t)b * width * BLOCK, width, found);
        Ints at = lanes + b * BLOCK, seen = (at >= begin) & (at < end);
        for (int n = 0; n < N; n++) {
            found[n] = (Floats)(((Ints)found[n] & seen) | ((Ints)all(-1e30f) & ~seen));
            store(scores + n * room + b * BLOCK, found[n]);
            most[n] = larger(most[n], found[n]);
        }
    }
    for (int n = 0; n < N; n++) {
        float peak = largest(most[n]);
        for (int b = first; b < last; b++) {
            float* at = scores + n * room + b * BLOCK;
            Floats share = exponential(load(at) - peak);
            store(at, share);
            total[n] += share;
        }
    }
    mix<N>(scores, room, memory.values, begin, end, width, queries);
    for (int n = 0; n < N; n++) {
        float inverse = 1 / sum(total[n]);
        for (int i = 0; i < width; i += 16) store(queries + n * width + i, load(queries + n * width + i) * inverse);
    }
}
