/* Bits of a mask. */
#ifndef UNITDOT_BITS_H
#define UNITDOT_BITS_H
#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
static __inline int first_bit(unsigned __int64 bits) {
    unsigned long place;
    _BitScanForward64(&place, bits);
    return (int)place;
}
static __inline int count_bits(unsigned __int64 bits) { return (int)__popcnt64(bits); }
#else
/* the place of the lowest bit that is set */
static inline int first_bit(unsigned long long bits) { return __builtin_ctzll(bits); }
static inline int count_bits(unsigned long long bits) { return __builtin_popcountll(bits); }
#endif
#endif
