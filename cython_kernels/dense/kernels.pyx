# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
# cython: autotestdict=False
# (setup.py turns the checks of memoryviews off)
"""The arithmetic of unitdot, for one instruction set and one precision.

This file is compiled once per instruction set and precision (setup.py), into modules such as
``unitdot._kernels.avx2_float32``. Callers validate; nothing here does. The files, in the order in
which data flows through them:

    source.pxi  reads a block of a row of the user's matrix, any dtype and layout
    pack.pxi    transposes rows into panels; norms fall out of the same pass
    tile.pxi    the micro-kernel, and from dot products to similarities in the user's array
    plan.pxi    what is done at a time, and where it lies in memory
    full.pxi    every row against every row
    reduce.pxi  what the two reductions share, in which the matrix is never made:
    top_k.pxi   the best columns of every row
    pairs.pxi   the pairs above a threshold
    most.pxi    of these the most similar so many
    screen.pxi  7- or 8-bit integers tell both which outputs need not be computed
    directions.pxi  a few in which the rows' energy lies, and whether heads along them pay
    heads.pxi   coordinates along these, made once for a call
    project.pxi the same of many rows at a time, in integers
    cascade.pxi whether a superblock goes by heads before the screen
    near.pxi    which heads are near enough
    prepared.pxi  what is kept of a corpus's rows, for many calls
    distances.pxi  how far rows are from queries by what is kept
    likely.pxi  who may be among the nearest, listed in one pass
    search.pxi  the two reductions by these
    sample.pxi  limits for the screen to begin with, where there are many neighbours
    blocks.pxi  self-joins of top-k whose lists do not all fit
    queries.pxi the same for a row or two of X: rows of Y are read in place
    integers.pxi  the same of 8-bit integers, in integers
    few.pxi     the same for few rows with very many features: lanes are blocks of features
    paired.pxi  row i against row i
    direct.pxi  the same as C functions on one thread: for small calls, stacks, other packages
    stack.pxi   the same for every matrix of a stack
    groups.pxi  the reductions of rows with equal labels
"""

from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from cython.parallel cimport parallel, prange
from libc.math cimport INFINITY, NAN, ceil, frexp, ldexp, rint, sqrt, sqrtf
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t,
                          uint64_t)
from libc.stdlib cimport calloc, free, qsort, realloc
from libc.string cimport memcpy, memset

from unitdot._kernels import cpu


cdef extern from "vectors.h" nogil:
    ctypedef float real              # float or double: UNITDOT_DOUBLE
    ctypedef float vec               # LANES of them
    enum:
        LANES
        PANEL
        VECS
        GROUP
        TILE_ROWS
        TILE_PANELS
        TALL_ROWS
        X_AHEAD
        IS_DOUBLE
        REAL_MAX_EXP
    const real REAL_MAX
    const real NORM2_LOW
    const real NORM2_HIGH
    const real ELEMENT_LOW
    real REAL_FMA(real, real, real)
    real REAL_NEXT(real, real)           # nextafter
    vec splat(real)
    vec load(const real*)
    real load_one(const real*)
    void store(real*, vec)
    enum:
        HALF_LOADS
    vec load_half(const uint16_t*)
    vec load_bfloat(const uint16_t*)
    enum:
        BFLOAT_PAIRS
    vec first_bfloat(vec)
    vec second_bfloat(vec)
    Py_ssize_t load_halves(real*, const uint16_t*, Py_ssize_t)   # how many: whole vectors
    vec madd(vec, vec, vec)
    vec exact_madd(vec, vec, vec)
    vec vmin(vec, vec)
    vec vmax(vec, vec)
    vec min_magnitude(vec, vec)          # min(|a|, b)
    unsigned at_least_bits(vec, vec)     # a bit a lane: a >= b
    vec to_single(vec)                   # rounded to float32
    real sum_of_lanes(vec)
    enum:
        PIECE
    vec interleave_lo(vec, vec)          # of each PIECE
    vec interleave_hi(vec, vec)
    vec even_pieces(vec, vec)
    vec odd_pieces(vec, vec)
    double seconds()
    enum:
        CACHE_LINE
    void prefetch_first(const void*)     # into the first-level cache
    void prefetch_second(const void*)    # into the second
    void prefetch_write(const void*)


