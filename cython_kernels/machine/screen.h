/* What the screen (dense/screen.pxi) needs beside vectors.h: dot products of bytes, WORDS words
 * of four in a vector, and float32 to compare with. Builds without such instructions go without:
 * SCREEN is 0, and nothing here is called.
 *
 *   SCREEN_ROWS, SCREEN_VECS  a tile of so many rows by so many vectors of sums stays in registers
 *   add_dots(sum, a, b, c, d) each word of sum + a . b + c . d; a and c without sign, b and d with one;
 *                             pairs of the products are added in 16 bits
 *   SHORT_ROWS                rows of such a tile of words of two integers of 16 bits,
 *   add_short_dots(sum, a, b) each word of sum + a . b; kept_words(v): v in a register
 *   HAS_DOTS                  whether there are, for processors that have VNNI, or Arm's dot product, too,
 *   VNNI_ROWS, add_vnni_dots  the same, with all sums in 32 bits, of integers of VNNI_LEVELS
 *   add_vnni_shorts           add_short_dots, in one instruction
 *   HAS_VNNI                  where that is so, and bytes without a sign may be as large as they can
 *   reach_bits(a, b)          bit i: a[i] >= b[i]; at_least_words: of words
 *   head_dot(x, y, more, vnni)  the sum of (x[i] + more) y[i] over 64 bytes
 *   heads_reach(x, y, more, vnni, least)  bit i: that is at least least[i], of HEADS_AT_ONCE pairs
 */
#ifndef UNITDOT_SCREEN_H
#define UNITDOT_SCREEN_H
#include <stdint.h>
#include "vectors.h"
#include "openmp.h"

enum { HEADS_AT_ONCE = 16 };
#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
enum { SCREEN = 1, WORDS = 16, SCREEN_ROWS = 4, SCREEN_VECS = 3, VNNI_ROWS = 8 };
enum { HAS_DOTS = 1, HAS_VNNI = 1, VNNI_LEVELS = 127 };
typedef __m512i ivec;
#define splat_word(x) _mm512_set1_epi32(x)
#define load_words(p) _mm512_loadu_si512(p)
#define store_words(p, v) _mm512_storeu_si512(p, v)
#define add_dots(sum, a, b, c, d) \
    _mm512_add_epi32(sum, _mm512_madd_epi16(_mm512_add_epi16(_mm512_maddubs_epi16(a, b), \
                                                             _mm512_maddubs_epi16(c, d)), \
                                            _mm512_set1_epi16(1)))
/* the compiler is not told of VNNI, and so would not inline the intrinsic */
static inline ivec add_vnni_dot(ivec sum, ivec a, ivec b) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
#define add_vnni_dots(sum, a, b, c, d) add_vnni_dot(add_vnni_dot(sum, a, b), c, d)
enum { SHORT_ROWS = 8 };
#define kept_words(v) (v)
static inline ivec add_vnni_shorts(ivec sum, ivec a, ivec b) {
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}
static inline ivec add_short_dots(ivec sum, ivec a, ivec b) { /* as with AVX2, below */
    ivec product;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
            : "+v"(sum), "=&v"(product) : "v"(a), "vm"(b));
    return sum;
}
typedef __m512 fvec;
#define splat_single(x) _mm512_set1_ps(x)
#define load_singles(p) _mm512_loadu_ps(p)
#define singles_of(v) _mm512_cvtepi32_ps(v)
#define reach_bits(a, b) ((unsigned)_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ))
#define add_words(a, b) _mm512_add_epi32(a, b)
#define min_words(a, b) _mm512_min_epi32(a, b)
#define at_least_words(a, b) ((unsigned)_mm512_cmpge_epi32_mask(a, b))
static inline ivec head_products(const int8_t *x, const int8_t *y, int more, int by_vnni) {
    ivec a = _mm512_add_epi8(load_words(x), _mm512_set1_epi8((char)more)), b = load_words(y);
    return by_vnni ? add_vnni_dot(_mm512_setzero_si512(), a, b)
                   : _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1));
}
#define head_dot(x, y, more, by_vnni) _mm512_reduce_add_epi32(head_products(x, y, more, by_vnni))
/* a vector's lane has the sums of four */
static inline ivec sums_of_four(const ivec *p) {
    ivec a, b;
    a = add_words(_mm512_unpacklo_epi32(p[0], p[1]), _mm512_unpackhi_epi32(p[0], p[1]));
    b = add_words(_mm512_unpacklo_epi32(p[2], p[3]), _mm512_unpackhi_epi32(p[2], p[3]));
    return add_words(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}
static inline ivec four_heads(const int8_t **x, const int8_t **y, int more, int by_vnni) {
    ivec p[4];
    int i;
    for (i = 0; i < 4; i++)
        p[i] = head_products(x[i], y[i], more, by_vnni);
    return sums_of_four(p);
}
#define add_lanes(a, b) \
    add_words(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd))
