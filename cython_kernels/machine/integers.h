/* What rows of 8-bit integers (dense/integers.pxi) need beside vectors.h, in the builds of float64,
 * where they are computed: vectors of integers as wide as vec, whose lanes are words of 32 bits and
 * shorts of 16. Other builds go without: INTEGERS is 0, and nothing here is called.
 *
 *   SHORTS                 shorts in a vector
 *   load_bytes(p, sign)    SHORTS bytes, with a sign or without, as shorts
 *   add_shorts(s, a, b)    each word of s + a . b, two shorts each; meet_shorts: in a tile
 *   add_vnni_dot(s, a, b)  each word of s + a . b, four bytes each: a without sign, b with (screen.h)
 *   splat_word(x)          (screen.h)
 *   bits_of(v), splat_unit(p)   the bits of a vec; the 8 bytes at p in every lane
 *   sum_of_words(v)        of all lanes
 *   unit_sums(v)           vec: of the two words of each lane
 */
#ifndef UNITDOT_INTEGERS_H
#define UNITDOT_INTEGERS_H
#include "screen.h"

#if defined(UNITDOT_NO_VECTORS) || !defined(UNITDOT_DOUBLE)
#elif defined(__AVX512BW__)
#define INTEGERS 1
typedef __m512i words;
#define load_bytes(p, sign) \
    ((sign) ? _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(p))) \
            : _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(p))))
#define add_shorts(s, a, b) _mm512_add_epi32(s, _mm512_madd_epi16(a, b))
#define sum_of_words(v) _mm512_reduce_add_epi32(v)
#define unit_sums(v) ((vec)_mm512_cvtepi32_pd(_mm512_cvtepi64_epi32( \
    _mm512_add_epi32(v, _mm512_srli_epi64(v, 32)))))
#define splat_bits(x) _mm512_set1_epi64(x)
#elif defined(HAS_AVX2)
#define INTEGERS 1
typedef __m256i words;
#define load_bytes(p, sign) \
    ((sign) ? _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(p))) \
            : _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(p))))
#define add_shorts(s, a, b) _mm256_add_epi32(s, _mm256_madd_epi16(a, b))
#define unit_sums(v) ((vec)_mm256_cvtepi32_pd(_mm256_castsi256_si128(_mm256_permutevar8x32_epi32( \
    _mm256_add_epi32(v, _mm256_srli_epi64(v, 32)), _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)))))
#define splat_bits(x) _mm256_set1_epi64x(x)
#elif defined(__SSE2__)
#define INTEGERS 1
typedef __m128i words;
static inline words load_bytes(const char *p, int sign) {
    __m128i v = _mm_loadl_epi64((const __m128i *)p);
    return sign ? _mm_srai_epi16(_mm_unpacklo_epi8(v, v), 8)
                : _mm_unpacklo_epi8(v, _mm_setzero_si128());
}
#define add_shorts(s, a, b) _mm_add_epi32(s, _mm_madd_epi16(a, b))
static inline vec unit_sums(words v) {
    return (vec)_mm_cvtepi32_pd(_mm_shuffle_epi32(_mm_add_epi32(v, _mm_srli_epi64(v, 32)), 8));
}
#define splat_bits(x) _mm_set1_epi64x(x)
#elif defined(__aarch64__)
#define INTEGERS 1
typedef int32x4_t words;
static inline words load_bytes(const char *p, int sign) {
    return sign ? vreinterpretq_s32_s16(vmovl_s8(vld1_s8((const int8_t *)p)))
                : vreinterpretq_s32_u16(vmovl_u8(vld1_u8((const uint8_t *)p)));
}
static inline words add_shorts(words s, words a, words b) {
    int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vaddq_s32(s, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)),
                                   vmull_high_s16(x, y)));
}
#define sum_of_words(v) vaddvq_s32(v)
#define unit_sums(v) ((vec)vcvtq_f64_s64(vpaddlq_s32(v)))
#define splat_bits(x) vreinterpretq_s32_s64(vdupq_n_s64(x))
#endif

#ifdef INTEGERS
enum { SHORTS = sizeof(words) / 2 };
#define bits_of(v) ((words)(v))
static inline words splat_unit(const real *p) {
    long long unit;
    memcpy(&unit, p, sizeof unit);
    return splat_bits(unit);
}
#ifndef sum_of_words
static inline int sum_of_words(words v) {
    int32_t lanes[sizeof v / 4];
    int sum = 0;
    unsigned i;
    memcpy(lanes, &v, sizeof v);
    for (i = 0; i < sizeof v / 4; i++)
        sum += lanes[i];
    return sum;
}
#endif
#else
#define INTEGERS 0
typedef int32_t words;
enum { SHORTS = 1 };
#define load_bytes(p, sign) ((void)(p), (sign))
#define add_shorts(s, a, b) ((void)(a), (void)(b), (s))
#define bits_of(v) ((void)(v), 0)
#define splat_unit(p) ((void)(p), 0)
#define sum_of_words(v) (v)
#define unit_sums(v) ((void)(v), splat(0))
#endif

#if INTEGERS && defined(__AVX512BW__)
#define add_bytes(s, a, b) add_vnni_dot(s, a, b)
#define splat_bytes(x) _mm512_set1_epi8((char)(x))
#define flipped(v) _mm512_xor_si512(v, splat_bytes(128))
#else
#define add_bytes(s, a, b) ((void)(a), (void)(b), (s))
#define splat_bytes(x) ((void)(x), bits_of(splat(0)))
#define flipped(v) (v)
#endif

#if INTEGERS && defined(HAS_AVX2)
#define kept(v) kept_words(v)
#define meet_shorts(s, a, b) add_short_dots(s, a, b)
#else
#define kept(v) (v)
#define meet_shorts(s, a, b) add_shorts(s, a, b)
#endif

/* in functions of their own all of the tile stays in registers (dense/integers.pxi) */
#ifdef __GNUC__
#define OWN_FUNCTION __attribute__((noinline))
#else
#define OWN_FUNCTION
#endif
static void shorts_tile(const real *, const vec *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, vec *)
    OWN_FUNCTION;
static void signed_tile(const real *, const vec *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, vec *)
    OWN_FUNCTION;
static void unsigned_tile(const real *, const vec *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int, vec *)
    OWN_FUNCTION;
#endif
