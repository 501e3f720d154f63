# What is done at a time: superblocks of outputs whose packed rows stay in bounded memory; their
# tasks; and where everything lies in that memory.
#
# takes: kernels.pyx, source.pxi, pack.pxi, tile.pxi, top_k.pxi, pairs.pxi, screen.pxi,
#        directions.pxi, heads.pxi, cascade.pxi, queries.pxi, integers.pxi, vectors.h, memory.h
# gives: SEGMENT, PATIENCE, FINISHING, FRESH, Job, LINE, PANEL_SUMS, BLOCK_SUMS_AT, SUMS_AT,
#        panels_in, groups_in, carve, carve_rows, packed_features, plan, longest, choose_rows,
#        packed_bytes, writes_matrix, patient_outputs, rounded, most_lists, rows_of_Y, join_parts

cdef enum:
    SEGMENT = 32                     # blocks of features packed at a time
    CACHE = 3 << 18                  # bytes of packed X that a task keeps in its cache
    PACKED = 8 << 20                 # bytes of packed rows, a thread
    PACKED_AND_LISTS = 23 << 19      # bytes of both, where long lists leave less for rows
    TOTALS = 2 << 20                 # bytes of unfinished dot products, a thread
    TASK_TOTALS = 1 << 18            # bytes of a task's own dot products
    WRITTEN = 16                     # panels of X a task, where the matrix is written
    OWN_LISTS = 1 << 20              # bytes of lists, a thread, from which on a task has rows of
    OWN_ROWS = 8                     # its own, so many panels of them
    TASKS = 64                       # of a superblock, a thread, where there are that many
    LONG_TASKS = 16                  # the same where Y is read in place: the longer in order
    LONGEST = 1 << 15                # rows of a superblock
    PATIENCE = 1 << 25               # BLOCKs of multiply-adds, a thread, between looks for Ctrl-C
    FINISHING = 128                  # what an output costs besides, in multiply-adds
    FRESH = 1 << 25                  # bytes of the matrix, a thread, the same: new pages are slow

cdef struct Job:
    Source X, Y
    Output out
    Best* best                       # top-k instead of the matrix
    Pairs* pairs                     # pairs above a threshold instead of the matrix
    bint same                        # Y is X: half the work, mirrored
    Py_ssize_t first_Y               # where they are two parts of one: join_parts
    Py_ssize_t block                 # rows of X that meet at a time, blocks.pxi; 0: all
    Py_ssize_t from_X, stop_X        # the rows that meet now
    Py_ssize_t from_Y, stop_Y
    bint limited                     # all of these have limits from others that they have met
    int integers                     # the products are made in integers: integers_of
    bint careful                     # pack every row times its own power of two
    bint screened                    # screen.pxi: what is at hand
    bint headed                      # cascade.pxi: the same, by heads first
    Py_ssize_t heads_from            # columns that are met before heads are used; -1: never
    Py_ssize_t heads_pay             # the first row of X of a superblock that they pay for
    Cascade* cascade                 # the heads, once they are made
    Cascade* known                   # those that were made before the call; or NULL
    bint lasting                     # they are for many calls
    Py_ssize_t screen_from           # columns that are met before the screen is used; -1: never
    real zero_inverse                # 1 / ‖0‖: 0 or NaN
    int threads
    int process                      # whose threads these are
    # the superblock at hand
    Pack PX, PY
    bint diagonal, streamed, first_segment, last_segment
    bint X_packed                    # by the superblock before
    bint invalid                     # rows were packed that need care: nothing to multiply
    bint in_place                    # rows of Y are read where they are
    Py_ssize_t chunk                 # panels of X a task
    Py_ssize_t span                  # groups of Y a task
    vec* patterns                    # queries.pxi: X's runs in the lanes of Y's; or NULL
    char* totals                     # unfinished dot products, where there are several segments
    char* scratch                    # a thread's own: one group's panels, a task's dot products
    Py_ssize_t scratch_bytes
    int* status                      # one cache line a thread

