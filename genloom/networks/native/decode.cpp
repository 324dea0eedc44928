// One step of a Llama-shaped transformer over a ragged batch: every token brings its row of the cache and its position.
//
// The whole step is one parallel region. Tokens of one row stand together and in order (a "run"): their keys and values
// are written and attended one after the other, so that reading many tokens at once gives the bits of reading them one by
// one. All memory belongs to the caller, quantised.py, which has checked every size.
#include <omp.h>
#include <type_traits>
#include "matrix.h"
#include "attention.h"

enum Activation { SWIGLU, RELU2, GELU };

struct Layer {
    Matrix qkv, out, up, down;
    const float *norm_attention, *norm_mlp, *norm_query, *norm_key;  // the last two null without QK norm
};

struct Network {
    int32_t depth, width, heads, key_heads, head_width, hidden, activation, window;
    float eps;
    const Layer* layers;
    const float* norm;
    Matrix head;
    const float *cosines, *sines;  // position, half the head's width
};

struct Cache {
    uint16_t *keys, *values;  // row, layer, key head, then as attention.h says
    int32_t room;             // positions, in whole blocks
};

struct Batch {
    int32_t tokens, runs, wanted;
    const int32_t *rows, *positions;  // token
    const int32_t* firsts;            // run: its first token; one more at the end
    const int32_t* chosen;            // the tokens whose logits are wanted
};

struct Scratch {
    Activations normed, mixed, hidden;
    float* qkv;     // token, query, key and value features
    float* scores;  // thread, head, position
};

// Cuts a scratch area into its pieces, 64-byte aligned; with null, only counts what they take.
struct Cutter {
    uint8_t* at;
    size_t taken = 0;

    template <class T>
    T* piece(size_t count) {
        T* here = (T*)(at + taken);
        taken += (count * sizeof(T) + 63) / 64 * 64;
        return at ? here : nullptr;
    }
    Activations activations(size_t tokens, int columns) {
        size_t groups = tokens * (columns / GROUP);
        return {columns, piece<int16_t>(tokens * columns), piece<float>(groups), piece<float>(groups)};
    }
};

static Scratch cut(Cutter& cutter, const Network& net, size_t tokens, size_t room, size_t threads) {
    size_t features = (size_t)(net.heads + 2 * net.key_heads) * net.head_width;
    return {cutter.activations(tokens, net.width), cutter.activations(tokens, net.heads * net.head_width),
            cutter.activations(tokens, net.hidden), cutter.piece<float>(tokens * features),
            cutter.piece<float>(threads * HEADS_AT_ONCE * room)};
}

static inline Floats activated(int kind, Floats gate, Floats up) {
    if (kind == SWIGLU) return gate / (exponential(-gate) + 1.0f) * up;
    if (kind == RELU2) { Floats most = larger(gate, Floats{}); return most * most; }
    Floats inner = (gate * gate * gate * 0.044715f + gate) * 1.5957691216f;  // GELU's tanh form, as a logistic
    return gate / (exponential(-inner) + 1.0f);
}

// Writes the keys and values of one run's tokens for one key head, and lets the query heads that share it attend.
static void attend_run(const Network& net, const Layer& layer, const Cache& cache, const Batch& batch, const Scratch& s,
                       int depth, int run, int head) {
    const int width = net.head_width, share = net.heads / net.key_heads;
    for (int token = batch.firsts[run]; token < batch.firsts[run + 1]; token++) {
        const int position = batch.positions[token];
        const float *cosines = net.cosines + (size_t)position * (width / 2), *sines = net.sines + (size_t)position * (width / 2);
        float* qkv = s.qkv + (size_t)token * (net.heads + 2 * net.key_heads) * width;
        float *queries = qkv + head * share * width, *key = qkv + (net.heads + head) * width, *value = key + net.key_heads * width;
        size_t at = (((size_t)batch.rows[token] * net.depth + depth) * net.key_heads + head) * cache.room * width;
        const Memory memory{cache.keys + at, cache.values + at, width};

        if (layer.norm_key) normalise_head(key, layer.norm_key, width, net.eps);
        rotate(key, cosines, sines, width);
        memory.write(position, key, value);
        for (int n = 0; n < share; n++) {
            float* query = queries + n * width;
            if (layer.norm_query) normalise_head(query, layer.norm_query, width, net.eps);
            rotate(query, cosines, sines, width);
            for (int i = 0; i < width; i += 16) store(query + i, load(query + i) * (1 / __builtin_sqrtf(width)));
        }
        const int begin = position + 1 > net.window ? position + 1 - net.window : 0;
        float* scores = s.scores + (size_t)omp_get_thread_num() * HEADS_AT_ONCE * cache.room;
        for (int n = 0; n < share; n += HEADS_AT_ONCE) {
            float* some = queries + n * width;
            switch (share - n) {
                case 1: attend<1>(some, memory, begin, position + 1, scores, cache.room); break;
                case 2: attend<2>(some, memory, begin, position + 1, scores, cache.room); break;
                case 3: attend<3>(some, memory, begin, position + 1, scores, cache.room); break;
                default: attend<4>(some, memory, begin, position + 1, scores, cache.room);
            }
        }
        for (int i = 0; i < share * width; i += GROUP)
            quantise(load(queries + i), load(queries + i + 16), s.mixed, token, (head * share * width + i) / GROUP);
    }
}

