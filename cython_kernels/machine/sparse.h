/* The vector operations of the sparse kernels: whether any of 16 scores reaches the bar, or
 * its own, or any of 16 bounds x w + y v; compilers leave these loops scalar, so they are written with vector
 * types where there are any. Bringing a line near that will be written. And one function for a
 * higher instruction set than the rest is compiled for, which the caller has to know is there:
 * compress_word. */
#ifndef UNITDOT_SPARSE_H
#define UNITDOT_SPARSE_H
/* float16s by instructions: none here */
#define load_halves(to, p, count) ((void) (to), (void) (p), 0)
#if defined(__GNUC__)
#define prefetch_write(address) __builtin_prefetch(address, 1)
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int four_bits __attribute__((vector_size(16)));
typedef long long two_bits __attribute__((vector_size(16)));
static inline int any_bit(four_bits m) {
    two_bits t = (two_bits) m;
    return (t[0] | t[1]) != 0;
}
static inline int scores_reach(const float* s, float bar) {
    const four* v = (const four*) s;
    four b = {bar, bar, bar, bar};
    return any_bit((v[0] >= b) | (v[1] >= b) | (v[2] >= b) | (v[3] >= b));
}
static inline int each_reaches(const float* s, const float* bar) {
    const four *v = (const four*) s, *b = (const four*) bar;
    return any_bit((v[0] >= b[0]) | (v[1] >= b[1]) | (v[2] >= b[2]) | (v[3] >= b[3]));
}
static inline int bounds_reach(float x, const float* w, float y, const float* v, float bar) {
    const four *p = (const four*) w, *q = (const four*) v;
    four a = {x, x, x, x}, c = {y, y, y, y}, b = {bar, bar, bar, bar};
    return any_bit((a * p[0] + c * q[0] >= b) | (a * p[1] + c * q[1] >= b)
                   | (a * p[2] + c * q[2] >= b) | (a * p[3] + c * q[3] >= b));
}
#else
#define prefetch_write(address) ((void) (address))
static int scores_reach(const float* s, float bar) {
    int k, any = 0;
    for (k = 0; k < 16; k++) any |= s[k] >= bar;
    return any;
}
static int each_reaches(const float* s, const float* bar) {
    int k, any = 0;
    for (k = 0; k < 16; k++) any |= s[k] >= bar[k];
    return any;
}
static int bounds_reach(float x, const float* w, float y, const float* v, float bar) {
    int k, any = 0;
    for (k = 0; k < 16; k++) any |= x * w[k] + y * v[k] >= bar;
    return any;
}
#endif

#include <stdint.h>
/* sums[j] = x[0] panel[feature[0]][j] + x[1] panel[feature[1]][j] + ... of the PANEL_ROWS rows j of a
 * panel (feature, row) and those of the next one, a multiplication and then an addition; with errors, of
 * one panel, those of the additions are summed beside, as `add` of sparse/rows.pxi does it. All sums of a
 * pass stay in registers, so a vector is as wide as these: compilers keep wider ones in memory. */
