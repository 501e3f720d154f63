# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True, autotestdict=False
"""The arithmetic of unitdot for sparse rows. Callers validate; nothing here does.

This file is compiled once, for the lowest instruction set: everything is accumulated in double, a
multiplication and then an addition, over shared features in ascending order, so the bits are those
of any processor. The files, in the order in which data flows through them:

    source.pxi           reads a block of a row of a dense matrix, any dtype and layout
    sparse_rows.pxi      checks, sorts and reads rows; their norms; from dots to similarities
    sparse_index.pxi     blocks of rows of Y by feature
    sparse_product.pxi   every row against every row, dense or CSR
    sparse_top_k.pxi     the k most similar rows of Y, with bounds
    sparse_pairs.pxi     pairs above a threshold, with bounds
"""

from cython.parallel cimport prange
from libc.math cimport NAN, ceil, frexp, ldexp, sqrt
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t,
                          uint64_t)
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

import numpy as np


cdef extern from *:
    """
    #if defined(_MSC_VER)
    #include <intrin.h>
    static __inline int lowest_bit(unsigned __int64 bits) {
        unsigned long place;
        _BitScanForward64(&place, bits);
        return (int) place;
    }
    static __inline int count_bits(unsigned __int64 bits) { return (int) __popcnt64(bits); }
    #else
    static inline int lowest_bit(unsigned long long bits) { return __builtin_ctzll(bits); }
    static inline int count_bits(unsigned long long bits) { return __builtin_popcountll(bits); }
    #endif

    /* whether any of 16 scores, or of 16 bounds x w + y v, reaches the bar: compilers leave these
       loops scalar, so they are written with vector types where there are any */
    #if defined(__GNUC__)
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
    """
    bint scores_reach(const float*, float) nogil
    bint bounds_reach(float, const float*, float, const float*, float) nogil
    int lowest_bit(uint64_t) nogil
    int count_bits(uint64_t) nogil


cdef extern from "openmp.h" nogil:
    int omp_get_thread_num()


ctypedef double real                 # what source.pxi converts to

cdef enum:
    BLOCK = 128                      # elements that source.pxi converts at a time
    DENSE_SCRATCH = 1 << 20          # features up to which a thread keeps a row as a dense vector

include "source.pxi"

cdef int REAL_KIND = FLOAT64


cdef void* allocate(size_t size) except NULL:
    """Working space, zeroed."""
    cdef void* memory = calloc(size + 64, 1)
    if memory == NULL:
        raise MemoryError(f"no memory for {size} bytes of working space")
    return memory


include "sparse_rows.pxi"
include "sparse_index.pxi"
include "sparse_product.pxi"
include "sparse_top_k.pxi"
include "sparse_pairs.pxi"
