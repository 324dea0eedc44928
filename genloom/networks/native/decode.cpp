// One step of a Llama-shaped transformer over a ragged batch: every token has its row of the cache and its position.
//
// The whole step is one parallel region. Tokens of one row are adjacent and in order (a "run"): the step writes and
// attends their keys and values one after the other, so that reading many tokens at once gives the bits of reading them
// one by one. The caller, quantized_transformer.py, owns all memory and has checked every size.
#include <omp.h>
#include <type_traits>
#include "matrix.h"
#include "attention.h"

enum Activation { SWIGLU, RELU2, GELU };

struct Layer {
    Matrix qkv, out, up, down, cross_query, cross_out;               // the last two have no rows without a prompt
    const float *norm_attention, *norm_mlp, *norm_query, *norm_key;  // the last two are null without QK norm
    const float* norm_cross;
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
    uint16_t *const *keys, *const *values;  // row: layer, key head, then the layout of attention.h
    const int32_t* capacities;              // row: positions, a multiple of the block
    int32_t max_capacity;                   // of all rows, states included
    uint16_t *const *state_keys, *const *state_values;  // of the prompt's states, likewise: layer, head
    const int32_t *state_counts, *state_capacities;
};

struct Batch {
    int32_t num_tokens, num_runs, num_logits;
    const int32_t *rows, *positions;  // token
    const int32_t* run_starts;        // run: its first token; one more at the end
    const int32_t* logit_tokens;      // the tokens whose logits are computed
};

struct Scratch {
    Activations normed, attended, hidden;
    float* qkv;     // token, query, key and value features
    float* scores;  // thread, head, position
};

// Divides a scratch area into 64-byte aligned pieces; with a null base it only counts their bytes.
struct ScratchAllocator {
    uint8_t* base;
    size_t used = 0;

    template <class T>
    T* allocate(size_t count) {
        T* piece = (T*)(base + used);
        used += (count * sizeof(T) + 63) / 64 * 64;
        return base ? piece : nullptr;
    }
    Activations allocate_activations(size_t tokens, int columns) {
        size_t groups = tokens * (columns / GROUP_SIZE);
        return {columns, allocate<int16_t>(tokens * columns), allocate<float>(groups), allocate<float>(groups)};
    }
};

static Scratch allocate_scratch(ScratchAllocator& allocator, const Network& net, size_t tokens, size_t capacity,
                                size_t threads) {
    size_t features = (size_t)(net.heads + 2 * net.key_heads) * net.head_width;
    return {allocator.allocate_activations(tokens, net.width),
            allocator.allocate_activations(tokens, net.heads * net.head_width),
            allocator.allocate_activations(tokens, net.hidden), allocator.allocate<float>(tokens * features),
            allocator.allocate<float>(threads * MAX_HEADS * capacity)};
}

static inline Floats activate(int kind, Floats gate, Floats up) {
    if (kind == SWIGLU) return gate / (exponential(-gate) + 1.0f) * up;
    if (kind == RELU2) { Floats positive = max(gate, Floats{}); return positive * positive; }
    Floats inner = (gate * gate * gate * 0.044715f + gate) * 1.5957691216f;  // GELU's tanh form, written as a logistic
    return gate / (exponential(-inner) + 1.0f);
}

// Writes the keys and values of one run's tokens for one key head, and attends with the query heads that share it.
static void attend_run(const Network& net, const Layer& layer, const Cache& cache, const Batch& batch, const Scratch& s,
                       int depth, int run, int head) {
    const int width = net.head_width, group_size = net.heads / net.key_heads;
    for (int token = batch.run_starts[run]; token < batch.run_starts[run + 1]; token++) {
        const int position = batch.positions[token];
        const size_t angle = (size_t)position * (width / 2);
        const float *cosines = net.cosines + angle, *sines = net.sines + angle;
        float* qkv = s.qkv + (size_t)token * (net.heads + 2 * net.key_heads) * width;
        float* queries = qkv + head * group_size * width;
        float *key = qkv + (net.heads + head) * width, *value = key + net.key_heads * width;
        const int row = batch.rows[token];
        const size_t offset = ((size_t)depth * net.key_heads + head) * cache.capacities[row] * width;
        const HeadCache head_cache{cache.keys[row] + offset, cache.values[row] + offset, width};

        if (layer.norm_key) rms_norm_head(key, layer.norm_key, width, net.eps);
        rotate(key, cosines, sines, width);
        head_cache.write(position, key, value);
        for (int n = 0; n < group_size; n++) {
            float* query = queries + n * width;
            if (layer.norm_query) rms_norm_head(query, layer.norm_query, width, net.eps);
            rotate(query, cosines, sines, width);
            for (int i = 0; i < width; i += 16) store(query + i, load(query + i) * (1 / __builtin_sqrtf(width)));
        }
        const int begin = position + 1 > net.window ? position + 1 - net.window : 0;
        float* scores = s.scores + (size_t)omp_get_thread_num() * MAX_HEADS * cache.max_capacity;
        for (int n = 0; n < group_size; n += MAX_HEADS) {
            float* group = queries + n * width;
            switch (group_size - n) {
                case 1: attend<1>(group, head_cache, begin, position + 1, scores, cache.max_capacity); break;
                case 2: attend<2>(group, head_cache, begin, position + 1, scores, cache.max_capacity); break;
                case 3: attend<3>(group, head_cache, begin, position + 1, scores, cache.max_capacity); break;
                default: attend<4>(group, head_cache, begin, position + 1, scores, cache.max_capacity);
            }
        }
        for (int i = 0; i < group_size * width; i += GROUP_SIZE)
            quantize(load(queries + i), load(queries + i + 16), s.attended, token,
                     (head * group_size * width + i) / GROUP_SIZE);
    }
}

