/* What a search by prepared rows (dense/distances.pxi) needs beside screen.h: distances from integers of
 * 8 bits, exact with any instruction set, since what one machine has prepared another may search.
 *
 *   query_word    a word of a query, of four multiples of `query_step` with a sign, as it meets panels:
 *                 raised by 128, so that it has none, and divided by the step
 *   near_block    D[q][r] = squares[q] + starts[r] - 2 (x[q] + 128) . y[r] for `queries` rows x, of
 *                 such words, and NEAR_ROWS rows y in panels of PANEL_ROWS, a word of each after the
 *                 other
 *   near_rows     bits[q]: which of the NEAR_ROWS rows have D[q][r] <= bars[q], or more than that by
 *                 one; and H, of which distance_of(H, q, r, squares, starts) is D[q][r]
 *   raised_dot    the sum of (x[i] + 128) y[i] over 64 bytes
 *   raised_dots   dots[r]: that of x and y[r], for `rows` of them, PANEL_ROWS at most
 *   line_distances  to[r] = square + |y[r]|² - 2 x . y[r], of PANEL_ROWS lines y, where HAS_VNNI
 */
#ifndef UNITDOT_PANELS_H
#define UNITDOT_PANELS_H
#include "screen.h"

enum { PANEL_ROWS = 16, NEAR_PANELS = 4, NEAR_ROWS = PANEL_ROWS * NEAR_PANELS, NEAR_QUERIES = 8,
       FEW_OF_THEM = 4, LINE_WORDS = 16 };

/* Without VNNI, products are added by twos in 16 bits, which have room for 2 * 127 * 127: so queries,
 * which are never kept, have integers of 7 bits, of a unit twice as large. */
#if !defined(UNITDOT_NO_VECTORS) && (defined(HAS_AVX2) || defined(__AVX512BW__))
#define HAS_PAIRS 1
#else
#define HAS_PAIRS 0
#endif
static inline int query_step(int by_vnni) { return HAS_PAIRS && !(HAS_VNNI && by_vnni) ? 2 : 1; }
/* Where panels hold whole rows, so many queries take no longer than by the screen, which meets more
 * of them at a time; measured. */
static inline Py_ssize_t whole_queries(int by_vnni) {
    return HAS_VNNI && by_vnni ? 800 : HAS_PAIRS ? 160 : 1;
}
static inline int32_t query_word(int32_t word, int step) {
    uint32_t raised = (uint32_t)word ^ 0x80808080u;
    return (int32_t)(step == 2 ? raised >> 1 & 0x7f7f7f7fu : raised);
}

/* H begins at -starts / 2, rounded, so that whoever is near enough has one of half a bar, rounded, at
 * least: no more is left to do with most. */
static inline int32_t half_bar(int32_t square, int32_t bar) { return (square - bar + 1) >> 1; }
static inline int32_t distance_of(const int32_t *halves, int q, int r, const int32_t *squares,
                                  const int32_t *starts) {
    return squares[q] + (starts[r] & 1) - 2 * halves[q * NEAR_ROWS + r];
}

#if !HAS_PAIRS
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
#else
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
#endif

#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
static inline __attribute__((always_inline)) void near_vnni(
    const int32_t **panel, Py_ssize_t words, const int32_t *x, const int queries,
    const int32_t *squares, const int32_t *starts, int32_t *distances) {
    __m512i acc[FEW_OF_THEM][NEAR_PANELS], y[NEAR_PANELS], a;
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

#if HAS_PAIRS
enum { PIECE_ROWS = 2 * WORDS, PIECES = NEAR_ROWS / PIECE_ROWS, BESIDE = PIECE_ROWS / PANEL_ROWS };
#ifdef __AVX512BW__
#define add_pairs(s, a, b)                                                                        \
    add_words(s, _mm512_madd_epi16(_mm512_maddubs_epi16(a, b), _mm512_set1_epi16(1)))
#define less_words(a, b) _mm512_sub_epi32(a, b)
#define times_words(a, shift) _mm512_slli_epi32(a, shift)
#define half_words(a) _mm512_srai_epi32(a, 1)
#else
#define add_pairs(s, a, b)                                                                        \
    add_words(s, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))
#define less_words(a, b) _mm256_sub_epi32(a, b)
#define times_words(a, shift) _mm256_slli_epi32(a, shift)
#define half_words(a) _mm256_srai_epi32(a, 1)
#endif
/* A tile of some queries by two vectors of words, of a panel or of two: distances, or with bars H and
 * whose bits pass. */