enum { PANEL_ROWS = 16 };
/* The same of weights in float for WEIGHT_ROWS rows j, where any order and rounding will do. */
enum { WEIGHT_ROWS = 64 };
#if defined(__GNUC__)
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#define MINUS(a, b) ((a) - (b))
/* a - b, exactly as that is rounded, where multiplications are done: additions are what there are many of */
#define MINUS_BY_FMA(a, b) ((doubles_avx2)_mm256_fmsub_pd((__m256d)(a), ones, (__m256d)(b)))
/* `bytes` of a register; of `sums` of two panels' rows at a time, of half as many where errors are summed */
#define PANELS(isa, target, bytes, sums, minus, set_up)                                                 \
    typedef double doubles_##isa __attribute__((vector_size(bytes), aligned(8), may_alias));            \
    typedef float floats_##isa __attribute__((vector_size(bytes), aligned(4), may_alias));              \
    target static void dots_##isa(const double* panel, int64_t features, const int32_t* feature,        \
                                  const double* x, int64_t count, double* to) {                         \
        enum { PASS = sums / 2, VECTORS = PASS * 8 / bytes };                                           \
        const double* next = panel + features * PANEL_ROWS;                                             \
        int part, i;                                                                                    \
        for (part = 0; part < PANEL_ROWS; part += PASS) {                                               \
            doubles_##isa sum[VECTORS] = {{0}}, of_next[VECTORS] = {{0}};                               \
            int64_t k;                                                                                  \
            for (k = 0; k < count; k++) {                                                               \
                int64_t at = (int64_t)feature[k] * PANEL_ROWS + part;                                   \
                for (i = 0; i < VECTORS; i++) {                                                         \
                    sum[i] += x[k] * ((const doubles_##isa*)(panel + at))[i];                           \
                    of_next[i] += x[k] * ((const doubles_##isa*)(next + at))[i];                        \
                }                                                                                       \
            }                                                                                           \
            for (i = 0; i < VECTORS; i++) {                                                             \
                ((doubles_##isa*)(to + part))[i] = sum[i];                                              \
                ((doubles_##isa*)(to + PANEL_ROWS + part))[i] = of_next[i];                             \
            }                                                                                           \
        }                                                                                               \
    }                                                                                                   \
    target static void dots_and_errors_##isa(const double* panel, const int32_t* feature,               \
                                             const double* x, int64_t count, double* to,                \
                                             double* errors) {                                          \
        enum { PASS = sums / 2, VECTORS = PASS * 8 / bytes };                                           \
        int part, i;                                                                                    \
        set_up;                                                                                         \
        for (part = 0; part < PANEL_ROWS; part += PASS) {                                               \
            doubles_##isa sum[VECTORS] = {{0}}, error[VECTORS] = {{0}};                                 \
            int64_t k;                                                                                  \
            for (k = 0; k < count; k++) {                                                               \
                const double* p = panel + (int64_t)feature[k] * PANEL_ROWS + part;                      \
                for (i = 0; i < VECTORS; i++) {                                                         \
                    doubles_##isa term = x[k] * ((const doubles_##isa*)p)[i];                           \
                    doubles_##isa total = sum[i] + term, added = minus(total, sum[i]);                  \
                    error[i] += minus(sum[i], total - added) + (term - added);                          \
                    sum[i] = total;                                                                     \
                }                                                                                       \
            }                                                                                           \
            for (i = 0; i < VECTORS; i++) {                                                             \
                ((doubles_##isa*)(to + part))[i] = sum[i];                                              \
                ((doubles_##isa*)(errors + part))[i] = error[i];                                        \
            }                                                                                           \
        }                                                                                               \
    }                                                                                                   \
    target static void scores_##isa(const float* panel, const int32_t* feature, const float* x,         \
                                    int64_t count, float* to) {                                         \
        enum { PASS = 2 * sums, VECTORS = PASS * 4 / bytes };                                           \
        int part, i;                                                                                    \
        for (part = 0; part < WEIGHT_ROWS; part += PASS) {                                              \
            floats_##isa sum[VECTORS] = {{0}};                                                          \
            int64_t k;                                                                                  \
            for (k = 0; k < count; k++) {                                                               \
                const float* p = panel + (int64_t)feature[k] * WEIGHT_ROWS + part;                      \
                for (i = 0; i < VECTORS; i++) sum[i] += x[k] * ((const floats_##isa*)p)[i];             \
            }                                                                                           \
            for (i = 0; i < VECTORS; i++) ((floats_##isa*)(to + part))[i] = sum[i];                     \
        }                                                                                               \
    }
PANELS(any, , 16, 16, MINUS, )
#if defined(__x86_64__)
PANELS(avx2, __attribute__((target("avx2,fma"))), 32, 32, MINUS_BY_FMA, __m256d ones = _mm256_set1_pd(1);
       __asm__("" : "+x"(ones)))
PANELS(avx512, __attribute__((target("avx512f"))), 64, 32, MINUS, )
#endif
#else
static void dots_any(const double* panel, int64_t features, const int32_t* feature, const double* x,
                     int64_t count, double* to) {
    int64_t k;
    int j;
    for (j = 0; j < 2 * PANEL_ROWS; j++) {
        const double* p = panel + j / PANEL_ROWS * features * PANEL_ROWS + j % PANEL_ROWS;
        to[j] = 0;
        for (k = 0; k < count; k++) to[j] += x[k] * p[(int64_t)feature[k] * PANEL_ROWS];
    }
}
static void dots_and_errors_any(const double* panel, const int32_t* feature, const double* x,
                                int64_t count, double* to, double* errors) {
    int64_t k;
    int j;
    for (j = 0; j < PANEL_ROWS; j++) to[j] = errors[j] = 0;
    for (k = 0; k < count; k++)
        for (j = 0; j < PANEL_ROWS; j++) {
            double t = x[k] * panel[(int64_t)feature[k] * PANEL_ROWS + j], s = to[j] + t;
            double u = s - to[j];
            errors[j] += (to[j] - (s - u)) + (t - u);
            to[j] = s;
        }
}
static void scores_any(const float* panel, const int32_t* feature, const float* x, int64_t count,
                       float* to) {
    int64_t k;
    int j;
    for (j = 0; j < WEIGHT_ROWS; j++) to[j] = 0;
    for (k = 0; k < count; k++)
        for (j = 0; j < WEIGHT_ROWS; j++) to[j] += x[k] * panel[(int64_t)feature[k] * WEIGHT_ROWS + j];
}
#endif
#if defined(__GNUC__) && defined(__x86_64__)
#define BEST_OF(vectors, function, ...)                                                                \
    ((vectors) == 512 ? function##_avx512(__VA_ARGS__)                                                 \
                      : (vectors) == 256 ? function##_avx2(__VA_ARGS__) : function##_any(__VA_ARGS__))
#else
#define BEST_OF(vectors, function, ...) ((void)(vectors), function##_any(__VA_ARGS__))
#endif
static void panel_dots(const double* panel, int64_t features, const int32_t* feature, const double* x,
                       int64_t count, double* sums, int vectors) {
    BEST_OF(vectors, dots, panel, features, feature, x, count, sums);
}
static void panel_dots_and_errors(const double* panel, const int32_t* feature, const double* x,
                                  int64_t count, double* sums, double* errors, int vectors) {
    BEST_OF(vectors, dots_and_errors, panel, feature, x, count, sums, errors);
}
static void panel_scores(const float* panel, const int32_t* feature, const float* x, int64_t count,
                         float* scores, int vectors) {
    BEST_OF(vectors, scores, panel, feature, x, count, scores);
}

/* The product's entries of 64 sums: of those whose bit is set, sum * (inverse_x * inverse) goes to
 * `values` (float, or double where wide_values), its place + first to `indices` (int32_t, or int64_t
 * where wide_indices); all sums become 0. Returns how many there are; or -1, with nothing done,
 * where one of them is not of 2^-126 <= |value| < 1/2. Writes on up to the 64th entry. */
#if defined(__GNUC__) && defined(__x86_64__)
__attribute__((target("avx512f,avx512dq,popcnt")))
static int compress_word(uint64_t bits, double* sums, const double* inverse, double inverse_x,
                         int64_t first, void* values, int wide_values, void* indices,
                         int wide_indices) {
    /* as `is_ordinary` of sparse/product.pxi: one comparison for both ends of the range */
    const __m512i low = _mm512_set1_epi64((int64_t)897 << 53);
    const __m512i range = _mm512_set1_epi64((int64_t)(1022 - 897) << 53);
    const __m512i places = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512d value[8];
    __mmask8 other = 0;
    int kept = 0, i;
    for (i = 0; i < 8; i++) {
        __m512i t;
        value[i] = _mm512_mul_pd(_mm512_loadu_pd(sums + 8 * i),
                                 _mm512_mul_pd(_mm512_set1_pd(inverse_x),
                                               _mm512_loadu_pd(inverse + 8 * i)));
        t = _mm512_castpd_si512(value[i]);
        t = _mm512_sub_epi64(_mm512_add_epi64(t, t), low);
        other |= _mm512_mask_cmpge_epu64_mask((__mmask8)(bits >> 8 * i), t, range);
    }
    if (other) return -1;
    for (i = 0; i < 4; i++) {
        __mmask16 some = (__mmask16)(bits >> 16 * i);
        __m512d a = value[2 * i], b = value[2 * i + 1];
        __m512i place = _mm512_maskz_compress_epi32(some, places);
        if (wide_indices) {
            __m512i start = _mm512_set1_epi64(first + 16 * i);
            int64_t* to = (int64_t*)indices + kept;
            _mm512_storeu_si512(to, _mm512_add_epi64(start, _mm512_cvtepi32_epi64(
                                        _mm512_castsi512_si256(place))));
            _mm512_storeu_si512(to + 8, _mm512_add_epi64(start, _mm512_cvtepi32_epi64(
                                            _mm512_extracti64x4_epi64(place, 1))));
        } else {
            __m512i start = _mm512_set1_epi32((int)first + 16 * i);
            _mm512_storeu_si512((int32_t*)indices + kept, _mm512_add_epi32(start, place));
        }
        if (wide_values) {
            double* to = (double*)values + kept;
            _mm512_storeu_pd(to, _mm512_maskz_compress_pd((__mmask8)some, a));
            to += _mm_popcnt_u32(some & 255);
            _mm512_storeu_pd(to, _mm512_maskz_compress_pd((__mmask8)(some >> 8), b));
        } else {
            __m512 both = _mm512_castps256_ps512(_mm512_cvtpd_ps(a));
            both = _mm512_insertf32x8(both, _mm512_cvtpd_ps(b), 1);
            _mm512_storeu_ps((float*)values + kept, _mm512_maskz_compress_ps(some, both));
        }
        kept += _mm_popcnt_u32(some);
        _mm512_storeu_pd(sums + 16 * i, _mm512_setzero_pd());
        _mm512_storeu_pd(sums + 16 * i + 8, _mm512_setzero_pd());
    }
    return kept;
}
#else
static int compress_word(uint64_t bits, double* sums, const double* inverse, double inverse_x,
                         int64_t first, void* values, int wide_values, void* indices,
                         int wide_indices) {
    (void)bits, (void)sums, (void)inverse, (void)inverse_x, (void)first;
    (void)values, (void)wide_values, (void)indices, (void)wide_indices;
    return -1;
}
#endif
#endif
