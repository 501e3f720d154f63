/* Bits of masks. */
#ifndef UNITDOT_BITS_H
#define UNITDOT_BITS_H
#include <stdint.h>
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static __inline int first_bit(unsigned __int64 bits) {
    unsigned long place;
    _BitScanForward64(&place, bits);
    return (int)place;
}
#else
/* the place of the lowest bit that is set */
static inline int first_bit(unsigned long long bits) { return __builtin_ctzll(bits); }
#endif
/* For processors with AVX2 (and POPCNT), which `avx2` below says this is. */
#if defined(__GNUC__) && defined(__x86_64__)
__attribute__((target("avx2,popcnt")))
static int64_t count_bits_avx2(const uint64_t *word, int64_t count) {
    int64_t total = 0, w;
    for (w = 0; w < count; w++) total += __builtin_popcountll(word[w]);
    return total;
}
__attribute__((target("avx2")))
static void or_bits_avx2(uint64_t *to, const uint64_t *from, int64_t count) {
    int64_t w;
    for (w = 0; w < count; w++) to[w] |= from[w];
}
#define HAS_AVX2_BITS 1
#endif
/* The bits that are set in `count` words. The lowest instruction set has no instruction for it, so
 * the bits of each byte are counted, by vectors; the sums of 31 words fit in bytes. */
static inline int64_t count_bits(const uint64_t *word, int64_t count, int avx2) {
    const uint64_t every_2nd = ~(uint64_t)0 / 3, every_4th = ~(uint64_t)0 / 5;
    const uint64_t low_nibbles = ~(uint64_t)0 / 17, low_bytes = ~(uint64_t)0 / 257;
    int64_t total = 0, w = 0;
#ifdef HAS_AVX2_BITS
    if (avx2) return count_bits_avx2(word, count);
#endif
    (void)avx2;
    while (w < count) {
        int64_t stop = w + 31 < count ? w + 31 : count;
        uint64_t sum = 0;
        for (; w < stop; w++) {
            uint64_t x = word[w];
            x -= x >> 1 & every_2nd;
            x = (x & every_4th) + (x >> 2 & every_4th);
            sum += (x + (x >> 4)) & low_nibbles;
        }
        sum = (sum & low_bytes) + (sum >> 8 & low_bytes);
        total += (int64_t)(sum * (~(uint64_t)0 / 65535) >> 48);
    }
    return total;
}
/* to |= from, of `count` words each */
static inline void or_bits(uint64_t *to, const uint64_t *from, int64_t count, int avx2) {
    int64_t w;
#ifdef HAS_AVX2_BITS
    if (avx2) {
        or_bits_avx2(to, from, count);
        return;
    }
#endif
    (void)avx2;
    for (w = 0; w < count; w++) to[w] |= from[w];
}
#endif