static inline __attribute__((always_inline)) void near_piece(
    const int32_t **panel, int piece, Py_ssize_t words, const int32_t *x, const int queries,
    const int32_t *squares, const int32_t *starts, const int32_t *bars, int32_t *to,
    uint64_t *bits) {
    const int32_t *left = panel[piece * BESIDE];
    const int32_t *right = BESIDE == 2 ? panel[piece * BESIDE + 1] : left + WORDS;
    const int r = piece * PIECE_ROWS;
    ivec acc[FEW_OF_THEM][2], y[2], a;
    Py_ssize_t w;
    int q, v;
    for (q = 0; q < queries; q++)
        acc[q][0] = acc[q][1] = splat_word(0);
    for (w = 0; w < words; w++) {
        y[0] = load_words(left + w * PANEL_ROWS);
        y[1] = load_words(right + w * PANEL_ROWS);
        for (q = 0; q < queries; q++) {
            a = splat_word(x[q * words + w]);
            acc[q][0] = add_pairs(acc[q][0], a, y[0]);
            acc[q][1] = add_pairs(acc[q][1], a, y[1]);
        }
    }
    for (v = 0; v < 2; v++)
        y[v] = load_words(starts + r + v * WORDS);
    for (q = 0; q < queries; q++) {
        for (v = 0; v < 2; v++) {
            if (bars == NULL)
                acc[q][v] = less_words(add_words(splat_word(squares[q]), y[v]),
                                       times_words(acc[q][v], 2));
            else
                acc[q][v] = less_words(times_words(acc[q][v], 1), half_words(y[v]));
            store_words(to + q * NEAR_ROWS + r + v * WORDS, acc[q][v]);
        }
        if (bars != NULL) {
            a = splat_word(half_bar(squares[q], bars[q]));
            bits[q] = (piece ? bits[q] : 0) | (uint64_t)at_least_words(acc[q][0], a) << r
                      | (uint64_t)at_least_words(acc[q][1], a) << (r + WORDS);
        }
    }
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
#if !HAS_PAIRS
    int32_t sums[PANEL_ROWS];
    int r;
#endif
    int p, q = 0;
#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
    for (; by_vnni && q + FEW_OF_THEM <= queries; q += FEW_OF_THEM)
        near_vnni(panel, words, x + q * words, FEW_OF_THEM, squares + q, starts,
                  distances + q * NEAR_ROWS);
    for (; by_vnni && q < queries; q++)
        near_vnni(panel, words, x + q * words, 1, squares + q, starts, distances + q * NEAR_ROWS);
#endif
    (void)by_vnni;
#if HAS_PAIRS
    for (; q + FEW_OF_THEM <= queries; q += FEW_OF_THEM)
        for (p = 0; p < PIECES; p++)
            near_piece(panel, p, words, x + q * words, FEW_OF_THEM, squares + q, starts, NULL,
                       distances + q * NEAR_ROWS, NULL);
    for (; q < queries; q++)
        for (p = 0; p < PIECES; p++)
            near_piece(panel, p, words, x + q * words, 1, squares + q, starts, NULL,
                       distances + q * NEAR_ROWS, NULL);
#else
    for (; q < queries; q++)
        for (p = 0; p < NEAR_PANELS; p++) {
            sum_panel(panel[p], words, x + q * words, sums);
            for (r = 0; r < PANEL_ROWS; r++)
                distances[q * NEAR_ROWS + p * PANEL_ROWS + r] =
                    squares[q] + starts[p * PANEL_ROWS + r] - 2 * sums[r];
        }
#endif
}
#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
/* A tile of NEAR_QUERIES by two panels, with half their bars: in a function of its own each of these
 * is read when it is compared. */
static inline __attribute__((always_inline)) void near_tile_of(
    const int32_t *left, const int32_t *right, const Py_ssize_t words, const int32_t *x,
    const int32_t *starts, const int32_t *bars, int32_t *halves, uint32_t *bits) {
    const __m512i none = _mm512_setzero_si512();
    __m512i acc[NEAR_QUERIES][2], y[2], a;
    Py_ssize_t w;
    int q, p;
    for (p = 0; p < 2; p++) {
        y[p] = _mm512_sub_epi32(none, _mm512_srai_epi32(load_words(starts + p * PANEL_ROWS), 1));
        for (q = 0; q < NEAR_QUERIES; q++)
            acc[q][p] = y[p];
    }
    for (w = 0; w < words; w++) {
        y[0] = load_words(left + w * PANEL_ROWS);
        y[1] = load_words(right + w * PANEL_ROWS);
        for (q = 0; q < NEAR_QUERIES; q++) {
            a = splat_word(x[q * words + w]);
            acc[q][0] = add_vnni_dot(acc[q][0], a, y[0]);
            acc[q][1] = add_vnni_dot(acc[q][1], a, y[1]);
        }
    }
    for (q = 0; q < NEAR_QUERIES; q++) {
        a = splat_word(bars[q]);
        bits[q] = (uint32_t)_mm512_kunpackw(_mm512_cmpge_epi32_mask(acc[q][1], a),
                                            _mm512_cmpge_epi32_mask(acc[q][0], a));
        for (p = 0; p < 2; p++)
            store_words(halves + q * NEAR_ROWS + p * PANEL_ROWS, acc[q][p]);
    }
}
static __attribute__((noinline)) void near_tile(const int32_t *left, const int32_t *right,
                                                Py_ssize_t words, const int32_t *x,
                                                const int32_t *starts, const int32_t *bars,
                                                int32_t *halves, uint32_t *bits) {
    if (words == LINE_WORDS)
        near_tile_of(left, right, LINE_WORDS, x, starts, bars, halves, bits);
    else
        near_tile_of(left, right, words, x, starts, bars, halves, bits);
}
#endif

