# A row or two of X with all of Y, rows of Y read in place, in order: nothing reads memory faster.
# A lane is a run: LANES runs that follow one another in memory, of one row or of several, are
# transposed and met by the same runs of X; run sums are added up as ever. The same bits.
#
# takes: kernels.pyx, source.pxi, pack.pxi, plan.pxi, full.pxi, vectors.h
# gives: QUERIES, PATTERNS, AHEAD, can_read_in_place, make_patterns, totals_of, bring_near,
#        transposed_runs, meet_group

cdef enum:
    QUERIES = 2                  # rows of X
    PATTERNS = 1 << 15           # bytes of transposed runs of X
    AHEAD = 1 << 14              # bytes of Y: how far ahead its lines are brought near


cdef Py_ssize_t phases_of(Py_ssize_t runs) noexcept nogil:
    # vector v of a group holds runs v * LANES ... of it: the same ones of X every so many vectors
    cdef Py_ssize_t a = runs, b = LANES
    while b:
        a, b = b, a % b
    return runs // a


cdef bint can_read_in_place(const Job* job) noexcept nogil:
    cdef Py_ssize_t runs = job.Y.features // RUN, n = job.X.rows
    if job.integers:
        return n <= QUERIES and segments_of(job) == 1
    return (is_loadable(&job.Y) and not job.careful and n <= QUERIES and job.Y.features % RUN == 0
            and job.Y.row_stride == job.Y.features * job.Y.itemsize
            and (1 + n) * runs < BLOCK       # the run sums of a group take the place of its panels
            and n * phases_of(runs) * RUN * <Py_ssize_t> sizeof(vec) <= PATTERNS)


