/* Sums with the errors of their additions, by lists of rows: (sum, error) pairs, since a processor
 * that adds to rows here and there is held up by loads and stores, and one of each is enough for a
 * pair. With AVX2 four rows at a time: a list names a row once. */
#ifndef UNITDOT_LISTS_H
#define UNITDOT_LISTS_H
#include <stdint.h>
enum { LIST_STEP = 4 };              /* pairs behind the last row's, for what a list lacks */

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
/* how many of 4 ascending rows come before `first` */
static inline int rows_before(const int32_t* row, int64_t first) {
    __m128i less = _mm_cmplt_epi32(_mm_loadu_si128((const __m128i*)row), _mm_set1_epi32((int)first));
    return __builtin_ctz(~(unsigned)_mm_movemask_ps(_mm_castsi128_ps(less)));
}
#else
static int rows_before(const int32_t* row, int64_t first) {
    int n = 0;
    while (n < 4 && row[n] < first) n++;
    return n;
}
#endif
/* the first place in the ascending row[start:stop] of a row from `first` on; `near` is how far from
 * start it was the last time: searches for rows that follow one another are a step or two. Four
 * rows may be read behind the last one. */
static inline int64_t place_near(const int32_t* row, int64_t start, int64_t stop, int64_t first,
                                 int32_t* near) {
    int64_t q = start + *near;
    int n;
    do {
        n = q < stop ? rows_before(row + q, first) : 0;
        q += n;
    } while (n == 4);
    if (q > stop) q = stop;          /* what follows is another list */
    while (q > start && row[q - 1] >= first) q--;   /* OpenMP may give rows out, in any order */
    *near = (int32_t)(q - start);
    return q;
}
/* pair += term, as `add` of sparse/rows.pxi does it */
static inline void add_to_pair(double* pair, double term) {
    double sum = pair[0], total = sum + term, added = total - sum;
    pair[1] += (sum - (total - added)) + (term - added);
    pair[0] = total;
}
static inline void list_any(const int32_t* row, const double* wide, const float* single, int64_t q,
                            int64_t stop, double x, double* pairs, int64_t rows) {
    (void)rows;
    for (; q < stop; q++) add_to_pair(pairs + 2 * (int64_t)row[q], x * (wide ? wide[q] : single[q]));
}
static inline void take_any(double* pairs, int64_t j, int64_t stop, const int* is_long,
                            double* sums) {
    for (; j < stop; j++) {
        sums[j] = is_long[j] ? pairs[2 * j] + pairs[2 * j + 1] : pairs[2 * j];
        pairs[2 * j] = pairs[2 * j + 1] = 0;
    }
}
#if defined(__GNUC__) && defined(__x86_64__)
#define AVX2 __attribute__((target("avx2"))) static inline
/* rows and values may be read up to the end of a vector; they are of other lists, or zeros */
AVX2 __m256d two_pairs(const char* a, const char* b) {
    __m256d both = _mm256_castpd128_pd256(_mm_loadu_pd((const double*)a));
    return _mm256_insertf128_pd(both, _mm_loadu_pd((const double*)b), 1);
}
AVX2 void list_avx2(const int32_t* row, const double* wide, const float* single, int64_t q,
                    int64_t stop, double x, double* pairs, int64_t rows) {
    const __m256d factor = _mm256_set1_pd(x);
    char* of = (char*)pairs;
    for (; q < stop; q += LIST_STEP) {
        int64_t a = (int64_t)row[q] * 16, b = (int64_t)row[q + 1] * 16;
        int64_t c = (int64_t)row[q + 2] * 16, d = (int64_t)row[q + 3] * 16;
        __m256d ac, bd, sum, error, term, total, added;
        if (__builtin_expect(q + LIST_STEP > stop, 0)) {
            b = q + 1 < stop ? b : rows * 16;
            c = q + 2 < stop ? c : rows * 16 + 16;
            d = rows * 16 + 32;
        }
        ac = two_pairs(of + a, of + c), bd = two_pairs(of + b, of + d);
        sum = _mm256_unpacklo_pd(ac, bd), error = _mm256_unpackhi_pd(ac, bd);
        term = wide ? _mm256_loadu_pd(wide + q) : _mm256_cvtps_pd(_mm_loadu_ps(single + q));
        term *= factor, total = sum + term, added = total - sum;
        error += (sum - (total - added)) + (term - added);
        ac = _mm256_unpacklo_pd(total, error), bd = _mm256_unpackhi_pd(total, error);
        _mm_storeu_pd((double*)(of + a), _mm256_castpd256_pd128(ac));
        _mm_storeu_pd((double*)(of + b), _mm256_castpd256_pd128(bd));
        _mm_storeu_pd((double*)(of + c), _mm256_extractf128_pd(ac, 1));
        _mm_storeu_pd((double*)(of + d), _mm256_extractf128_pd(bd, 1));
    }
}
AVX2 void take_avx2(double* pairs, int64_t j, int64_t stop, const int* is_long, double* sums) {
    for (; j + 4 <= stop; j += 4) {
        __m256d a = _mm256_loadu_pd(pairs + 2 * j), b = _mm256_loadu_pd(pairs + 2 * j + 4);
        __m256d ac = _mm256_permute2f128_pd(a, b, 0x20), bd = _mm256_permute2f128_pd(a, b, 0x31);
        __m256d sum = _mm256_unpacklo_pd(ac, bd), error = _mm256_unpackhi_pd(ac, bd);
        __m256i some = _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i*)(is_long + j)));
        __m256d none = _mm256_castsi256_pd(_mm256_cmpeq_epi64(some, _mm256_setzero_si256()));
        _mm256_storeu_pd(sums + j, _mm256_blendv_pd(sum + error, sum, none));
        _mm256_storeu_pd(pairs + 2 * j, _mm256_setzero_pd());
        _mm256_storeu_pd(pairs + 2 * j + 4, _mm256_setzero_pd());
    }
    take_any(pairs, j, stop, is_long, sums);
}
#undef AVX2
#endif

