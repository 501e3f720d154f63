/* What a search by prepared rows (dense/search.pxi) needs beside screen.h: distances from integers of
 * 8 bits, exact with any instruction set, since what one machine has prepared another may search.
 *
 *   near_block    D[q][r] = squares[q] + starts[r] - 2 (x[q] + 128) . y[r] for `queries` rows x, words
 *                 of four integers (raised: without sign), and NEAR_ROWS rows y in panels of
 *                 PANEL_ROWS, a word of each after the other; returns nothing
 *   raised_dot    the sum of (x[i] + 128) y[i] over 64 bytes
 */
#ifndef UNITDOT_PANELS_H
#define UNITDOT_PANELS_H
#include "screen.h"

enum { PANEL_ROWS = 16, NEAR_PANELS = 4, NEAR_ROWS = PANEL_ROWS * NEAR_PANELS, NEAR_QUERIES = 4 };

#if !defined(UNITDOT_NO_VECTORS) && (defined(HAS_AVX2) || defined(__AVX512BW__))
/* words in 16 bits: sums of two products are exact in 32 */
static inline void sum_panel(const int32_t *panel, Py_ssize_t words, const int32_t *x, int32_t *sums) {
    __m256i acc[4], a, b;
    Py_ssize_t w;
    int i;
    for (i = 0; i < 4; i++)
        acc[i] = _mm256_setzero_si256();
    for (w = 0; w < words; w++) {
        a = _mm256_cvtepu8_epi16(_mm_set1_epi32(x[w]));
        for (i = 0; i < 4; i++) {
            b = _mm256_cvtepi8_epi16(
                _mm_loadu_si128((const __m128i *)(panel + w * PANEL_ROWS + i * 4)));
            acc[i] = _mm256_add_epi32(acc[i], _mm256_madd_epi16(a, b));
        }
    }
    for (i = 0; i < 4; i += 2)
        _mm256_storeu_si256(
            (__m256i *)(sums + 4 * i),
            _mm256_permute4x64_epi64(_mm256_hadd_epi32(acc[i], acc[i + 1]), 0xd8));
}
static inline int32_t wide_dot(const int8_t *x, const int8_t *y) {
    __m256i sum = _mm256_setzero_si256(), a, b;
    __m128i t;
    int i;
    for (i = 0; i < 64; i += 16) {
        a = _mm256_add_epi16(_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(x + i))),
                             _mm256_set1_epi16(128));
        b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(y + i)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }
    t = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    t = _mm_add_epi32(t, _mm_shuffle_epi32(t, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(t, _mm_shuffle_epi32(t, 0xb1)));
}
#else
static inline void sum_panel(const int32_t *panel, Py_ssize_t words, const int32_t *x, int32_t *sums) {
    const uint8_t *a = (const uint8_t *)x;
    const int8_t *b = (const int8_t *)panel;
    Py_ssize_t w;
    int r, i;
    for (r = 0; r < PANEL_ROWS; r++)
        sums[r] = 0;
    for (w = 0; w < words; w++)
        for (r = 0; r < PANEL_ROWS; r++)
            for (i = 0; i < 4; i++)
                sums[r] += a[4 * w + i] * b[4 * (w * PANEL_ROWS + r) + i];
}
static inline int32_t wide_dot(const int8_t *x, const int8_t *y) {
    int32_t sum = 0;
    int i;
    for (i = 0; i < 64; i++)
        sum += (x[i] + 128) * y[i];
    return sum;
}
#endif

#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
static inline __attribute__((always_inline)) void near_vnni(
    const int32_t **panel, Py_ssize_t words, const int32_t *x, const int queries,
    const int32_t *squares, const int32_t *starts, int32_t *distances) {
    __m512i acc[NEAR_QUERIES][NEAR_PANELS], y[NEAR_PANELS], a;
    Py_ssize_t w;
    int p, q;
    for (q = 0; q < queries; q++)
        for (p = 0; p < NEAR_PANELS; p++)
            acc[q][p] = _mm512_setzero_si512();
    for (w = 0; w < words; w++) {
        for (p = 0; p < NEAR_PANELS; p++)
            y[p] = load_words(panel[p] + w * PANEL_ROWS);
        for (q = 0; q < queries; q++) {
            a = splat_word(x[q * words + w]);
            for (p = 0; p < NEAR_PANELS; p++)
                acc[q][p] = add_vnni_dot(acc[q][p], a, y[p]);
        }
    }
    for (q = 0; q < queries; q++)
        for (p = 0; p < NEAR_PANELS; p++)
            store_words(distances + q * NEAR_ROWS + p * PANEL_ROWS,
                        _mm512_sub_epi32(
                            add_words(splat_word(squares[q]), load_words(starts + p * PANEL_ROWS)),
                            add_words(acc[q][p], acc[q][p])));
}
#endif

/* the least of NEAR_ROWS */
static inline int32_t least_of(const int32_t *distances) {
    int32_t least[PANEL_ROWS], all;
    int p, r;
    memcpy(least, distances, sizeof least);
    for (p = 1; p < NEAR_PANELS; p++)
        for (r = 0; r < PANEL_ROWS; r++)
            least[r] = distances[p * PANEL_ROWS + r] < least[r] ? distances[p * PANEL_ROWS + r]
                                                                : least[r];
    all = least[0];
    for (r = 1; r < PANEL_ROWS; r++)
        all = least[r] < all ? least[r] : all;
    return all;
}
/* bit r: distances[r] <= bar, of NEAR_ROWS */
static inline uint64_t near_bits(const int32_t *distances, int32_t bar) {
    uint64_t bits = 0;
    int r;
#if !defined(UNITDOT_NO_VECTORS) && (defined(HAS_AVX2) || defined(__AVX512BW__))
    for (r = 0; r < NEAR_ROWS; r += WORDS)
        bits |= (uint64_t)at_least_words(splat_word(bar), load_words(distances + r)) << r;
#else
    for (r = 0; r < NEAR_ROWS; r++)
        bits |= (uint64_t)(distances[r] <= bar) << r;
#endif
    return bits;
}

static void near_block(const int32_t **panel, Py_ssize_t words, const int32_t *x, int queries,
                       const int32_t *squares, const int32_t *starts, int by_vnni,
                       int32_t *distances) {
    int32_t sums[PANEL_ROWS];
    int p, q, r;
#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
    if (by_vnni && queries == NEAR_QUERIES) {
        near_vnni(panel, words, x, NEAR_QUERIES, squares, starts, distances);
        return;
    }
    for (q = 0; by_vnni && q < queries; q++)
        near_vnni(panel, words, x + q * words, 1, squares + q, starts, distances + q * NEAR_ROWS);
    if (by_vnni)
        return;
#endif
    (void)by_vnni;
    for (q = 0; q < queries; q++)
        for (p = 0; p < NEAR_PANELS; p++) {
            sum_panel(panel[p], words, x + q * words, sums);
            for (r = 0; r < PANEL_ROWS; r++)
                distances[q * NEAR_ROWS + p * PANEL_ROWS + r] =
                    squares[q] + starts[p * PANEL_ROWS + r] - 2 * sums[r];
        }
}
static inline int32_t raised_dot(const int8_t *x, const int8_t *y, int by_vnni) {
    return HAS_VNNI && by_vnni ? head_dot(x, y, 128, 1) : wide_dot(x, y);
}
#endif