cdef void make_patterns(Job* job) noexcept nogil:
    """patterns[q, phase, k][lane] = X[q, run of the lane, k]"""
    cdef Py_ssize_t runs = job.Y.features // RUN, phases = phases_of(runs), q, run, k
    cdef real buffer[RUN]
    cdef real* to
    for q in range(job.PX.count):
        for run in range(phases * LANES):
            convert(&job.X, job.PX.first + q, run % runs * RUN, RUN, buffer)
            to = <real*> (job.patterns + (q * phases + run // LANES) * RUN) + run % LANES
            for k in range(RUN):
                to[k * LANES] = buffer[k]


cdef inline vec totals_of(const real* sums, Py_ssize_t runs) noexcept nogil:
    # of LANES rows: the runs of a block in order, the blocks in order
    cdef vec t[LANES]
    cdef const real* row[LANES]
    cdef vec total = splat(0), block = splat(0)
    cdef Py_ssize_t first, run
    cdef int i
    for i in range(LANES):
        row[i] = sums + i * runs
    for first in range(ceil_div(runs, LANES)):
        load_transposed(row, first * LANES, t)
        for run in range(first * LANES, at_most((first + 1) * LANES, runs)):
            if run % (BLOCK // RUN):
                block = block + t[run % LANES]
                continue
            if run > 0:
                total = block if run == BLOCK // RUN else total + block
            block = t[run % LANES]
    return block if runs <= BLOCK // RUN else total + block


cdef inline void bring_near(const int itemsize, const char* runs, int k, int i,
                            const bint one_of_two) noexcept nogil:
    # Twice, since a processor that waits for many lines drops what it is told of besides. With
    # AVX-512 at two distances, the second time into the first-level cache, or, where two sides are
    # read, either half as far ahead; and in the order of memory, which the loads are not in: AMD's
    # Zen 5 would wait. Else at one distance, with every part of a line.
    cdef const char* part = runs + (k + i) * LANES * itemsize
    if LANES * sizeof(real) < CACHE_LINE:
        part = runs + (i * RUN + k) * itemsize
        prefetch_second(part + AHEAD)
        prefetch_second(part + AHEAD)
    elif one_of_two:
        prefetch_second(part + AHEAD // 2)
        prefetch_second(part + AHEAD * 3 // 8)
    else:
        prefetch_second(part + AHEAD)
        prefetch_first(part + AHEAD // 4)


cdef inline void load_runs(const int kind, const int itemsize, const char* runs, int k,
                           vec* a) noexcept nogil:
    cdef int i
    for i in range(LANES):
        a[i] = load_as(kind, runs + (i * RUN + k) * itemsize)


cdef inline void transposed_runs(const int kind, const char* runs, int k, vec* t) noexcept nogil:
    # t[j][i] = element k + j of the i-th run; `kind` is a constant wherever speed counts
    cdef vec a[LANES]
    if HALF_LOADS and kind == FLOAT16:
        load_runs(FLOAT16, sizeof(uint16_t), runs, k, a)
    elif HALF_LOADS and kind == BFLOAT16:
        load_runs(BFLOAT16, sizeof(uint16_t), runs, k, a)
    else:
        load_runs(FLOAT32, sizeof(real), runs, k, a)    # as they are
    transpose(a, t)


cdef inline vec run_sums(const int queries, const int kind, const char* runs,
                         const vec* pattern, Py_ssize_t pattern_stride, real* sums,
                         Py_ssize_t plane, vec smallest) noexcept nogil:
    """sums[q * plane + lane]: X's q-th row by a run in every lane; the last plane: its square."""
    cdef vec t[LANES]
    cdef vec acc[QUERIES]
    cdef vec squares = splat(0)
    cdef int k, i, q
    for q in range(queries):
        acc[q] = splat(0)
    for k in range(RUN // LANES):
        for i in range(LANES):
            bring_near(size_as(kind), runs, k * LANES, i, False)
        transposed_runs(kind, runs, k * LANES, t)
        for i in range(LANES):
            for q in range(queries):
                acc[q] = madd(pattern[q * pattern_stride + k * LANES + i], t[i], acc[q])
            squares = madd(t[i], t[i], squares)
            smallest = min_magnitude(t[i], smallest)
    for q in range(queries):
        store(sums + q * plane, acc[q])
    store(sums + queries * plane, squares)
    return smallest


cdef inline vec meet_runs(const int kind, const Job* job, const char* start,
                          Py_ssize_t all_runs, real* sums, Py_ssize_t plane) noexcept nogil:
    """The run sums of a group that begins at `start`; returns the smallest magnitudes."""
    cdef Py_ssize_t phases = phases_of(job.Y.features // RUN), v
    cdef Py_ssize_t run_bytes = RUN * job.Y.itemsize
    cdef const char* at
    cdef real tail[LANES * RUN]      # the last runs, and zeros
    cdef const vec* pattern
    cdef vec smallest = splat(REAL_MAX)
    for v in range(ceil_div(all_runs, LANES)):
        at = start + v * LANES * run_bytes
        if (v + 1) * LANES > all_runs:
            memset(tail, 0, sizeof(tail))
            memcpy(tail, at, (all_runs - v * LANES) * run_bytes)
            at = <const char*> tail
        pattern = job.patterns + v % phases * RUN
        if job.PX.count == 1:
            smallest = run_sums(1, kind, at, pattern, 0, sums + v * LANES, plane, smallest)
        else:
            smallest = run_sums(QUERIES, kind, at, pattern, phases * RUN, sums + v * LANES, plane,
                                smallest)
    return smallest


cdef int meet_group(Job* job, Py_ssize_t group, Py_ssize_t columns, real* sums,
                    vec* totals) noexcept nogil:
    """The dot products of all of X with one group of Y, whose norms are found on the way."""
    cdef const Source* s = &job.Y
    cdef Py_ssize_t first = job.PY.first + group * GROUP, runs = s.features // RUN
    cdef Py_ssize_t plane = GROUP * runs, v, j, queries = job.PX.count, q
    cdef const char* start = s.data + first * s.row_stride
    cdef vec smallest
    cdef real* norm2 = job.PY.norm2 + group * GROUP
    if HALF_LOADS and s.kind == FLOAT16:
        smallest = meet_runs(FLOAT16, job, start, columns * runs, sums, plane)
    elif HALF_LOADS and s.kind == BFLOAT16:
        smallest = meet_runs(BFLOAT16, job, start, columns * runs, sums, plane)
    else:
        smallest = meet_runs(FLOAT32, job, start, columns * runs, sums, plane)
    for v in range(ceil_div(columns, LANES)):
        for q in range(queries):
            totals[q * (GROUP // LANES) + v] = totals_of(sums + q * plane + v * LANES * runs, runs)
        store(norm2 + v * LANES, totals_of(sums + queries * plane + v * LANES * runs, runs))
    if small_lanes(smallest):
        for j in range(columns):
            if row_has_tiny(s, first + j):
                return CARE
    return 0
