// Vectors of sixteen floats or integers in the machine's instructions: AVX-512 with VNNI, else AVX2.
//
// Both give the same bits: integer sums are exact, and every floating-point operation below works lane by lane (products
// are fused with additions only in `fmadd`; build.py compiles with -ffp-contract=off).
#pragma once
#include <immintrin.h>
#include <cstdint>
#include <cstring>

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));

static inline Floats load(const float* from) { Floats v; memcpy(&v, from, 64); return v; }
static inline void store(float* to, Floats v) { memcpy(to, &v, 64); }
static inline Floats broadcast(float value) { return value - Floats{}; }

#if defined(__AVX512F__) && defined(__AVX512VNNI__) && defined(__AVX512BW__)

static inline Floats fmadd(Floats a, Floats b, Floats c) { return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
static inline Floats max(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
static inline Ints round_to_int(Floats a) { return (Ints)_mm512_cvtps_epi32((__m512)a); }
static inline Floats to_float(Ints a) { return (Floats)_mm512_cvtepi32_ps((__m512i)a); }
static inline Floats load_half(const uint16_t* from) { return (Floats)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)from)); }
static inline void store_half(uint16_t* to, Floats a) { _mm256_storeu_si256((__m256i*)to, _mm512_cvtps_ph((__m512)a, 0)); }
static inline void store_int16(int16_t* to, Ints a) { _mm256_storeu_si256((__m256i*)to, _mm512_cvtepi32_epi16((__m512i)a)); }

// Sixteen lanes of 32 bits. A struct, because on AVX2 the compiler does not keep 64-byte vectors in registers.
struct Lanes { __m512i bits; };
static inline Lanes load_lanes(const uint8_t* from) { return {_mm512_loadu_si512(from)}; }
static inline Lanes unpack_nibbles(Lanes a, int pair) { return {_mm512_and_si512(_mm512_srli_epi16(a.bits, 4 * pair), _mm512_set1_epi16(15))}; }
static inline Lanes unpack_bytes(Lanes a, int pair) { return {_mm512_srai_epi16(_mm512_slli_epi16(a.bits, 8 * (1 - pair)), 8)}; }
// Adds, in each lane, the dot product of two weights and one pair of activations, all of 16 bits.
static inline Lanes dot(Lanes sum, Lanes w, int32_t x2) { return {_mm512_dpwssd_epi32(sum.bits, w.bits, _mm512_set1_epi32(x2))}; }
static inline Floats to_float(Lanes a) { return to_float((Ints)a.bits); }

#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

struct Pair { __m256 low, high; };
struct IntPair { __m256i low, high; };
static inline Pair split(Floats a) { Pair p; memcpy(&p, &a, 64); return p; }
static inline Floats join(__m256 low, __m256 high) { Pair p{low, high}; Floats a; memcpy(&a, &p, 64); return a; }
static inline IntPair split(Ints a) { IntPair p; memcpy(&p, &a, 64); return p; }
static inline Ints join(__m256i low, __m256i high) { IntPair p{low, high}; Ints a; memcpy(&a, &p, 64); return a; }

static inline Floats fmadd(Floats a, Floats b, Floats c) {
    Pair x = split(a), y = split(b), z = split(c);
    return join(_mm256_fmadd_ps(x.low, y.low, z.low), _mm256_fmadd_ps(x.high, y.high, z.high));
}
static inline Floats max(Floats a, Floats b) {
    Pair x = split(a), y = split(b);
    return join(_mm256_max_ps(x.low, y.low), _mm256_max_ps(x.high, y.high));
}
static inline Ints round_to_int(Floats a) { Pair x = split(a); return join(_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)); }
static inline Floats to_float(Ints a) { IntPair x = split(a); return join(_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)); }
static inline Floats load_half(const uint16_t* from) {
    return join(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from)), _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)from + 1)));
}
static inline void store_half(uint16_t* to, Floats a) {
    Pair x = split(a);
    _mm_storeu_si128((__m128i*)to, _mm256_cvtps_ph(x.low, 0));
    _mm_storeu_si128((__m128i*)to + 1, _mm256_cvtps_ph(x.high, 0));
}
static inline void store_int16(int16_t* to, Ints a) { for (int i = 0; i < 16; i++) to[i] = (int16_t)a[i]; }

struct Lanes { __m256i low, high; };
static inline Lanes load_lanes(const uint8_t* from) {
    return {_mm256_loadu_si256((const __m256i*)from), _mm256_loadu_si256((const __m256i*)from + 1)};
}
static inline __m256i unpack_nibbles(__m256i a, int pair) { return _mm256_and_si256(_mm256_srli_epi16(a, 4 * pair), _mm256_set1_epi16(15)); }
static inline __m256i unpack_bytes(__m256i a, int pair) { return _mm256_srai_epi16(_mm256_slli_epi16(a, 8 * (1 - pair)), 8); }
static inline Lanes unpack_nibbles(Lanes a, int pair) { return {unpack_nibbles(a.low, pair), unpack_nibbles(a.high, pair)}; }
static inline Lanes unpack_bytes(Lanes a, int pair) { return {unpack_bytes(a.low, pair), unpack_bytes(a.high, pair)}; }
static inline Lanes dot(Lanes sum, Lanes w, int32_t x2) {
    __m256i x = _mm256_set1_epi32(x2);
    return {_mm256_add_epi32(sum.low, _mm256_madd_epi16(w.low, x)), _mm256_add_epi32(sum.high, _mm256_madd_epi16(w.high, x))};
}
static inline Floats to_float(Lanes a) { return join(_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)); }

#else
#error "genloom's native decoding needs AVX2 with FMA and F16C, or AVX-512 with VNNI"
#endif

static inline int32_t load_pair(const int16_t* from) { int32_t pair; memcpy(&pair, from, 4); return pair; }

static inline Floats magnitude(Floats a) { return (Floats)((Ints)a & 0x7fffffff); }

// Sums the lanes pairwise, in an order that no compiler changes.
static inline float reduce_sum(Floats a) {
    float lane[16];
    store(lane, a);
    for (int half = 8; half; half /= 2)
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}
static inline float reduce_max(Floats a) {
    float result = a[0];
    for (int i = 1; i < 16; i++) result = a[i] > result ? a[i] : result;
    return result;
}
static inline int32_t reduce_sum(Ints a) {
    int32_t total = 0;
    for (int i = 0; i < 16; i++) total += a[i];
    return total;
}

// Returns e^a to about 2 units in the last place: 2^n times a polynomial on [-ln 2 / 2, ln 2 / 2] (Cephes' expf).
static inline Floats exponential(Floats a) {
    a = max(a, broadcast(-87.0f));
    a = -max(-a, broadcast(-88.0f));
    Ints n = round_to_int(a * 1.44269504f);
    Floats k = to_float(n), r = fmadd(k, broadcast(-0.693359375f), a);
    r = fmadd(k, broadcast(2.12194440e-4f), r);
    Floats p = broadcast(1.9875691500e-4f);
    p = fmadd(p, r, broadcast(1.3981999507e-3f));
    p = fmadd(p, r, broadcast(8.3334519073e-3f));
    p = fmadd(p, r, broadcast(4.1665795894e-2f));
    p = fmadd(p, r, broadcast(1.6666665459e-1f));
    p = fmadd(p, r, broadcast(5.0000001201e-1f));
    p = fmadd(p, r * r, r + 1.0f);
    return (Floats)((Ints)p + (n << 23));
}