static void near_rows(const int32_t **panel, Py_ssize_t words, const int32_t *x, int queries,
                      const int32_t *squares, const int32_t *starts, const int32_t *bars,
                      int by_vnni, int32_t *halves, uint64_t *bits) {
    int q, r;
#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
    uint32_t some[2][NEAR_QUERIES];
    int32_t half[NEAR_QUERIES];
    int p;
    if (by_vnni && queries == NEAR_QUERIES) {
        for (q = 0; q < NEAR_QUERIES; q++)
            half[q] = half_bar(squares[q], bars[q]);
        for (p = 0; p < 2; p++)
            near_tile(panel[2 * p], panel[2 * p + 1], words, x, starts + 2 * p * PANEL_ROWS, half,
                      halves + 2 * p * PANEL_ROWS, some[p]);
        for (q = 0; q < NEAR_QUERIES; q++)
            bits[q] = (uint64_t)alone(some[0][q]) | (uint64_t)alone(some[1][q]) << 2 * PANEL_ROWS;
        return;
    }
#endif
#if HAS_PAIRS
    int first = 0, piece;
    for (; !(HAS_VNNI && by_vnni) && first + FEW_OF_THEM <= queries; first += FEW_OF_THEM)
        for (piece = 0; piece < PIECES; piece++)
            near_piece(panel, piece, words, x + first * words, FEW_OF_THEM, squares + first, starts,
                       bars + first, halves + first * NEAR_ROWS, bits + first);
    x += first * words, squares += first, bars += first, bits += first;
    halves += first * NEAR_ROWS, queries -= first;
#endif
    near_block(panel, words, x, queries, squares, starts, by_vnni, halves);
    for (q = 0; q < queries; q++) {
        bits[q] = near_bits(halves + q * NEAR_ROWS, bars[q]);
        for (r = 0; r < NEAR_ROWS; r++)
            halves[q * NEAR_ROWS + r] =
                (squares[q] + (starts[r] & 1) - halves[q * NEAR_ROWS + r]) / 2;
    }
}
static inline int32_t raised_dot(const int8_t *x, const int8_t *y, int by_vnni) {
    return HAS_VNNI && by_vnni ? head_dot(x, y, 128, 1) : wide_dot(x, y);
}
#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
static inline void line_distances(const int8_t *x, int32_t square, const int8_t **y, int32_t *to) {
    const ivec a = _mm512_add_epi8(load_words(x), _mm512_set1_epi8((char)128));
    const ivec ones = _mm512_set1_epi8(1), none = _mm512_setzero_si512();
    ivec p[4], sums[4], b, c;
    int i, r;
    for (i = 0; i < 4; i++) {
        for (r = 0; r < 4; r++) {
            b = load_words(y[4 * i + r]), c = _mm512_abs_epi8(b);
            p[r] = _mm512_slli_epi32(add_vnni_dot(none, ones, b), 7);
            p[r] = _mm512_slli_epi32(_mm512_sub_epi32(p[r], add_vnni_dot(none, a, b)), 1);
            p[r] = add_vnni_dot(p[r], c, c);
        }
        sums[i] = sums_of_four(p);
    }
    b = add_lanes(sums[0], sums[1]), c = add_lanes(sums[2], sums[3]);
    store_words(to, add_words(splat_word(square), add_lanes(b, c)));
}
#else
static inline void line_distances(const int8_t *x, int32_t square, const int8_t **y, int32_t *to) {
    (void)x, (void)square, (void)y, (void)to;
}
#endif
static inline void raised_dots(const int8_t *x, const int8_t **y, int rows, int by_vnni,
                               int32_t *dots) {
    int r;
#if !defined(UNITDOT_NO_VECTORS) && defined(__AVX512BW__)
    if (by_vnni && rows == PANEL_ROWS) {
        const int8_t *same[PANEL_ROWS];
        for (r = 0; r < PANEL_ROWS; r++)
            same[r] = x;
        store_words(dots, heads_dots(same, y, 128, 1));
        return;
    }
#endif
    for (r = 0; r < rows; r++)
        dots[r] = raised_dot(x, y[r], by_vnni);
}
#endif
