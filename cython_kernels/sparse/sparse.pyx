# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
# cython: autotestdict=False
# (setup.py turns the checks of memoryviews off)
"""The arithmetic of unitdot for sparse rows. Callers validate; nothing here does.

This file is compiled once, for the lowest instruction set (but for functions of bits.h, lists.h
and sparse.h that the caller asks for): everything is accumulated in double, a multiplication and
then an addition, over shared features in ascending order, so the bits are those of any processor.
The files, in the order in which data flows through them:

    source.pxi   reads a block of a row of a dense matrix, any dtype and layout
    csr.pxi      checks CSR, and puts it in order
    rows.pxi     reads rows; their norms; from dots to similarities
    index.pxi    blocks of rows of Y by feature
    sums.pxi     dot products and scores of some rows with a block
    product.pxi  every row against every row, dense or CSR
    top_k.pxi    the k most similar rows of Y, with bounds
    nearest.pxi  the same by all scores, where bounds do not pay
    pairs.pxi    pairs above a threshold, with bounds
    above.pxi    the same by every product or score, where bounds do not pay
    images.pxi   the same by dense kernels, of full rows
    few.pxi      few rows against many, which are read where they lie
    few_top_k.pxi    top-k of few rows, to which these are offered as they are read
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from cython.parallel cimport prange
from libc.math cimport INFINITY, NAN, ceil, frexp, ldexp, sqrt
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t,
                          uint64_t)
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

import numpy as np

from unitdot._kernels import cpu


ctypedef double real                 # what source.pxi converts to


cdef extern from "sparse.h":
    bint scores_reach(const float*, float) nogil
    bint each_reaches(const float*, const float*) nogil
    bint bounds_reach(float, const float*, float, const float*, float) nogil
    void prefetch_write(const void*) nogil
    Py_ssize_t load_halves(real*, const uint16_t*, Py_ssize_t) nogil     # for source.pxi
    enum: PANEL_ROWS
    void panel_dots(const double*, int64_t, const int32_t*, const double*, int64_t, double*,
                    int) nogil
    void panel_dots_and_errors(const double*, const int32_t*, const double*, int64_t, double*,
                               double*, int) nogil
    enum: WEIGHT_ROWS
    void panel_scores(const float*, const int32_t*, const float*, int64_t, float*, int) nogil
    int compress_word(uint64_t, double*, const double*, double, int64_t, void*, bint, void*,
                      bint) nogil


cdef extern from "lists.h" nogil:
    enum: LIST_STEP
    void bring_near(const int32_t*, const double*, const float*, int64_t, int)
    int64_t place_near(const int32_t*, int64_t, int64_t, int64_t, int32_t*)
    void row_by_lists(const int64_t*, const int32_t*, const double*, const float*, const int32_t*,
                      const double*, int64_t, int64_t, int32_t*, double*, int64_t, const bint*,
                      double*, int)


cdef extern from "bits.h" nogil:
    int first_bit(uint64_t)              # the place of the lowest bit
    int64_t count_bits(const uint64_t*, int64_t, bint)
    void or_bits(uint64_t*, const uint64_t*, int64_t, bint)


cdef extern from *:
    bint unlikely(bint) nogil            # Cython's own


cdef extern from "openmp.h" nogil:
    void use_team(const void*)
    int omp_get_thread_num()


ctypedef fused value_t:
    float
    double

ctypedef fused index_t:
    int32_t
    int64_t

cdef enum:
    BLOCK = 128                      # elements that source.pxi converts at a time
    DENSE_SCRATCH = 1 << 20          # features up to which a thread keeps a row as a dense vector

include "../dense/source.pxi"

cdef int REAL_KIND = FLOAT64


cdef void* allocate(size_t size) except NULL:
    """Working space, zeroed."""
    cdef void* memory = calloc(size + 64, 1)
    if memory == NULL:
        raise MemoryError(f"no memory for {size} bytes of working space")
    return memory


if cpu.TEAM is not None:
    use_team(PyCapsule_GetPointer(cpu.TEAM, "unitdot.team"))

include "csr.pxi"
include "rows.pxi"
include "index.pxi"
include "sums.pxi"
include "product.pxi"
include "top_k.pxi"
include "nearest.pxi"
include "pairs.pxi"
include "above.pxi"
include "images.pxi"
include "few.pxi"
include "few_top_k.pxi"