// The activated hidden features of all tokens, 32 at a time, each group rounded as soon as it is whole.
static void widen(const Network& net, const Matrix& up, const Scratch& s, int tokens) {
    const bool gated = net.activation == SWIGLU;
#pragma omp for schedule(static)
    for (int group = 0; group < net.hidden / GROUP; group++)
        tiles(tokens, [&](auto n, int first) {
            Floats half[2][n];
            for (int side = 0; side < 2; side++) {
                Floats gate[n], other[n];
                int panel = 2 * group + side;
                products<n>(up, panel, s.normed, first, gate);
                if (gated) products<n>(up, net.hidden / ROWS + panel, s.normed, first, other);
                for (int i = 0; i < n; i++) half[side][i] = activated(net.activation, gate[i], gated ? other[i] : gate[i]);
            }
            for (int i = 0; i < n; i++) quantise(half[0][i], half[1][i], s.hidden, first + i, group);
        });
}

extern "C" {

size_t genloom_scratch(const Network* net, int32_t tokens, int32_t room, int32_t threads) {
    Cutter cutter{nullptr};
    cut(cutter, *net, tokens, room, threads);
    return cutter.taken;
}

// Reads tokens' embeddings `x` (token, width; they are overwritten) and writes the logits of the chosen ones
// (chosen, rows of the head).
void genloom_step(const Network* network, const Cache* cache, const Batch* batch, float* x, float* logits, uint8_t* scratch,
                  int32_t threads) {
    const Network& net = *network;
    const int D = net.width, tokens = batch->tokens;
    const int features = (net.heads + 2 * net.key_heads) * net.head_width;
    Cutter cutter{scratch};
    const Scratch s = cut(cutter, net, tokens, cache->room, threads);
    auto add = [&](int token, int row, Floats news) {
        float* at = x + (size_t)token * D + row;
        store(at, load(at) + news);
    };
#pragma omp parallel num_threads(threads)
    {
        for (int depth = 0; depth < net.depth; depth++) {
            const Layer& layer = net.layers[depth];
#pragma omp for schedule(static)
            for (int token = 0; token < tokens; token++)
                normalise(x + (size_t)token * D, layer.norm_attention, net.eps, s.normed, token);
            multiply(layer.qkv, s.normed, tokens, [&](int token, int row, Floats sums) {
                store(s.qkv + (size_t)token * features + row, sums);
            });
#pragma omp for schedule(dynamic)
            for (int job = 0; job < batch->runs * net.key_heads; job++)
                attend_run(net, layer, *cache, *batch, s, depth, job / net.key_heads, job % net.key_heads);
            multiply(layer.out, s.mixed, tokens, add);
#pragma omp for schedule(static)
            for (int token = 0; token < tokens; token++)
                normalise(x + (size_t)token * D, layer.norm_mlp, net.eps, s.normed, token);
            widen(net, layer.up, s, tokens);
            multiply(layer.down, s.hidden, tokens, add);
        }
#pragma omp for schedule(static)
        for (int i = 0; i < batch->wanted; i++)
            normalise(x + (size_t)batch->chosen[i] * D, net.norm, net.eps, s.normed, i);
        multiply(net.head, s.normed, batch->wanted, [&](int i, int row, Floats sums) {
            store(logits + (size_t)i * net.head.rows + row, sums);
        });
    }
}
}