cdef enum:
    LINE = 16                        # ints in a cache line
    PANEL_SUMS = (PANEL * GROUP * sizeof(real) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    # a tile reads its panels from the start of a page on: sums are stored further on in theirs
    BLOCK_SUMS_AT = ALIGNMENT // 8
    SUMS_AT = ALIGNMENT // 4


cdef inline Py_ssize_t panels_in(const Pack* p) noexcept nogil:
    return ceil_div(p.count, PANEL)


cdef inline Py_ssize_t groups_in(const Pack* p) noexcept nogil:
    return ceil_div(p.count, p.width)


cdef char* carve(char** memory, size_t size) noexcept nogil:
    # the next `size` bytes of the arena, in pages of their own
    cdef char* taken = memory[0]
    memory[0] = taken + ceil_div(size + GAP, ALIGNMENT) * ALIGNMENT
    allow_only(taken, size, memory[0] - taken)
    return taken


cdef void carve_rows(Pack* p, char** memory, bint careful, bint streamed) noexcept nogil:
    cdef Py_ssize_t groups = groups_in(p)
    p.norm2 = <real*> carve(memory, groups * p.width * sizeof(real))
    p.inverse = <real*> carve(memory, groups * p.width * sizeof(real))
    p.rest = <real*> carve(memory, groups * p.width * sizeof(real))
    p.exponent = NULL
    p.panels = NULL
    if p.integers:
        p.offset = <real*> carve(memory, groups * GROUP * sizeof(real))
    if careful:
        p.exponent = <int*> carve(memory, groups * GROUP * sizeof(int))
    if not streamed:
        p.panels = <real*> carve(memory, groups * p.blocks * p.depth * GROUP * sizeof(real))


cdef void carve_words(Pack* p, char** memory, bint left, bint right) noexcept nogil:
    cdef Py_ssize_t rows = groups_in(p) * p.width
    carve_rows(p, memory, False, True)
    p.unit = <float*> carve(memory, rows * sizeof(float))
    p.error = <float*> carve(memory, rows * sizeof(float))
    p.raised = <int32_t*> carve(memory, rows * sizeof(int32_t))
    p.left = p.right = NULL
    if left:
        p.left = <int32_t*> carve(memory, rows * words_of(p.source) * sizeof(int32_t))
    if right:
        p.right = <int32_t*> carve(memory, rows * words_of(p.source) * sizeof(int32_t))


cdef inline Py_ssize_t packed_features(const Job* job) noexcept nogil:
    # how many columns panels have
    if job.screened or not job.integers:
        return job.X.features
    return ceil_div(job.X.features, unit_of(job.integers))


cdef bint can_stream(const Job* job) noexcept nogil:
    """Whether all of X is one chunk, so that Y need not be kept packed."""
    cdef Py_ssize_t blocks = at_most(ceil_div(packed_features(job), BLOCK), SEGMENT)
    cdef Py_ssize_t panels = ceil_div(job.X.rows, PANEL)
    return (panels * blocks * BLOCK * PANEL * sizeof(real) <= CACHE
            and (blocks == 1 or panels * PANEL_SUMS <= TASK_TOTALS)
            and (blocks > 1 or panels <= 4))


cdef inline Py_ssize_t even_chunk(Py_ssize_t panels, Py_ssize_t most, int threads) noexcept nogil:
    """The chunk, of `most` panels to half of that, whose tasks leave no thread long alone."""
    cdef Py_ssize_t chunk, longest, best = most, shortest = panels + most
    for chunk in range(most, (most - 1) // 2, -1):
        longest = ceil_div(ceil_div(panels, chunk), threads) * chunk
        if longest < shortest:
            best, shortest = chunk, longest
    return best


cdef size_t plan(Job* job, char* memory) noexcept nogil:
    """Share out `memory` for the superblock of job.PX by job.PY and choose its tasks.

    Returns the bytes needed; with memory NULL nothing is kept.
    """
    cdef Pack* X = &job.PX
    cdef Pack* Y = &job.PY
    cdef char* start = memory
    cdef Py_ssize_t features = packed_features(job), blocks = ceil_div(features, BLOCK)
    cdef Py_ssize_t panels = panels_in(X), groups, panel_bytes
    X.source, Y.source = &job.X, &job.Y
    X.width = Y.width = SCREEN_COLUMNS if job.screened else GROUP
    groups = groups_in(Y)
    X.blocks = Y.blocks = at_most(blocks, SEGMENT)
    X.depth = Y.depth = ceil_div(at_most(features, BLOCK), LANES) * LANES
    panel_bytes = X.blocks * X.depth * PANEL * sizeof(real)
    if job.screened:
        panel_bytes = PANEL * sizeof(int32_t) * (job.cascade.words if job.headed
                                                 else words_of(X.source))
    job.streamed = (not job.diagonal and not job.screened and can_stream(job)
                    and groups >= 2 * (job.threads - 1))
    job.in_place = job.streamed and can_read_in_place(job)
    # chunks: packed X in the cache, sums in the cache, enough tasks to share out
    job.chunk = at_least(1, CACHE // panel_bytes)
    if job.best != NULL:
        job.best.shared = job.threads > 1
        if (not (job.streamed or job.same or job.screened) and panels >= 4 * job.threads
                and panels * PANEL * bytes_of_list(job.best) > OWN_LISTS * <size_t> job.threads):
            # long lists: a task's rows are its own, and their lists stay in its cache
            job.best.shared = False
            job.chunk = even_chunk(panels, at_most(job.chunk, OWN_ROWS), job.threads)
    elif not (job.streamed or job.same or job.pairs != NULL):
        # few rows: their pages of the output are written soon after the system has cleared them
        job.chunk = at_most(job.chunk, WRITTEN)
    if X.blocks > 1 and not job.screened:
        job.chunk = at_least(1, at_most(job.chunk,
                                        TASK_TOTALS // PANEL_SUMS))
    if not job.streamed:
        while job.chunk > 1 and ceil_div(panels, job.chunk) * groups < 8 * job.threads:
            job.chunk = ceil_div(job.chunk, 2)
    job.chunk = ceil_div(panels, ceil_div(panels, job.chunk))
    job.span = at_least(1, groups * ceil_div(panels, job.chunk)
                        // ((LONG_TASKS if job.in_place else TASKS) * job.threads))
    if job.best != NULL and not job.best.shared:
        job.span = groups
    X.integers = Y.integers = NO_INTEGERS if job.screened else job.integers
    if job.headed:
        carve_headed(&job.cascade.X, job.cascade.words, X, &memory, True, job.diagonal)
    elif job.screened:
        carve_words(X, &memory, True, job.diagonal)
    else:
        carve_rows(X, &memory, job.careful, False)
    if job.diagonal:
        Y[0] = X[0]
    elif job.headed:
        carve_headed(&job.cascade.Y, job.cascade.words, Y, &memory, False, True)
    elif job.screened:
        carve_words(Y, &memory, False, True)
    else:
        carve_rows(Y, &memory, job.careful, job.streamed)
    job.patterns = NULL
    if job.in_place and not job.integers:
        job.patterns = <vec*> carve(&memory, PATTERNS)
    job.totals = NULL
    if blocks > SEGMENT:
        job.totals = carve(&memory, panels * groups * PANEL_SUMS + SUMS_AT)
    job.scratch_bytes = (ALIGNMENT + SUMS_AT + (job.chunk if X.blocks > 1 else 1) * PANEL_SUMS
                         + GROUP * BLOCK * sizeof(real))
    if job.screened:
        job.scratch_bytes = X.blocks * BLOCK * SCREEN_COLUMNS * sizeof(real)
    job.scratch_bytes = ceil_div(job.scratch_bytes, ALIGNMENT) * ALIGNMENT
    job.scratch = carve(&memory, job.scratch_bytes * job.threads)
    job.status = <int*> carve(&memory, LINE * sizeof(int) * job.threads)
    if start != NULL:
        memset(job.status, 0, LINE * sizeof(int) * job.threads)
    return memory - start


cdef inline Py_ssize_t longest() noexcept nogil:
    # rows of a superblock, on either side
    return forced.superblock if forced.superblock > 0 else LONGEST


cdef void choose_rows(Job* job, Py_ssize_t* rows_X, Py_ssize_t* rows_Y) noexcept nogil:
    """The largest superblock within the limits above."""
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, features = packed_features(job)
    cdef Py_ssize_t blocks = ceil_div(features, BLOCK)
    cdef Py_ssize_t depth = ceil_div(at_most(features, BLOCK), LANES) * LANES
    cdef Py_ssize_t row_bytes = at_most(blocks, SEGMENT) * depth * sizeof(real)
    cdef Py_ssize_t rows, side, padded, outputs, most = rows_with_lists(job)
    rows = packed_bytes(job) // row_bytes * job.threads
    if job.same:
        side = n if n <= rows and job.first_Y == job.block == 0 else rows // 2
        rows_X[0] = rows_Y[0] = side
    elif can_stream(job):
        rows_X[0], rows_Y[0] = n, longest()
    else:
        # X is packed once where it fits, Y once for each superblock of X
        rows_X[0] = at_most(n, rows - at_most(m, rows // 4))
        rows_Y[0] = at_most(m, rows - rows_X[0])
    if blocks > SEGMENT:
        side = <Py_ssize_t> sqrt(<double> TOTALS * job.threads
                                 / PANEL_SUMS * PANEL * GROUP)
        rows_X[0] = at_most(rows_X[0], side)
        padded = ceil_div(rows_X[0], PANEL) * PANEL
        rows_Y[0] = at_most(rows_Y[0], at_least(side, side * side // padded))
    # a superblock is also the time between two looks for Ctrl-C (of a virtual machine whose host
    # has taken memory back, 50 µs for a page of the matrix); where it has to be smaller for that,
    # whole rows of the output (or columns, in Fortran's order) touch fewer new pages than parts
    outputs = patient_outputs(job)
    if rows_X[0] * rows_Y[0] > outputs:
        if job.same:
            if writes_matrix(job):
                outputs = ceil_div(outputs, 2)       # each of these is written twice, mirrored
            rows_X[0] = rows_Y[0] = at_most(rows_X[0], <Py_ssize_t> sqrt(<double> outputs))
        elif can_stream(job) or not writes_matrix(job):
            rows_Y[0] = outputs // rows_X[0] + 1
        elif stride_of_rows(&job.out) < stride_of_columns(&job.out):
            rows_X[0] = at_most(rows_X[0], outputs // GROUP + 1)
            rows_Y[0] = at_most(rows_Y[0], outputs // rows_X[0] + 1)
        else:
            rows_Y[0] = at_most(rows_Y[0], outputs // GROUP + 1)
            rows_X[0] = at_most(rows_X[0], outputs // rows_Y[0] + 1)
    rows_X[0] = at_most(most, rounded(at_least(1, at_most(rows_X[0], longest()))))
    rows_Y[0] = at_most(m, rounded(at_least(1, at_most(rows_Y[0], longest()))))


cdef inline Py_ssize_t rows_with_lists(const Job* job) noexcept nogil:
    # rows of X, at most, that are met at a time
    if job.block > 0:
        return 2 * job.block
    if job.best == NULL or job.same:
        return job.X.rows
    return at_least(1, at_most(job.X.rows, most_lists(job)))


cdef inline Py_ssize_t packed_bytes(const Job* job) noexcept nogil:
    # for packed rows, a thread
    cdef Py_ssize_t bytes = PACKED
    if job.best != NULL:
        bytes = at_most(bytes, PACKED_AND_LISTS - rows_with_lists(job)
                        * <Py_ssize_t> bytes_of_list(job.best) // job.threads)
    return at_least(PACKED // 2, bytes)


cdef inline Py_ssize_t stride_of_rows(const Output* out) noexcept nogil:
    return out.row_stride if out.row_stride >= 0 else -out.row_stride


cdef inline Py_ssize_t stride_of_columns(const Output* out) noexcept nogil:
    return out.column_stride if out.column_stride >= 0 else -out.column_stride


cdef inline Py_ssize_t bytes_of_output(const Output* out) noexcept nogil:
    # with those between it and the next: pages are new as a whole
    cdef Py_ssize_t bytes = at_most(stride_of_rows(out), stride_of_columns(out))
    return at_least(out.itemsize, at_most(bytes, ALIGNMENT))


cdef inline bint writes_matrix(const Job* job) noexcept nogil:
    return job.best == NULL and job.pairs == NULL


cdef inline Py_ssize_t patient_outputs(const Job* job) noexcept nogil:
    cdef double outputs = <double> PATIENCE * BLOCK / (job.X.features + FINISHING)
    if writes_matrix(job):
        outputs = min(outputs, <double> FRESH / bytes_of_output(&job.out))
    return at_least(1, <Py_ssize_t> (outputs * job.threads))


cdef inline Py_ssize_t rounded(Py_ssize_t rows) noexcept nogil:
    return ceil_div(rows, GROUP) * GROUP


cdef inline Py_ssize_t most_lists(const Job* job) noexcept nogil:
    return <Py_ssize_t> LISTS * job.threads // <Py_ssize_t> bytes_of_list(job.best)


cdef inline Py_ssize_t rows_of_Y(const Job* job) noexcept nogil:
    return job.Y.rows - job.first_Y


cdef void join_parts(Job* job) noexcept nogil:
    """X and Y are two parts of one set, `same`: its rows are those of X, then those of Y."""
    job.same, job.first_Y = True, job.X.rows
    # as if the rows of X lay before those of Y: nobody reads there
    job.Y.data -= job.first_Y * job.Y.row_stride
    job.Y.rows += job.first_Y