static inline ivec heads_dots(const int8_t **x, const int8_t **y, int more, int by_vnni) {
    ivec a = four_heads(x, y, more, by_vnni), b = four_heads(x + 4, y + 4, more, by_vnni);
    ivec c = four_heads(x + 8, y + 8, more, by_vnni), d = four_heads(x + 12, y + 12, more, by_vnni);
    a = add_lanes(a, b), c = add_lanes(c, d);
    return add_lanes(a, c);
}
static inline unsigned heads_reach(const int8_t **x, const int8_t **y, int more, int by_vnni,
                                   const int32_t *least) {
    return at_least_words(heads_dots(x, y, more, by_vnni), load_words(least));
}
#elif !defined(UNITDOT_NO_VECTORS) && defined(HAS_AVX2)
enum { SCREEN = 1, WORDS = 8, SCREEN_ROWS = 2, SCREEN_VECS = 3 };
typedef __m256i ivec;
#define splat_word(x) _mm256_set1_epi32(x)
#define load_words(p) _mm256_loadu_si256((const __m256i *)(p))
#define store_words(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define add_dots(sum, a, b, c, d) \
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(a, b), \
                                                             _mm256_maddubs_epi16(c, d)), \
                                            _mm256_set1_epi16(1)))
/* Each product of shorts is a vector before it is added, so that a tile's 12 sums and what they are
 * made of fill 16 registers: GCC would copy each sum to another register and back; b may be read
 * where it lies in memory, and kept_words(v) is in a register, where GCC would read v for every row. */
enum { SHORT_ROWS = 4 };
static inline ivec kept_words(ivec v) {
    __asm__("" : "+x"(v));
    return v;
}
static inline ivec add_short_dots(ivec sum, ivec a, ivec b) {
    ivec product;
    __asm__("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
            : "+x"(sum), "=&x"(product) : "x"(a), "xm"(b));
    return sum;
}
typedef __m256 fvec;
#define splat_single(x) _mm256_set1_ps(x)
#define load_singles(p) _mm256_loadu_ps(p)
#define singles_of(v) _mm256_cvtepi32_ps(v)
#define reach_bits(a, b) ((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)))
#define add_words(a, b) _mm256_add_epi32(a, b)
#define min_words(a, b) _mm256_min_epi32(a, b)
#define at_least_words(a, b) \
    (255u & ~(unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a))))
