/* What the screen (dense/screen.pxi) needs beside vectors.h: dot products of bytes, WORDS words
 * of four in a vector, and float32 to compare with. Builds without such instructions go without:
 * SCREEN is 0, and nothing here is called.
 *
 *   SCREEN_ROWS, SCREEN_VECS  a tile of so many rows by so many vectors of sums stays in registers
 *   add_dots(sum, a, b, c, d) each word of sum + a . b + c . d; a and c without sign, b and d with one;
 *                             pairs of the products are added in 16 bits
 *   HAS_VNNI                  whether there are, for processors that have VNNI, too,
 *   VNNI_ROWS, add_vnni_dots  the same, with all sums in 32 bits
 *   reach_bits(a, b)          bit i: a[i] >= b[i]
 */
#ifndef UNITDOT_SCREEN_H
#define UNITDOT_SCREEN_H
#include <stdint.h>
#include "vectors.h"
#include "openmp.h"

#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
enum { SCREEN = 1, WORDS = 16, SCREEN_ROWS = 4, SCREEN_VECS = 3, HAS_VNNI = 1, VNNI_ROWS = 8 };
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
typedef __m512 fvec;
#define splat_single(x) _mm512_set1_ps(x)
#define load_singles(p) _mm512_loadu_ps(p)
#define singles_of(v) _mm512_cvtepi32_ps(v)
#define reach_bits(a, b) ((unsigned)_mm512_cmp_ps_mask(a, b, _CMP_GE_OQ))
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
typedef __m256 fvec;
#define splat_single(x) _mm256_set1_ps(x)
#define load_singles(p) _mm256_loadu_ps(p)
#define singles_of(v) _mm256_cvtepi32_ps(v)
#define reach_bits(a, b) ((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GE_OQ)))
#else
enum { SCREEN = 0, WORDS = PANEL, SCREEN_ROWS = 1, SCREEN_VECS = 1 };
typedef int32_t ivec;
typedef float fvec;
#define splat_word(x) (x)
#define load_words(p) (*(p))
#define store_words(p, v) (*(p) = (v))
#define add_dots(sum, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d), (sum))
#define splat_single(x) (x)
#define load_singles(p) (*(p))
#define singles_of(v) ((float)(v))
#define reach_bits(a, b) ((unsigned)((a) >= (b)))
#endif

#ifndef add_vnni_dots
enum { HAS_VNNI = 0, VNNI_ROWS = SCREEN_ROWS };
#define add_vnni_dots add_dots
#endif

/* in functions of their own all of the tile stays in registers (dense/screen.pxi) */
#ifdef __GNUC__
static void screen_panel(const int32_t *, const int32_t *, Py_ssize_t, const int32_t *, int32_t *)
    __attribute__((noinline));
static void vnni_panel(const int32_t *, const int32_t *, Py_ssize_t, const int32_t *, int32_t *)
    __attribute__((noinline));
#endif

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