// Attends with one head of a token to the states of its row's prompt.
static void attend_states(const Network& net, const Cache& cache, const Batch& batch, const Scratch& s, int depth,
                          int token, int head) {
    const int width = net.head_width, row = batch.rows[token];
    float* query = s.qkv + (size_t)token * (net.heads + 2 * net.key_heads) * width + head * width;
    for (int i = 0; i < width; i += 16) store(query + i, load(query + i) * (1 / __builtin_sqrtf(width)));
    const size_t offset = ((size_t)depth * net.heads + head) * cache.state_capacities[row] * width;
    float* scores = s.scores + (size_t)omp_get_thread_num() * MAX_HEADS * cache.max_capacity;
    attend<1>(query, {cache.state_keys[row] + offset, cache.state_values[row] + offset, width}, 0,
              cache.state_counts[row], scores, cache.max_capacity);
    for (int i = 0; i < width; i += GROUP_SIZE)
        quantize(load(query + i), load(query + i + 16), s.attended, token, (head * width + i) / GROUP_SIZE);
}

// Computes the activated hidden features of all tokens, 32 at a time, and rounds each group as soon as it is complete.
static void compute_mlp_hidden(const Network& net, const Matrix& up, const Scratch& s, int tokens) {
    const bool is_gated = net.activation == SWIGLU;
#pragma omp for schedule(static)
    for (int group = 0; group < net.hidden / GROUP_SIZE; group++)
        for_each_tile(tokens, [&](auto n, int first) {
            Floats half[2][n];
            for (int side = 0; side < 2; side++) {
                Floats gate[n], up_sums[n];
                int panel = 2 * group + side;
                multiply_panel<n>(up, panel, s.normed, first, gate);
                if (is_gated) multiply_panel<n>(up, net.hidden / PANEL_ROWS + panel, s.normed, first, up_sums);
                for (int i = 0; i < n; i++)
                    half[side][i] = activate(net.activation, gate[i], is_gated ? up_sums[i] : gate[i]);
            }
            for (int i = 0; i < n; i++) quantize(half[0][i], half[1][i], s.hidden, first + i, group);
        });
}

extern "C" {

size_t genloom_scratch(const Network* net, int32_t tokens, int32_t capacity, int32_t threads) {
    ScratchAllocator allocator{nullptr};
    allocate_scratch(allocator, *net, tokens, capacity, threads);
    return allocator.used;
}

// Reads the tokens' embeddings `x` (token, width; overwritten) and writes the logits of the requested tokens
// (logit token, rows of the head).
void genloom_step(const Network* network, const Cache* cache, const Batch* batch, float* x, float* logits, uint8_t* scratch,
                  int32_t threads) {
    const Network& net = *network;
    const int D = net.width, tokens = batch->num_tokens;
    const int features = (net.heads + 2 * net.key_heads) * net.head_width;
    ScratchAllocator allocator{scratch};
    const Scratch s = allocate_scratch(allocator, net, tokens, cache->max_capacity, threads);
    auto add = [&](int token, int row, Floats sums) {
        float* target = x + (size_t)token * D + row;
        store(target, load(target) + sums);
    };
#pragma omp parallel num_threads(threads)
    {
        for (int depth = 0; depth < net.depth; depth++) {
            const Layer& layer = net.layers[depth];
#pragma omp for schedule(static)
            for (int token = 0; token < tokens; token++)
                rms_norm(x + (size_t)token * D, layer.norm_attention, net.eps, s.normed, token);
            multiply(layer.qkv, s.normed, tokens, [&](int token, int row, Floats sums) {
                store(s.qkv + (size_t)token * features + row, sums);
            });
#pragma omp for schedule(dynamic)
            for (int job = 0; job < batch->num_runs * net.key_heads; job++)
                attend_run(net, layer, *cache, *batch, s, depth, job / net.key_heads, job % net.key_heads);
            multiply(layer.out, s.attended, tokens, add);
            if (layer.cross_query.rows) {
#pragma omp for schedule(static)
                for (int token = 0; token < tokens; token++)
                    rms_norm(x + (size_t)token * D, layer.norm_cross, net.eps, s.normed, token);
                multiply(layer.cross_query, s.normed, tokens, [&](int token, int row, Floats sums) {
                    store(s.qkv + (size_t)token * features + row, sums);
                });
#pragma omp for schedule(static)
                for (int job = 0; job < tokens * net.heads; job++)
                    attend_states(net, *cache, *batch, s, depth, job / net.heads, job % net.heads);
                multiply(layer.cross_out, s.attended, tokens, add);
            }
#pragma omp for schedule(static)
            for (int token = 0; token < tokens; token++)
                rms_norm(x + (size_t)token * D, layer.norm_mlp, net.eps, s.normed, token);
            compute_mlp_hidden(net, layer.up, s, tokens);
            multiply(layer.down, s.hidden, tokens, add);
        }
#pragma omp for schedule(static)
        for (int i = 0; i < batch->num_logits; i++)
            rms_norm(x + (size_t)batch->logit_tokens[i] * D, net.norm, net.eps, s.normed, i);
        multiply(net.head, s.normed, batch->num_logits, [&](int i, int row, Floats sums) {
            store(logits + (size_t)i * net.head.rows + row, sums);
        });
    }
}
}