cdef extern from "call.h" nogil:
    ctypedef struct Side:
        const char* data
        Py_ssize_t rows, row_stride, feature_stride, itemsize
        int kind
    ctypedef struct Call:
        Side X, Y
        Py_ssize_t features
        char* out
        Py_ssize_t out_row_stride, out_column_stride, out_itemsize
        int paired, same, distance
        double zero_inverse


cdef extern from "screen.h" nogil:
    ctypedef int ivec                    # WORDS of int32
    ctypedef float fvec                  # as many of float
    enum:
        SCREEN
        WORDS
        SCREEN_ROWS
        SCREEN_VECS
        SHORT_ROWS
        HAS_DOTS
        HAS_VNNI
        VNNI_LEVELS
        VNNI_ROWS
        HEADS_AT_ONCE
    ivec splat_word(int32_t)
    ivec load_words(const int32_t*)
    void store_words(int32_t*, ivec)
    ivec add_dots(ivec, ivec, ivec, ivec, ivec)
    ivec add_vnni_dots(ivec, ivec, ivec, ivec, ivec)
    ivec kept_words(ivec)
    ivec add_short_dots(ivec, ivec, ivec)
    ivec add_vnni_shorts(ivec, ivec, ivec)
    ivec add_words(ivec, ivec)
    ivec min_words(ivec, ivec)
    unsigned at_least_words(ivec, ivec)
    int32_t head_dot(const int8_t*, const int8_t*, int, bint)
    Py_ssize_t alone(Py_ssize_t)
    unsigned heads_reach(const int8_t**, const int8_t**, int, bint, const int32_t*)
    fvec splat_single(float)
    fvec load_singles(const float*)
    fvec load_limits(const real*)
    fvec singles_of(ivec)
    unsigned reach_bits(fvec, fvec)
    vec nearest(vec)
    void pack_words(int32_t*, vec, vec, vec, vec)
    void pack_shorts(int32_t*, vec, vec)


cdef extern from "panels.h" nogil:
    enum:
        PANEL_ROWS
        NEAR_PANELS
        NEAR_ROWS
        NEAR_QUERIES
    int query_step(bint)
    Py_ssize_t whole_queries(bint)
    int32_t query_word(int32_t, int)
    void near_block(const int32_t**, Py_ssize_t, const int32_t*, int, const int32_t*,
                    const int32_t*, bint, int32_t*)
    void near_rows(const int32_t**, Py_ssize_t, const int32_t*, int, const int32_t*,
                   const int32_t*, const int32_t*, bint, int32_t*, uint64_t*)
    int32_t distance_of(const int32_t*, int, int, const int32_t*, const int32_t*)
    int32_t least_of(const int32_t*)
    uint64_t near_bits(const int32_t*, int32_t)
    int32_t raised_dot(const int8_t*, const int8_t*, bint)
    void raised_dots(const int8_t*, const int8_t**, int, bint, int32_t*)
    void line_distances(const int8_t*, int32_t, const int8_t**, int32_t*)


cdef extern from "integers.h" nogil:
    ctypedef int words                   # a vector of int32, or of twice as many int16
    enum:
        INTEGERS
        SHORTS
    words load_bytes(const char*, bint)
    words add_shorts(words, words, words)
    words add_bytes(words, words, words)
    words splat_bytes(int)
    words kept(words)
    words meet_shorts(words, words, words)
    words flipped(words)                 # each byte's highest bit
    words bits_of(vec)
    words splat_unit(const real*)
    int sum_of_words(words)
    vec unit_sums(words)


cdef extern from "bits.h" nogil:
    int first_bit(uint64_t)              # the place of the lowest bit
    int64_t count_bits(const uint64_t*, int64_t, bint)


cdef extern from "memory.h" nogil:
    enum:
        ALIGNMENT
    enum:
        FOR_PANELS                   # the use of a block
        FOR_LISTS
        FOR_HEADS
        FOR_SAMPLES
        GAP
    void allow_only(char*, size_t, size_t)
    ctypedef struct Block:
        char* memory
        size_t size
    Block* block_new(size_t, int)
    void block_release(Block*)       # NULL too


cdef extern from "openmp.h" nogil:
    void use_team(const void*)
    int omp_get_thread_num()
    int process_of(int)              # its id, for threads_in
    int threads_in(int, int)         # (process, threads): 1 in another process, forked meanwhile
    void wait_for_all()              # what follows in a parallel block needs what came before
    void lock(char*)
    void unlock(char*)
    real load_acquire(const real*)
    void store_release(real*, real)
    vec load_stored(const real*)         # what other threads may be storing
    uint32_t load_relaxed(const uint32_t*)
    void store_relaxed(uint32_t*, uint32_t)


