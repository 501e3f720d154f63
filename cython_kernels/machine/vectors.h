/* One vector type and its few operations: all that the Cython kernels know of an instruction set.
 *
 * Compile-time parameters, set by setup.py:
 *   UNITDOT_DOUBLE      `real` is double; otherwise float
 *   UNITDOT_NO_VECTORS  one-lane "vectors", for compilers without vector types
 * The compiler's own target flags (-mavx512f, -mavx2 -mfma, ...) choose the width.
 * Build with -ffp-contract=off: a multiply-add is fused where the source says madd, nowhere else.
 *
 *   vec             LANES reals                  splat(x)      x in every lane
 *   madd(a, b, c)   a * b + c: one rounding where the target has fused multiply-add (FUSED)
 *   exact_madd      as madd, but never loses the low half of the product (double-word where not FUSED)
 *   vmin, vmax      lane by lane; a NaN in the second argument is kept
 *   min_magnitude   the smaller of |a| and b >= 0; of a NaN, anything
 *   at_least_bits   bit i: a[i] >= b[i], which no NaN is
 *   interleave_lo   a0 b0 a1 b1 ... of the low halves of each 16 bytes; interleave_hi: of the high
 *   even_pieces     the pieces of 16 bytes, PIECE lanes each, 0 2 ... of a, then of b; odd_pieces: 1 3 ...
 *   load, store     any alignment; load_one: of one number
 *   load_half, load_bfloat  LANES numbers of 16 bits, exactly, where there are HALF_LOADS
 *   first_bfloat, second_bfloat  of the two in every lane, where there are BFLOAT_PAIRS
 *   to_single       every lane rounded to float
 *   sum_of_lanes    their sum, in an order of its own
 */
#ifndef UNITDOT_VECTORS_H
#define UNITDOT_VECTORS_H
#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#ifndef __GNUC__ /* nor Clang, which says it is GNU C */
#define UNITDOT_NO_VECTORS
#endif
#ifdef __FAST_MATH__
#error "-ffast-math breaks the numerical contract: NaN, exact values and the order of sums"
#endif
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define HAS_AVX2
#endif

/* `cdef inline` must mean it: the tile's shape is an argument that has to become a constant. */
#ifdef __GNUC__
#undef CYTHON_INLINE
#define CYTHON_INLINE __inline__ __attribute__((always_inline))
#endif

#ifdef UNITDOT_DOUBLE
typedef double real;
enum { IS_DOUBLE = 1, REAL_MAX_EXP = DBL_MAX_EXP };
#define REAL_MAX DBL_MAX
#define REAL_FMA fma
#define REAL_NEXT nextafter
#define SPLITTER 134217729.0 /* 2^27 + 1 */
#define PS(name) name##d
#define PS_MASK(name) name##d_mask
#define NEON(name) name##_f64
#else
typedef float real;
enum { IS_DOUBLE = 0, REAL_MAX_EXP = FLT_MAX_EXP };
#define REAL_MAX FLT_MAX
#define REAL_FMA fmaf
#define REAL_NEXT nextafterf
#define SPLITTER 4097.0f /* 2^12 + 1 */
#define PS(name) name##s
#define PS_MASK(name) name##s_mask
#define NEON(name) name##_f32
#endif

#ifdef UNITDOT_NO_VECTORS
#define VECTOR_BYTES sizeof(real)
typedef real vec;
#define splat(x) ((real)(x))
#else
#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(HAS_AVX2)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
#define splat(x) ((real)(x) - (vec){0}) /* x - 0 is x, so this is a broadcast */
#endif
enum { LANES = VECTOR_BYTES / sizeof(real) };

