/* The vector operations of the sparse kernels: whether any of 16 scores, or of 16 bounds
 * x w + y v, reaches the bar; compilers leave these loops scalar, so they are written with vector
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
static int bounds_reach(float x, const float* w, float y, const float* v, float bar) {
    int k, any = 0;
    for (k = 0; k < 16; k++) any |= x * w[k] + y * v[k] >= bar;
    return any;
}
#endif

#include <stdint.h>
/* sums[j] = x[0] panel[feature[0]][j] + x[1] panel[feature[1]][j] + ... of the PANEL_ROWS rows j of a
 * panel (feature, row), a multiplication and then an addition; with `errors`, those of the additions
 * are summed beside, as `add` of sparse/rows.pxi does it. */
enum { PANEL_ROWS = 32 };
#if defined(__GNUC__)
typedef double lanes __attribute__((vector_size(64), aligned(8), may_alias));
#define PANEL_DOTS(name, target)                                                                    \
    target static void name(const double* panel, const int32_t* feature, const double* x,           \
                            int64_t count, double* sums, double* errors) {                          \
        int64_t k;                                                                                  \
        int part;                                                                                   \
        if (!errors) {                                                                              \
            lanes a = {0}, b = {0}, c = {0}, d = {0};                                               \
            for (k = 0; k < count; k++) {                                                           \
                const lanes* p = (const lanes*)(panel + (int64_t)feature[k] * PANEL_ROWS);          \
                double v = x[k];                                                                    \
                a += v * p[0], b += v * p[1], c += v * p[2], d += v * p[3];                         \
            }                                                                                       \
            ((lanes*)sums)[0] = a, ((lanes*)sums)[1] = b;                                           \
            ((lanes*)sums)[2] = c, ((lanes*)sums)[3] = d;                                           \
        }                                                                                           \
        for (part = 0; errors && part < PANEL_ROWS; part += 16) {                                   \
            lanes a = {0}, b = {0}, e = {0}, f = {0}, s, t, u;                                      \
            for (k = 0; k < count; k++) {                                                           \
                const lanes* p = (const lanes*)(panel + (int64_t)feature[k] * PANEL_ROWS + part);   \
                double v = x[k];                                                                    \
                t = v * p[0], s = a + t, u = s - a, e += (a - (s - u)) + (t - u), a = s;            \
                t = v * p[1], s = b + t, u = s - b, f += (b - (s - u)) + (t - u), b = s;            \
            }                                                                                       \
            ((lanes*)(sums + part))[0] = a, ((lanes*)(sums + part))[1] = b;                         \
            ((lanes*)(errors + part))[0] = e, ((lanes*)(errors + part))[1] = f;                     \
        }                                                                                           \
    }
PANEL_DOTS(panel_dots_any, )
#if defined(__x86_64__)
PANEL_DOTS(panel_dots_avx2, __attribute__((target("avx2"))))
PANEL_DOTS(panel_dots_avx512, __attribute__((target("avx512f"))))
#else
#define panel_dots_avx2 panel_dots_any
#define panel_dots_avx512 panel_dots_any
#endif
#else
static void panel_dots_any(const double* panel, const int32_t* feature, const double* x, int64_t count,
                           double* sums, double* errors) {
    int64_t k;
    int j;
    for (j = 0; j < PANEL_ROWS; j++) sums[j] = 0;
    for (j = 0; errors && j < PANEL_ROWS; j++) errors[j] = 0;
    for (k = 0; k < count; k++)
        for (j = 0; j < PANEL_ROWS; j++) {
            double t = x[k] * panel[(int64_t)feature[k] * PANEL_ROWS + j], s = sums[j] + t;
            double u = s - sums[j];
            if (errors) errors[j] += (sums[j] - (s - u)) + (t - u);
            sums[j] = s;
        }
}
#define panel_dots_avx2 panel_dots_any
#define panel_dots_avx512 panel_dots_any
#endif
static void panel_dots(const double* panel, const int32_t* feature, const double* x, int64_t count,
                       double* sums, double* errors, int vectors) {
    if (vectors == 512)
        panel_dots_avx512(panel, feature, x, count, sums, errors);
    else if (vectors == 256)
        panel_dots_avx2(panel, feature, x, count, sums, errors);
    else
        panel_dots_any(panel, feature, x, count, sums, errors);
}

/* The same of weights in float for WEIGHT_ROWS rows j, where any order and rounding will do. */
enum { WEIGHT_ROWS = 64 };
#define PANEL_SCORES(name, target)                                                                  \
    target static void name(const float* panel, const int32_t* feature, const float* x,             \
                            int64_t count, float* scores) {                                         \
        SCORES_BODY                                                                                 \
    }
#if defined(__GNUC__)
typedef float light __attribute__((vector_size(64), aligned(4), may_alias));
#define SCORES_BODY                                                                                 \
    light a = {0}, b = {0}, c = {0}, d = {0};                                                       \
    int64_t k;                                                                                      \
    for (k = 0; k < count; k++) {                                                                   \
        const light* p = (const light*)(panel + (int64_t)feature[k] * WEIGHT_ROWS);                 \
        float v = x[k];                                                                             \
        a += v * p[0], b += v * p[1], c += v * p[2], d += v * p[3];                                 \
    }                                                                                               \
    ((light*)scores)[0] = a, ((light*)scores)[1] = b;                                               \
    ((light*)scores)[2] = c, ((light*)scores)[3] = d;
#else
#define SCORES_BODY                                                                                 \
    int64_t k;                                                                                      \
    int j;                                                                                          \
    for (j = 0; j < WEIGHT_ROWS; j++) scores[j] = 0;                                                \
    for (k = 0; k < count; k++)                                                                     \
        for (j = 0; j < WEIGHT_ROWS; j++)                                                           \
            scores[j] += x[k] * panel[(int64_t)feature[k] * WEIGHT_ROWS + j];
#endif
PANEL_SCORES(panel_scores_any, )
#if defined(__GNUC__) && defined(__x86_64__)
PANEL_SCORES(panel_scores_avx2, __attribute__((target("avx2"))))
PANEL_SCORES(panel_scores_avx512, __attribute__((target("avx512f"))))
#else
#define panel_scores_avx2 panel_scores_any
#define panel_scores_avx512 panel_scores_any
#endif
static void panel_scores(const float* panel, const int32_t* feature, const float* x, int64_t count,
                         float* scores, int vectors) {
    if (vectors == 512)
        panel_scores_avx512(panel, feature, x, count, scores);
    else if (vectors == 256)
        panel_scores_avx2(panel, feature, x, count, scores);
    else
        panel_scores_any(panel, feature, x, count, scores);
}

/* The product's entries of 64 sums: of those whose bit is set, sum * (inverse_x * inverse) goes to
 * `values` (float, or double where wide_values), its place + first to `indices` (int32_t, or int64_t
 * where wide_indices); all sums become 0. Returns how many there are; or -1, with nothing done,
 * where one of them is not of 2^-126 <= |value| < 1/2. Writes on up to the 64th entry. */
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
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