# The canonical order of every sum over features: RUN of them one after the other, a multiply-add
# each; the runs of a BLOCK in order; the blocks in order. Short runs keep rounding errors small.
cdef enum:
    RUN = 32
    BLOCK = 128

include "source.pxi"

cdef int REAL_KIND = FLOAT64 if IS_DOUBLE else FLOAT32


cdef Block* allocate(size_t size, int use) except NULL:
    cdef Block* block = block_new(size, use)
    if block == NULL:
        raise MemoryError(f"no memory for {size} bytes of working space")
    return block


include "pack.pxi"
include "tile.pxi"
include "reduce.pxi"
include "top_k.pxi"
include "pairs.pxi"
include "most.pxi"
include "plan.pxi"
include "paired.pxi"
include "screen.pxi"
include "directions.pxi"
include "heads.pxi"
include "project.pxi"
include "cascade.pxi"
include "near.pxi"
include "sample.pxi"
include "blocks.pxi"
include "full.pxi"
include "prepared.pxi"
include "distances.pxi"
include "likely.pxi"
include "search.pxi"
include "queries.pxi"
include "integers.pxi"
include "few.pxi"
include "direct.pxi"
include "stack.pxi"
include "groups.pxi"

if cpu.TEAM is not None:
    use_team(PyCapsule_GetPointer(cpu.TEAM, "unitdot.team"))
NEEDS_CARE = CARE
HAS_ZERO_ROW = ZERO_ROW
NO_MEMORY = OUT_OF_MEMORY


cdef Output output_of(unsigned char[:, :, :] out, bint distance) noexcept:
    cdef Output o
    o.data = <char*> &out[0, 0, 0]
    o.row_stride, o.column_stride, o.itemsize = out.strides[0], out.strides[1], out.shape[2]
    o.direct = o.itemsize == sizeof(real) and (o.column_stride == o.itemsize or out.shape[1] == 1)
    o.distance = distance
    return o


def full(const unsigned char[:, :, :] X, int kind_X, const unsigned char[:, :, :] Y, int kind_Y,
         unsigned char[:, :, :] out, bint same, bint distance, bint nan_for_zero, bint careful,
         int threads):
    """out[i, j] = cosine(X[i], Y[j]), or 1 - that; returns what was found, or-ed.

    Arrays are views of bytes (row, feature, byte), at least one row and feature each; `same` says
    that Y is X. NEEDS_CARE: `out` is not valid, call again with `careful`, which scales every row
    by its own power of two. HAS_ZERO_ROW: some row is zero; its similarity is 0, or NaN where
    `nan_for_zero`.
    """
    cdef Job job
    cdef real zero = 0
    cdef int status
    if X.shape[0] == 1 and Y.shape[0] == 1:
        status = paired(X, kind_X, Y, kind_Y, out, same, distance, nan_for_zero, careful, threads)
        if same and distance and status & ZERO_ROW and not nan_for_zero:
            job.out = output_of(out, distance)
            put(&job.out, 0, 0, 1, &zero)
        return status
    memset(&job, 0, sizeof(job))
    job.X, job.Y = source_of(X, kind_X), source_of(Y, kind_Y)
    job.out = output_of(out, distance)
    job.same, job.careful, job.threads, job.process = same, careful, threads, process_of(threads)
    job.zero_inverse = NAN if nan_for_zero else 0
    if is_few(&job):
        return run_few(&job)
    if not careful:
        job.integers = integers_of(&job.X, &job.Y)
    return run(&job, None)


cdef Job reduction_of(const unsigned char[:, :, :] X, int kind_X,
                      const unsigned char[:, :, :] Y, int kind_Y, bint nan_for_zero,
                      int threads) noexcept:
    cdef Job job
    memset(&job, 0, sizeof(job))
    job.X, job.Y = source_of(X, kind_X), source_of(Y, kind_Y)
    job.integers = integers_of(&job.X, &job.Y)
    job.threads, job.process, job.heads_pay = threads, process_of(threads), -1
    job.zero_inverse = NAN if nan_for_zero else 0
    return job


cdef void size_lists(Best* best, Py_ssize_t columns) noexcept nogil:
    best.columns = columns
    best.k = at_most(best.places, columns)
    best.room = room_for(best.k)