#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512F__)
#include <immintrin.h>
#define FUSED 1
#define madd(a, b, c) ((vec)PS(_mm512_fmadd_p)(a, b, c))
#define vmin(a, b) ((vec)PS(_mm512_min_p)(a, b))
#define vmax(a, b) ((vec)PS(_mm512_max_p)(a, b))
#define min_magnitude(a, b) ((vec)PS(_mm512_range_p)(a, b, 10)) /* 2: of magnitudes; 8: no sign */
#define at_least_bits(a, b) ((unsigned)PS_MASK(_mm512_cmp_p)(a, b, _CMP_GE_OQ))
#elif !defined(UNITDOT_NO_VECTORS) && defined(HAS_AVX2)
#include <immintrin.h>
#define FUSED 1
#define madd(a, b, c) ((vec)PS(_mm256_fmadd_p)(a, b, c))
#define vmin(a, b) ((vec)PS(_mm256_min_p)(a, b))
#define vmax(a, b) ((vec)PS(_mm256_max_p)(a, b))
#define min_magnitude(a, b) vmin((vec)PS(_mm256_andnot_p)(splat((real)-0.0), a), b)
#define at_least_bits(a, b) \
    ((unsigned)PS(_mm256_movemask_p)(PS(_mm256_cmp_p)(a, b, _CMP_GE_OQ)))
#elif !defined(UNITDOT_NO_VECTORS) && defined(__SSE2__)
#include <emmintrin.h>
#define FUSED 0
#define madd(a, b, c) ((a) * (b) + (c))
#define vmin(a, b) ((vec)PS(_mm_min_p)(a, b))
#define vmax(a, b) ((vec)PS(_mm_max_p)(a, b))
#define min_magnitude(a, b) vmin((vec)PS(_mm_andnot_p)(splat((real)-0.0), a), b)
#define at_least_bits(a, b) ((unsigned)PS(_mm_movemask_p)(PS(_mm_cmpge_p)(a, b)))
#elif !defined(UNITDOT_NO_VECTORS) && defined(__aarch64__)
#include <arm_neon.h>
#define FUSED 1
#define madd(a, b, c) ((vec)NEON(vfmaq)(c, a, b))
#define vmin(a, b) ((vec)NEON(vminq)(a, b))
#define vmax(a, b) ((vec)NEON(vmaxq)(a, b))
#define min_magnitude(a, b) vmin((vec)NEON(vabsq)(a), b)
#else
#define FUSED 0
static inline real madd(real a, real b, real c) { return a * b + c; }
static inline real vmin(real a, real b) { return a < b ? a : b; }
static inline real vmax(real a, real b) { return a > b ? a : b; }
static inline real min_magnitude(real a, real b) { return vmin(a < 0 ? -a : a, b); }
#if !defined(UNITDOT_NO_VECTORS)
#error "no operations for this target: build with -DUNITDOT_NO_VECTORS"
#endif
#endif

#if FUSED
#define exact_madd(a, b, c) madd(a, b, c)
#else
/* Dekker's product and Knuth's sum: a * b + c in double-word arithmetic, rounded once at the end. */
static inline vec exact_madd(vec a, vec b, vec c) {
    vec ta = a * (real)SPLITTER, tb = b * (real)SPLITTER;
    vec ah = ta - (ta - a), bh = tb - (tb - b), al = a - ah, bl = b - bh;
    vec p = a * b, low = (((ah * bh - p) + ah * bl) + al * bh) + al * bl;
    vec s = p + c, back = s - p;
    return s + (((p - (s - back)) + (c - back)) + low);
}
#endif

#ifdef UNITDOT_NO_VECTORS
enum { PIECE = 1 };
#define interleave_lo(a, b) (a)
#define interleave_hi(a, b) (b)
#define even_pieces(a, b) (a)
#define odd_pieces(a, b) (b)
#else
enum { PIECE = 16 / sizeof(real) };
#ifdef UNITDOT_DOUBLE
typedef long long places __attribute__((vector_size(VECTOR_BYTES)));
#define LOW_OF(a, b) a, b
#define HIGH_OF(a, b) a + 1, b + 1
#define PIECE_AT(a) a, a + 1
#else
typedef int places __attribute__((vector_size(VECTOR_BYTES)));
#define LOW_OF(a, b) a, b, a + 1, b + 1
#define HIGH_OF(a, b) a + 2, b + 2, a + 3, b + 3
#define PIECE_AT(a) a, a + 1, a + 2, a + 3
#endif
#if VECTOR_BYTES == 64
#define EACH(f) f(0, LANES), f(PIECE, LANES + PIECE), f(2 * PIECE, LANES + 2 * PIECE), \
                f(3 * PIECE, LANES + 3 * PIECE)