static inline __m128i head_products(const int8_t *x, const int8_t *y, int raise_by, int by_vnni) {
    __m256i more = _mm256_set1_epi8((char)raise_by), s;
    (void)by_vnni;
    s = add_dots(_mm256_setzero_si256(), _mm256_add_epi8(load_words(x), more), load_words(y),
                 _mm256_add_epi8(load_words(x + 32), more), load_words(y + 32));
    return _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
}
static inline int32_t head_dot(const int8_t *x, const int8_t *y, int more, int by_vnni) {
    __m128i t = head_products(x, y, more, by_vnni);
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}
static inline unsigned heads_reach(const int8_t **x, const int8_t **y, int more, int by_vnni,
                                   const int32_t *least) {
    __m128i p[4], few;
    unsigned bits = 0;
    int i, q;
    for (q = 0; q < HEADS_AT_ONCE; q += 4) {
        for (i = 0; i < 4; i++)
            p[i] = head_products(x[q + i], y[q + i], more, by_vnni);
        few = _mm_cmpgt_epi32(_mm_loadu_si128((const __m128i *)(least + q)),
                              _mm_hadd_epi32(_mm_hadd_epi32(p[0], p[1]),
                                             _mm_hadd_epi32(p[2], p[3])));
        bits |= (unsigned)(15 & ~_mm_movemask_ps(_mm_castsi128_ps(few))) << q;
    }
    return bits;
}
#elif !defined(UNITDOT_NO_VECTORS) && defined(__aarch64__)
/* 4 by 4 sums, the words that they are made of and one of a row's: 25 of 32 registers */
enum { SCREEN = 1, WORDS = 4, SCREEN_ROWS = 4, SCREEN_VECS = 4 };
typedef int32x4_t ivec;
#define splat_word(x) vdupq_n_s32(x)
#define load_words(p) vld1q_s32(p)
#define store_words(p, v) vst1q_s32(p, v)
#define bytes_of(v) vreinterpretq_s8_s32(v)
#define low_bytes(v) vget_low_s8(bytes_of(v))
/* a and c, which are no larger than 127, have a sign like b and d */
static inline ivec add_dots(ivec sum, ivec a, ivec b, ivec c, ivec d) {
    int16x8_t low = vmlal_s8(vmull_s8(low_bytes(a), low_bytes(b)), low_bytes(c), low_bytes(d));
    int16x8_t high = vmlal_high_s8(vmull_high_s8(bytes_of(a), bytes_of(b)), bytes_of(c), bytes_of(d));
    return vpadalq_s16(sum, vpaddq_s16(low, high));
}
#ifdef __ARM_FEATURE_DOTPROD
#define add_signed_dot(sum, a, b) vdotq_s32(sum, bytes_of(a), bytes_of(b))
#elif !defined(__clang__)
/* neither the compiler nor the assembler has been told of the dot product; Clang would not have it */
static inline ivec add_signed_dot(ivec sum, ivec a, ivec b) {
    __asm__(".arch armv8.2-a+dotprod\n\tsdot %0.4s, %1.16b, %2.16b"
            : "+w"(sum) : "w"(a), "w"(b));
    return sum;
}
#endif
enum { HAS_VNNI = 0, VNNI_ROWS = 4, VNNI_LEVELS = 63 };
#if defined(__ARM_FEATURE_DOTPROD) || !defined(__clang__)
enum { HAS_DOTS = 1 };
#define add_vnni_dots(sum, a, b, c, d) add_signed_dot(add_signed_dot(sum, a, b), c, d)
#else
enum { HAS_DOTS = 0 };
#define add_vnni_dots add_dots
#endif
enum { SHORT_ROWS = 4 };
#define kept_words(v) (v)
static inline ivec add_short_dots(ivec sum, ivec a, ivec b) {
    int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)),
                                     vmull_high_s16(x, y)));
}
typedef float32x4_t fvec;
#define splat_single(x) vdupq_n_f32(x)
#define load_singles(p) vld1q_f32(p)
#define singles_of(v) vcvtq_f32_s32(v)
static inline unsigned bits_of_mask(uint32x4_t mask) {
    const uint32x4_t place = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(mask, place));
}
#define reach_bits(a, b) bits_of_mask(vcgeq_f32(a, b))
#define add_words(a, b) vaddq_s32(a, b)
#define min_words(a, b) vminq_s32(a, b)
#define at_least_words(a, b) bits_of_mask(vcgeq_s32(a, b))
static inline ivec raised_bytes_at(const int8_t *x, int more) {
    return vreinterpretq_s32_s8(vaddq_s8(vld1q_s8(x), vdupq_n_s8((int8_t)more)));
}
static inline ivec head_products(const int8_t *x, const int8_t *y, int more, int by_vnni) {
    ivec sum = splat_word(0), a, b, c, d;
    int i;
    for (i = 0; i < 64; i += 32) {
        a = raised_bytes_at(x + i, more), b = raised_bytes_at(y + i, 0);
        c = raised_bytes_at(x + i + 16, more), d = raised_bytes_at(y + i + 16, 0);
        sum = by_vnni ? add_vnni_dots(sum, a, b, c, d) : add_dots(sum, a, b, c, d);
    }
    return sum;
}
#define head_dot(x, y, more, by_vnni) vaddvq_s32(head_products(x, y, more, by_vnni))
static inline unsigned heads_reach(const int8_t **x, const int8_t **y, int more, int by_vnni,
                                   const int32_t *least) {
    ivec p[4], sums;
    unsigned bits = 0;
    int i, q;
    for (q = 0; q < HEADS_AT_ONCE; q += 4) {
        for (i = 0; i < 4; i++)
            p[i] = head_products(x[q + i], y[q + i], more, by_vnni);
        sums = vpaddq_s32(vpaddq_s32(p[0], p[1]), vpaddq_s32(p[2], p[3]));
        bits |= at_least_words(sums, load_words(least + q)) << q;
    }
    return bits;
}
#else
enum { SCREEN = 0, WORDS = PANEL, SCREEN_ROWS = 1, SCREEN_VECS = 1 };
typedef int32_t ivec;
typedef float fvec;
#define splat_word(x) (x)
#define load_words(p) (*(p))
#define store_words(p, v) (*(p) = (v))
#define add_dots(sum, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d), (sum))
enum { SHORT_ROWS = 1 };
#define kept_words(v) (v)
#define add_short_dots(sum, a, b) ((void)(a), (void)(b), (sum))
#define splat_single(x) (x)
#define load_singles(p) (*(p))
#define singles_of(v) ((float)(v))
#define reach_bits(a, b) ((unsigned)((a) >= (b)))
#define add_words(a, b) ((a) + (b))
#define min_words(a, b) ((a) < (b) ? (a) : (b))
#define at_least_words(a, b) ((unsigned)((a) >= (b)))
static inline int32_t head_dot(const int8_t *x, const int8_t *y, int more, int by_vnni) {
    (void)x, (void)y, (void)more, (void)by_vnni;
    return 0;
}
static inline unsigned heads_reach(const int8_t **x, const int8_t **y, int more, int by_vnni,
                                   const int32_t *least) {
    (void)x, (void)y, (void)more, (void)by_vnni, (void)least;
    return 0;
}
#endif