cdef void raise_least(Best* best, Py_ssize_t rows) noexcept nogil:
    """The least of the floors is a threshold, where all rows have one."""
    cdef real least = REAL_MAX
    cdef Py_ssize_t row
    for row in range(rows):
        least = min(least, least_of_row(best, row))
    best.least = least


cdef int top_k_of(Job* job, object watch) except -1:
    size_lists(job.best, job.Y.rows)
    job.block = rows_of_block(job) if job.same else 0
    job.same = job.same and (job.block > 0 or job.first_Y > 0 or job.X.rows <= most_lists(job))
    if job.best.floors != NULL:
        raise_least(job.best, job.Y.rows if job.first_Y > 0 else job.X.rows)
    job.screen_from, job.heads_from = screen_start(job), heads_start(job)
    if job.screen_from == 0 and can_expect(job):     # before any row has a limit of its own
        expect_limits(job, watch)
    return run(job, watch)


def list_bytes(Py_ssize_t k):
    """What each row's list takes while its best k are sought."""
    cdef Best best
    best.room = room_for(k)
    return bytes_of_list(&best)


def top_k(const unsigned char[:, :, :] X, int kind_X, const unsigned char[:, :, :] Y, int kind_Y,
          unsigned char[:, :, :] similarities, int64_t[:, ::1] indices, bint same,
          bint exclude_self, double threshold, bint nan_for_zero, int threads, object watch,
          const int64_t[::1] starts_X=None, const int64_t[::1] order_X=None,
          const int64_t[::1] starts_Y=None, const int64_t[::1] order_Y=None, object kept=None,
          const int64_t[::1] numbers=None, const double[::1] floors=None, bint both=False,
          object known=None):
    """The best columns of every row, as many as `indices` has: similarities, descending, and
    indices; equal ones in order of index, NaN last. Places left over: NaN and -1.

    `same`: Y is X; `exclude_self`: and i is not a neighbour of i. Y has fewer than 2^32 rows.
    `threshold`: the least similarity, from -1 on; -2: all columns count, NaN too. `watch` as in
    unitdot._neighbors. Groups: rows order_X[starts_X[g]:starts_X[g + 1]], ascending, meet those of
    order_Y alone; rows of a group that is empty on one side are left as they are. `kept`: what is
    known of Y (prepared.pxi), where rows of these `numbers` alone may be found; NEEDS_CARE: that
    could not be used. `floors`: of each row, what is less does not count, where that is a number.
    `both`: the results, and floors, have the rows of X and then those of Y, whose best rows of X
    are found by the way; `list_bytes` for each row is needed for that. `known`: what was made of
    the rows of X and of Y, along the same directions: heads alone.
    """
    cdef Job job = reduction_of(X, kind_X, Y, kind_Y, nan_for_zero, threads)
    cdef Best best
    cdef Kept kept_Y
    cdef Cascade heads
    cdef Groups groups
    memset(&best, 0, sizeof(best))
    best.places, best.threads = indices.shape[1], threads
    best.similarities, best.indices = output_of(similarities, False), &indices[0, 0]
    best.single = best.similarities.itemsize < sizeof(real)
    best.exclude_self, best.least = exclude_self, <real> threshold
    job.best, job.same = &best, same
    if kept is not None:
        kept_Y = kept_of(kept)
        return search(&job, &kept_Y, numbers, watch)
    if floors is not None:
        best.floors = &floors[0]
    if both:
        join_parts(&job)
        best.first_Y = job.first_Y
    if known is not None:
        know(&job, &heads, known)
    if starts_X is None:
        return top_k_of(&job, watch)
    groups = groups_of(starts_X, order_X, starts_Y, order_Y)
    return run_groups(&job, &groups, watch)


cdef int pairs_of(Job* job, object watch) except -1:
    cdef int status
    job.screen_from, job.heads_from = screen_start(job), heads_start(job)
    status = run(job, watch)
    if job.pairs.most:
        hand_over(job.pairs, watch)
    return status