#define EVERY_OTHER(k) PIECE_AT(k * PIECE), PIECE_AT((k + 2) * PIECE), \
                       PIECE_AT((k + 4) * PIECE), PIECE_AT((k + 6) * PIECE)
#elif VECTOR_BYTES == 32
#define EACH(f) f(0, LANES), f(PIECE, LANES + PIECE)
#define EVERY_OTHER(k) PIECE_AT(k * PIECE), PIECE_AT((k + 2) * PIECE)
#else
#define EACH(f) f(0, LANES)
#define EVERY_OTHER(k) PIECE_AT(k * PIECE)
#endif
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (places){__VA_ARGS__})
#endif
#define interleave_lo(a, b) SHUFFLE(a, b, EACH(LOW_OF))
#define interleave_hi(a, b) SHUFFLE(a, b, EACH(HIGH_OF))
#define even_pieces(a, b) SHUFFLE(a, b, EVERY_OTHER(0))
#define odd_pieces(a, b) SHUFFLE(a, b, EVERY_OTHER(1))
#endif

static inline vec load(const real *p) {
    vec v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void store(real *p, vec v) { memcpy(p, &v, sizeof v); }
static inline real load_one(const real *p) {
    real x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* vcvtph2ps and fcvtl convert every number of 16 bits exactly, subnormal ones in any mode; a bfloat16
 * is the upper half of a float */
#if defined(UNITDOT_NO_VECTORS)
#elif defined(__AVX512F__) && defined(UNITDOT_DOUBLE)
#define load_half(p) ((vec)_mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))))
#define load_bfloat(p) ((vec)_mm512_cvtps_pd(_mm256_castsi256_ps(_mm256_slli_epi32( \
    _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))), 16))))
#elif defined(__AVX512F__)
#define load_half(p) ((vec)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p))))
#define load_bfloat(p) ((vec)_mm512_castsi512_ps(_mm512_slli_epi32( \
    _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p))), 16)))
#elif defined(HAS_AVX2) && defined(UNITDOT_DOUBLE)
#define load_half(p) ((vec)_mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(p)))))
#define load_bfloat(p) ((vec)_mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32( \
    _mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)(p))), 16))))
#elif defined(HAS_AVX2)
#define load_half(p) ((vec)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p))))
#define load_bfloat(p) ((vec)_mm256_castsi256_ps(_mm256_slli_epi32( \
    _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p))), 16)))
#elif defined(__aarch64__) && !defined(UNITDOT_DOUBLE)
#define load_half(p) ((vec)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))))
#define load_bfloat(p) ((vec)vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vld1_u16(p)), 16)))
#endif
#ifdef load_half
enum { HALF_LOADS = 1 };
#else
enum { HALF_LOADS = 0 };
#define load_half(p) ((void)(p), splat(0))
#define load_bfloat(p) ((void)(p), splat(0))
#endif

/* two bfloat16s in the place of a float, as they lie in memory: the first and the second of each lane */
#if !defined(UNITDOT_NO_VECTORS) && !defined(UNITDOT_DOUBLE)
typedef unsigned bits32 __attribute__((vector_size(VECTOR_BYTES)));
#define first_bfloat(v) ((vec)((bits32)(v) << 16))
#define second_bfloat(v) ((vec)((bits32)(v) & 0xffff0000u))
enum { BFLOAT_PAIRS = HALF_LOADS };
#else
enum { BFLOAT_PAIRS = 0 };
#define first_bfloat(v) (v)
#define second_bfloat(v) (v)
#endif

/* to[:count] = float16s, as many as fill whole vectors; returns how many */
static inline ptrdiff_t load_halves(real *to, const uint16_t *p, ptrdiff_t count) {
    ptrdiff_t k = 0;
    for (; HALF_LOADS && k + LANES <= count; k += LANES)
        store(to + k, load_half(p + k));
    return k;
}