#ifndef add_vnni_dots
enum { HAS_DOTS = 0, HAS_VNNI = 0, VNNI_ROWS = SCREEN_ROWS, VNNI_LEVELS = 63 };
#define add_vnni_dots add_dots
#endif
#if defined(UNITDOT_NO_VECTORS) || !defined(__AVX512BW__)
#define add_vnni_shorts add_short_dots
#endif

/* in functions of their own all of the tile stays in registers (dense/heads.pxi,
 * dense/screen.pxi) */
#ifdef __GNUC__
static void directions_panel(const real *, const vec *, Py_ssize_t, Py_ssize_t, Py_ssize_t, int,
                             vec *) __attribute__((noinline));
static void screen_panel(const int32_t *, const int32_t *, Py_ssize_t, const int32_t *, int32_t *)
    __attribute__((noinline));
static void vnni_panel(const int32_t *, const int32_t *, Py_ssize_t, const int32_t *, int32_t *)
    __attribute__((noinline));
static void project_panel(const int32_t *, const int32_t *, Py_ssize_t, int32_t *)
    __attribute__((noinline));
static void vnni_project_panel(const int32_t *, const int32_t *, Py_ssize_t, int32_t *)
    __attribute__((noinline));
static void heads_panel(const int32_t *, const int32_t *, Py_ssize_t, const int32_t *,
                        const int32_t *, const int32_t *, const int32_t *, Py_ssize_t, uint64_t *)
    __attribute__((noinline));
static void vnni_heads_panel(const int32_t *, const int32_t *, Py_ssize_t, const int32_t *,
                             const int32_t *, const int32_t *, const int32_t *, Py_ssize_t,
                             uint64_t *) __attribute__((noinline));
static Py_ssize_t keep_near(const int8_t *, const int32_t *, const int8_t *, const int32_t *,
                            Py_ssize_t, const int32_t *, const int32_t *, uint16_t *, Py_ssize_t)
    __attribute__((noinline));
#endif

/* a number that no vector is made of: of single ones, from here and there, that takes longer */
static inline Py_ssize_t alone(Py_ssize_t x) {
#ifdef __GNUC__
    __asm__("" : "+r"(x));
#endif
    return x;
}

/* words[i] = the bytes a[i] b[i] c[i] d[i], which are integers of at most 8 bits */
#ifdef UNITDOT_DOUBLE
#define TO_INTEGER 0x1.8p52 /* added to a small integer, its bits end with those of the integer */
typedef uint64_t bits_of_real;
#else
#define TO_INTEGER 0x1.8p23f
typedef uint32_t bits_of_real;
#endif
static inline void pack_words(int32_t *words, vec a, vec b, vec c, vec d) {
    bits_of_real bits[4][LANES];
    int i;
    a += splat(TO_INTEGER), b += splat(TO_INTEGER), c += splat(TO_INTEGER), d += splat(TO_INTEGER);
    memcpy(bits[0], &a, sizeof a);
    memcpy(bits[1], &b, sizeof b);
    memcpy(bits[2], &c, sizeof c);
    memcpy(bits[3], &d, sizeof d);
    for (i = 0; i < LANES; i++)
        words[i] = (int32_t)((uint32_t)(bits[0][i] & 255) | (uint32_t)(bits[1][i] & 255) << 8 |
                             (uint32_t)(bits[2][i] & 255) << 16 | (uint32_t)bits[3][i] << 24);
}
/* words[i] = the integers a[i] b[i], of at most 16 bits */
static inline void pack_shorts(int32_t *words, vec a, vec b) {
    bits_of_real bits[2][LANES];
    int i;
    a += splat(TO_INTEGER), b += splat(TO_INTEGER);
    memcpy(bits[0], &a, sizeof a);
    memcpy(bits[1], &b, sizeof b);
    for (i = 0; i < LANES; i++)
        words[i] = (int32_t)((uint32_t)(bits[0][i] & 65535) | (uint32_t)bits[1][i] << 16);
}
/* limits that other threads may be raising */
static inline fvec load_limits(const real *p) {
    real limits[WORDS];
    float singles[WORDS];
    int i;
    for (i = 0; i < WORDS; i += LANES)
        store(limits + i, load_stored(p + i));
    for (i = 0; i < WORDS; i++)
        singles[i] = (float)limits[i];
    return load_singles(singles);
}
/* the nearest integers of small numbers */
#define nearest(v) (((v) + splat(TO_INTEGER)) - splat(TO_INTEGER))
#endif