def pairs(const unsigned char[:, :, :] X, int kind_X, const unsigned char[:, :, :] Y, int kind_Y,
          bint same, double threshold, Py_ssize_t most, bint single, bint nan_for_zero,
          int threads, object watch, const int64_t[::1] starts_X=None,
          const int64_t[::1] order_X=None, const int64_t[::1] starts_Y=None,
          const int64_t[::1] order_Y=None, object kept=None, object known=None):
    """Every (row, column) whose cosine is at least `threshold`, and it, in arrays of `watch`; where
    `most` is not 0, only the most similar so many, of equal ones the first.

    `same`: Y is X, and only row < column is wanted. `single`: cosines are rounded to float32.
    `watch` as in unitdot._neighbors. Groups: as for top_k; pairs come in no order, and more than
    are wanted (run_groups). `kept`, `known`: as for top_k.
    """
    cdef Job job = reduction_of(X, kind_X, Y, kind_Y, nan_for_zero, threads)
    cdef Pairs wanted
    cdef Kept kept_Y
    cdef Cascade heads
    cdef Groups groups
    memset(&wanted, 0, sizeof(wanted))
    wanted.limit, wanted.single, wanted.threads = <real> threshold, single, threads
    wanted.most, wanted.retry = most, 2
    wanted.found = <Found*> calloc(threads, sizeof(Found))
    if wanted.found == NULL:
        raise MemoryError("no memory for the lists of pairs")
    job.pairs, job.same = &wanted, same
    try:
        if kept is not None:
            kept_Y = kept_of(kept)
            return search(&job, &kept_Y, None, watch)
        if known is not None:
            know(&job, &heads, known)
        if starts_X is None:
            return pairs_of(&job, watch)
        groups = groups_of(starts_X, order_X, starts_Y, order_Y)
        return run_groups(&job, &groups, watch)
    finally:
        drop_pairs(&wanted)
        drop_most(&wanted)
        free(wanted.found)


cpdef int paired(const unsigned char[:, :, :] X, int kind_X,
                 const unsigned char[:, :, :] Y, int kind_Y,
                 unsigned char[:, :, :] out, bint same, bint distance, bint nan_for_zero,
                 bint careful, int threads) except -1:
    """out[0, i] = cosine(X[i], Y[i]), or 1 - that; arguments and result as those of `full`."""
    cdef Paired job
    memset(&job, 0, sizeof(job))
    job.X, job.Y = source_of(X, kind_X), source_of(Y, kind_Y)
    job.out = output_of(out, distance)
    job.careful, job.threads, job.process = careful, threads, process_of(threads)
    job.zero_inverse = NAN if nan_for_zero else 0
    return run_paired(&job)


cdef int survey_panel(const Source* source, Py_ssize_t row) noexcept nogil:
    cdef real panel[PANEL * BLOCK]
    cdef real norm2[PANEL]
    cdef real inverse, rest
    cdef Py_ssize_t rows = at_most(PANEL, source.rows - row), b, i
    cdef int status = 0
    for b in range(ceil_div(source.features, BLOCK)):
        status |= pack_panel(source, row, rows, b, NULL, panel, b == 0, norm2)
    for i in range(rows):
        status |= invert_norm(norm2[i], False, 0, &inverse, &rest)
    return status