#ifndef at_least_bits
static inline unsigned at_least_bits(vec a, vec b) {
    real x[LANES], y[LANES];
    unsigned bits = 0, i;
    store(x, a);
    store(y, b);
    for (i = 0; i < LANES; i++)
        bits |= (unsigned)(x[i] >= y[i]) << i;
    return bits;
}
#endif

/* Every lane rounded to float. GCC 12 drops a vectorised (double)(float), hence `volatile`. */
static inline vec to_single(vec v) {
    real lanes[LANES];
    volatile float single;
    int i;
    store(lanes, v);
    for (i = 0; i < LANES; i++) {
        single = (float)lanes[i];
        lanes[i] = single;
    }
    return load(lanes);
}

/* The sum of all lanes, by halves. */
static inline real sum_of_lanes(vec v) {
    real lanes[LANES];
    int half, i;
    store(lanes, v);
    for (half = LANES / 2; half > 0; half /= 2)
        for (i = 0; i < half; i++)
            lanes[i] += lanes[i + half];
    return lanes[0];
}

static inline double seconds(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Bring a cache line near before it is read, or written: into the first-level cache, or the second. */
#define CACHE_LINE 64
#ifdef __GNUC__
#define prefetch_first(p) __builtin_prefetch(p, 0, 3)
#define prefetch_second(p) __builtin_prefetch(p, 0, 2)
#define prefetch_write(p) __builtin_prefetch(p, 1)
#else
#define prefetch_first(p) ((void)(p))
#define prefetch_second(p) ((void)(p))
#define prefetch_write(p) ((void)(p))
#endif

/* The tuning table: one line per instruction set.
 * PANEL rows are packed side by side; a tile is TILE_ROWS rows by TILE_PANELS panels of outputs,
 * and its accumulators, TILE_ROWS * TILE_PANELS * PANEL / LANES of them, live in registers. Beside
 * one panel alone it has TALL_ROWS: a processor adds to eight accumulators and more at a time. Where
 * a line of X serves one tile, it is brought near X_AHEAD features before (0: not; measured on
 * an Intel Xeon: 4 % of the benchmarks' square-float64). */
#if defined(UNITDOT_NO_VECTORS)
enum { PANEL = 4, TILE_ROWS = 4, TILE_PANELS = 1, TALL_ROWS = 4, X_AHEAD = 0 };
#elif defined(__AVX512F__)                                                   /* 24 of 32 registers */
enum { PANEL = LANES, TILE_ROWS = 8, TILE_PANELS = 3, TALL_ROWS = 8, X_AHEAD = LANES > 8 ? 0 : 32 };
#elif defined(HAS_AVX2)                                                      /* 12 of 16 */
enum { PANEL = LANES, TILE_ROWS = 4, TILE_PANELS = 3, TALL_ROWS = PANEL, X_AHEAD = 0 };
#elif defined(__aarch64__)                                                   /* 24 of 32 */
enum { PANEL = 4, TILE_ROWS = 4, TILE_PANELS = 24 / LANES, TALL_ROWS = 4, X_AHEAD = 0 };
#else                                                                        /* 8 of 16 */
enum { PANEL = 4, TILE_ROWS = 4, TILE_PANELS = LANES / 2, TALL_ROWS = 4, X_AHEAD = 0 };
#endif
enum {
    VECS = PANEL / LANES,       /* vectors across a panel */
    GROUP = TILE_PANELS * PANEL /* columns of a tile */
};

/* A row is packed as it is when its squared norm and its smallest nonzero element lie in a range in
 * which every product and sum of the canonical order is exact down to its last bit's place, so that
 * a power of two in front of a row changes nothing (docs/architecture). */
#ifdef UNITDOT_DOUBLE
#define NORM2_LOW 0x1p-400
#define NORM2_HIGH 0x1p400
#define ELEMENT_LOW 0x1p-485
#else
#define NORM2_LOW 0x1p-60f
#define NORM2_HIGH 0x1p60f
#define ELEMENT_LOW 0x1p-50f
#endif
#endif