#ifdef __GNUC__
#define bring(address) __builtin_prefetch(address)
#else
#define bring(address) ((void)(address))
#endif
/* the first entries of a list that comes next: a processor sees only later that one goes on */
static inline void bring_near(const int32_t* row, const double* wide, const float* single,
                              int64_t q, int entries) {
    int i;
    for (i = 0; i < entries; i += 16) {
        bring(row + q + i);
        if (wide) bring(wide + q + i), bring(wide + q + i + 8);
        else bring(single + q + i);
    }
}
#define PAIRS_BY_LISTS(isa, target)                                                                 \
    target static void row_by_lists_##isa(const int64_t* start, const int32_t* row,                 \
                                          const double* wide, const float* single,                  \
                                          const int32_t* feature, const double* x, int64_t count,   \
                                          int64_t first, int32_t* near, double* pairs,              \
                                          int64_t rows, const int* is_long, double* sums) {         \
        int64_t k;                                                                                  \
        for (k = 0; k < count; k++) {                                                               \
            int64_t q = start[feature[k]], stop = start[feature[k] + 1];                            \
            if (first > 0) q = place_near(row, q, stop, first, near + feature[k]);                  \
            if (k + 1 < count) {                                                                    \
                int64_t next = start[feature[k + 1]];                                               \
                if (first > 0) next += near[feature[k + 1]];                                        \
                bring_near(row, wide, single, next, 48);                                            \
            }                                                                                       \
            if (wide) list_##isa(row, wide, NULL, q, stop, x[k], pairs, rows);                      \
            else list_##isa(row, NULL, single, q, stop, x[k], pairs, rows);                         \
        }                                                                                           \
        take_##isa(pairs, first, rows, is_long, sums);                                              \
    }
PAIRS_BY_LISTS(any, )
#if defined(__GNUC__) && defined(__x86_64__)
PAIRS_BY_LISTS(avx2, __attribute__((target("avx2"))))
#endif
/* sums[first:rows] = x[0] (rows of the list of feature[0]) + ..., with the errors of those that are
 * long. `pairs` are zeros before and after, with LIST_STEP behind; `near` is of every feature. */
static void row_by_lists(const int64_t* start, const int32_t* row, const double* wide,
                         const float* single, const int32_t* feature, const double* x,
                         int64_t count, int64_t first, int32_t* near, double* pairs, int64_t rows,
                         const int* is_long, double* sums, int vectors) {
#if defined(__GNUC__) && defined(__x86_64__)
    if (vectors >= 256) {
        row_by_lists_avx2(start, row, wide, single, feature, x, count, first, near, pairs, rows,
                          is_long, sums);
        return;
    }
#endif
    (void)vectors;
    row_by_lists_any(start, row, wide, single, feature, x, count, first, near, pairs, rows, is_long,
                     sums);
}
#endif