def survey(const unsigned char[:, :, :] X, int kind, int threads):
    """What `full` would find in the rows of X, nothing computed."""
    cdef Source source = source_of(X, kind)
    cdef Py_ssize_t p, first = 0, stop, panels = ceil_div(source.rows, PANEL)
    # panels between looks for Ctrl-C; reading an element is some ten multiply-adds
    cdef Py_ssize_t most = at_least(1, <Py_ssize_t> PATIENCE * threads // (10 * source.features))
    cdef int status = 0, process = process_of(threads)
    while first < panels:
        stop = at_most(panels, first + most)
        for p in prange(first, stop, nogil=True, num_threads=threads_in(process, threads),
                        schedule="guided", chunksize=4):
            status |= survey_panel(&source, p * PANEL)
        first = stop
        PyErr_CheckSignals()
    return status


def first_not_finite(const unsigned char[:, :, :] X, int kind):
    """(row, feature) of the first NaN or infinity, row by row; None where there is none."""
    cdef Source source = source_of(X, kind)
    cdef real buffer[BLOCK]
    cdef Py_ssize_t row, b, k, count
    cdef int bad
    for row in range(source.rows):
        for b in range(ceil_div(source.features, BLOCK)):
            count = block_length(source.features, b)
            convert(&source, row, b * BLOCK, count, buffer)
            bad = 0
            for k in range(count):
                bad |= not (-REAL_MAX <= buffer[k] <= REAL_MAX)
            if bad:
                for k in range(count):
                    if not (-REAL_MAX <= buffer[k] <= REAL_MAX):
                        return row, b * BLOCK + k
        if row % 1024 == 1023:
            PyErr_CheckSignals()
    return None


def first_zero_row(const unsigned char[:, :, :] X, int kind):
    """The first row that holds nothing but zeros; None where there is none."""
    cdef Source source = source_of(X, kind)
    cdef real buffer[BLOCK]
    cdef Py_ssize_t row, b, k, count
    cdef int some
    for row in range(source.rows):
        some = 0
        for b in range(ceil_div(source.features, BLOCK)):
            count = block_length(source.features, b)
            convert(&source, row, b * BLOCK, count, buffer)
            for k in range(count):
                some |= buffer[k] != 0
            if some:
                break
        if not some:
            return row
        if row % 1024 == 1023:
            PyErr_CheckSignals()
    return None


def use_vnni(bint on):
    """Whether the screen uses VNNI, or Arm's dot product, if this build can: not while another
    thread computes."""
    global vnni
    vnni = on and HAS_DOTS


def force_heads(int lines, int words, const double[:, ::1] directions=None):
    """For tests: heads of so many lines wherever the screen may be used, their first `words` in
    batches, along these directions where rows have as many features; lines 0: as it pays. Not while
    another thread computes."""
    cdef Py_ssize_t i, j
    free(forced.rows)
    forced.lines, forced.words, forced.rows, forced.headed = lines, words, NULL, 0
    if directions is not None:
        forced.features = directions.shape[1]
        forced.rows = <real*> calloc(directions.shape[0] * forced.features, sizeof(real))
        if forced.rows == NULL:
            raise MemoryError("no memory for directions")
        for i in range(directions.shape[0]):
            for j in range(forced.features):
                forced.rows[i * forced.features + j] = <real> directions[i, j]


def headed():
    """For tests: how many superblocks went by heads since `force_heads`."""
    return load_relaxed(&forced.headed)


def force_blocks(Py_ssize_t rows):
    """For tests: blocks of so many rows in self-joins of top-k that have more; 0: as it pays. Not
    while another thread computes."""
    forced.block = rows


def force_superblocks(Py_ssize_t rows):
    """For tests: superblocks of at most so many rows of X and of Y, whole groups of them; 0: as
    memory allows. Not while another thread computes."""
    forced.superblock = rows


def peak(Py_ssize_t repeats):
    """Multiply-adds per second of one core: madd alone, from and to registers."""
    cdef vec acc[TILE_ROWS][TILE_PANELS * VECS]
    cdef vec a = splat(<real> 0.5), total = splat(0)
    cdef real sums[LANES]
    cdef Py_ssize_t _
    cdef int i, j
    cdef double start
    with nogil:
        for i in range(TILE_ROWS):
            for j in range(TILE_PANELS * VECS):
                acc[i][j] = splat(<real> (i * GROUP + j))
        start = seconds()
        for _ in range(repeats):
            for i in range(TILE_ROWS):
                for j in range(TILE_PANELS * VECS):
                    acc[i][j] = madd(a, acc[i][j], a)
        start = seconds() - start
        for i in range(TILE_ROWS):
            for j in range(TILE_PANELS * VECS):
                total = total + acc[i][j]
        store(sums, total)
    if sums[0] != sums[0]:
        raise ArithmeticError("the sums of a converging series are not numbers")
    return <double> repeats * TILE_ROWS * GROUP / start


def tile_rate(Py_ssize_t repeats):
    """Multiply-adds per second of one core: the tile, on panels in the first-level cache."""
    cdef Block* held = allocate(2 * ALIGNMENT + (GROUP + PANEL) * BLOCK * sizeof(real), FOR_PANELS)
    cdef char* memory = held.memory
    cdef vec* block = <vec*> (memory + BLOCK_SUMS_AT)
    cdef vec* totals = <vec*> (memory + ALIGNMENT + SUMS_AT)
    cdef real* x = <real*> (memory + 2 * ALIGNMENT)
    cdef vec* y = <vec*> (x + PANEL * BLOCK)
    cdef Py_ssize_t k, _
    cdef double start
    for k in range((GROUP + PANEL) * BLOCK):
        x[k] = <real> 0.5
    with nogil:
        start = seconds()
        for _ in range(repeats):
            for k in range(8):
                tile(TILE_ROWS, TILE_PANELS, x, y, BLOCK * VECS, BLOCK, k == 0, block, totals)
        start = seconds() - start
    block_release(held)
    return <double> repeats * 8 * TILE_ROWS * GROUP * BLOCK / start
