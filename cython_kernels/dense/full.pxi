# Every row against every row: outputs go to the full matrix, out[i, j] = cosine(X[i], Y[j]), or
# while they are in registers to a reduction (top_k.pxi, pairs.pxi).
#
# takes: kernels.pyx, pack.pxi, tile.pxi, top_k.pxi, pairs.pxi, most.pxi, plan.pxi, screen.pxi,
#        cascade.pxi, near.pxi, sample.pxi, blocks.pxi, queries.pxi, integers.pxi, vectors.h,
#        memory.h, openmp.h
# gives: find_exponents, finish_panel, found, start_rows, finish_rows_of_X, segments_of,
#        run_segment, pairs_of_rows, run
#
# Work goes by superblocks of outputs whose packed rows stay in bounded memory, each in one
# parallel region: pack the rows of X (and of Y), then share out tasks, a chunk of X that fits the
# second-level cache times a range of groups of Y. Where all of X is one chunk, each group of Y
# meets it just once and is packed by the task itself, block by block, in the first-level cache
# ("streamed"): Y is read from memory a single time. Rows of more than SEGMENT blocks take several
# passes, whose dot products so far wait in `totals`.

cdef void find_exponents(Job* job, Py_ssize_t row) noexcept nogil:
    # rows of X, then rows of Y
    if row < job.PX.count:
        job.PX.exponent[row] = row_exponent(&job.X, job.PX.first + row)
    elif not job.diagonal:
        row -= job.PX.count
        job.PY.exponent[row] = row_exponent(&job.Y, job.PY.first + row)


cdef void pack_task(Job* job, Py_ssize_t group, int thread) noexcept nogil:
    # groups of X, then groups of Y
    cdef Py_ssize_t of_X = 0 if job.X_packed else groups_in(&job.PX)
    cdef const Pack* pack = &job.PX if group < of_X else &job.PY
    cdef Py_ssize_t own = group if group < of_X else group - of_X
    if job.headed:
        job.status[thread * LINE] |= lay_out(job, pack, own)
    elif job.screened:
        job.status[thread * LINE] |= screen_group(job, pack, own, thread)
    else:
        job.status[thread * LINE] |= pack_group(pack, own, job.first_segment, job.last_segment,
                                                job.zero_inverse)


cdef void multiply(Job* job, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t group,
                   int thread) noexcept nogil:
    """Outputs of panels [first, stop) of X by one group of Y: a block of features at a time."""
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef Py_ssize_t j = group * GROUP, columns = at_most(GROUP, Y.count - j)
    cdef Py_ssize_t tile_vecs = TILE_PANELS * VECS, panel_vecs = PANEL_SUMS // sizeof(vec)
    cdef Py_ssize_t panel_stride = Y.depth * VECS, features = packed_features(job)
    cdef Py_ssize_t block, p, sub, rows, count, line, last = groups_in(Y) - 1
    # lines of the next block of Y to bring near with each panel of X
    cdef Py_ssize_t near = ceil_div(GROUP * Y.depth * sizeof(real) // CACHE_LINE, stop - first)
    cdef char* own = job.scratch + thread * job.scratch_bytes
    cdef real* y
    cdef const real* x
    cdef const char* next_y = NULL
    cdef vec* totals
    cdef vec* at
    cdef bint first_block, last_block
    cdef int status = 0
    if job.diagonal:
        # the lower triangle is written from the upper one
        stop = at_most(stop, (group + 1) * TILE_PANELS)
        if first >= stop:
            return
    if job.totals != NULL:
        totals = <vec*> (job.totals + SUMS_AT) + (group * panels_in(X) + first) * panel_vecs
    else:
        totals = <vec*> (own + ALIGNMENT + SUMS_AT)
    if job.in_place:
        if job.integers:
            meet_bytes(job, group, columns, <real*> totals)
        else:
            status = meet_group(job, group, columns,
                                <real*> (own + job.scratch_bytes) - GROUP * BLOCK, totals)
        status |= invert_norms(Y, j, GROUP, job.zero_inverse)
        if not status & CARE:
            status |= finish_panel(job, totals, 0, group, columns, thread)
        if status:
            job.status[thread * LINE] |= status
        return
    for block in range(Y.blocks):
        count = block_length(features, Y.block0 + block)
        first_block = job.first_segment and block == 0
        last_block = job.last_segment and block == Y.blocks - 1
        if job.streamed:
            y = <real*> (own + job.scratch_bytes) - GROUP * BLOCK
            status |= pack_block(Y, group, block, first_block, y)
            if last_block:
                status |= invert_norms(Y, j, GROUP, job.zero_inverse)
                if status & CARE and not job.careful:
                    break            # what these rows would give does not count
        else:
            y = panel_of(Y, group * TILE_PANELS, block)
            if stop - first == 1:
                next_y = NULL        # there is no time to bring near a whole block of Y
            elif block + 1 < Y.blocks:
                next_y = <const char*> panel_of(Y, group * TILE_PANELS, block + 1)
            else:
                next_y = <const char*> panel_of(Y, at_most(group + 1, last) * TILE_PANELS, 0)
        for p in range(first, stop):
            x = panel_of(X, p, block)
            if next_y != NULL:
                for line in range(near):
                    prefetch_second(next_y + ((p - first) * near + line) * CACHE_LINE)
            if last_block and job.out.direct:
                prefetch_output(&job.out, X.first + p * PANEL,
                                at_most(PANEL, X.count - p * PANEL), Y.first + j, columns)
            # a task with one block needs no more than one panel's sums
            at = totals if first_block and last_block else totals + (p - first) * panel_vecs
            rows = at_most(PANEL, X.count - p * PANEL)
            if job.integers:
                for sub in range(ceil_div(rows, TILE_ROWS)):
                    multiply_units(job.integers, x + sub * TILE_ROWS, <const vec*> y, panel_stride,
                                   count, ceil_div(columns, PANEL), first_block,
                                   at + sub * TILE_ROWS * tile_vecs)
            else:
                panel_tiles(rows, ceil_div(columns, PANEL), x, <const vec*> y, panel_stride, count,
                            first_block, <vec*> (own + BLOCK_SUMS_AT), at)
            if last_block:
                if job.integers:
                    take_offsets(X, p * PANEL, at)
                status |= finish_panel(job, at, p, group, columns, thread)
    if status:
        job.status[thread * LINE] |= status


cdef int finish_panel(Job* job, const vec* totals, Py_ssize_t panel, Py_ssize_t group,
                      Py_ssize_t columns, int thread) noexcept nogil:
    """What becomes of the dot products of a panel of X by a group of Y."""
    cdef Py_ssize_t i = panel * PANEL, rows = at_most(PANEL, job.PX.count - i), r
    cdef bint on_diagonal = job.diagonal and panel // TILE_PANELS == group
    cdef real zero = 0
    if job.best != NULL:
        select_panel(job.best, totals, rows, columns, &job.PX, i, &job.PY, group * GROUP,
                     job.same and not on_diagonal)
        return 0
    if job.pairs != NULL:
        return collect_panel(job.pairs, &job.pairs.found[thread], totals, rows, columns, &job.PX,
                             i, &job.PY, group * GROUP, on_diagonal)
    finish(totals, rows, columns, &job.PX, i, &job.PY, group * GROUP, &job.out)
    if on_diagonal:
        # a zero row keeps distance 0 to itself
        for r in range(rows):
            if job.out.distance and job.PX.norm2[i + r] == 0 and job.zero_inverse == 0:
                put(&job.out, job.PX.first + i + r, job.PX.first + i + r, 1, &zero)
    elif job.same:
        mirror(&job.out, job.PX.first + i, rows, job.PY.first + group * GROUP, columns)
    return 0


cdef void multiply_task(Job* job, Py_ssize_t task, int thread) noexcept nogil:
    """The outputs of a chunk of X by a span of groups of Y."""
    cdef Py_ssize_t groups = groups_in(&job.PY), spans = ceil_div(groups, job.span), g
    cdef Py_ssize_t first = task // spans * job.chunk
    cdef Py_ssize_t stop = at_most(first + job.chunk, panels_in(&job.PX))
    cdef Py_ssize_t span = task % spans * job.span
    cdef Py_ssize_t span_stop = at_most(span + job.span, groups)
    if job.pairs != NULL:
        start_run(&job.pairs.found[thread])
    if job.headed:
        heads_task(job, first, stop, span, span_stop, thread)
        span = span_stop
    elif job.screened:
        screen_task(job, first, stop, span, span_stop, thread)
        span = span_stop
    for g in range(span, span_stop):
        multiply(job, first, stop, g, thread)
    if job.pairs != NULL and end_run(&job.pairs.found[thread], job.pairs.task + task):
        job.status[thread * LINE] |= OUT_OF_MEMORY


cdef inline Py_ssize_t tasks_of(const Job* job) noexcept nogil:
    return (ceil_div(panels_in(&job.PX), job.chunk)
            * ceil_div(groups_in(&job.PY), job.span))


cdef void superblock_alone(Job* job) noexcept nogil:
    """The same on one thread, without OpenMP, whose regions take longer than small work."""
    cdef Py_ssize_t tasks = tasks_of(job), t
    if job.careful and job.first_segment:
        for t in range(job.PX.count + job.PY.count):
            find_exponents(job, t)
    for t in range((0 if job.X_packed else groups_in(&job.PX))
                   + (0 if job.streamed or job.diagonal else groups_in(&job.PY))):
        pack_task(job, t, 0)
    all_packed(job)
    for t in range(0 if job.invalid else tasks):
        multiply_task(job, t, 0)


cdef void all_packed(Job* job) noexcept nogil:
    # between packing and multiplying, by one thread: what later tasks find is not asked for
    job.invalid = found(job) & CARE and not job.careful
    if job.patterns != NULL:
        make_patterns(job)


cdef void superblock(Job* job) noexcept nogil:
    """One segment of one superblock, in one parallel region."""
    cdef Py_ssize_t tasks = tasks_of(job), exponents = 0
    cdef Py_ssize_t packs = 0 if job.X_packed else groups_in(&job.PX)
    cdef Py_ssize_t t
    if job.careful and job.first_segment:
        exponents = job.PX.count + job.PY.count    # of X once more, where it is packed already
    if not job.streamed and not job.diagonal:
        packs += groups_in(&job.PY)
    with parallel(num_threads=threads_in(job.process, job.threads)):
        for t in prange(exponents, schedule="guided", chunksize=4):
            find_exponents(job, t)
        wait_for_all()
        for t in prange(packs, schedule="guided"):
            pack_task(job, t, omp_get_thread_num())
        wait_for_all()
        for t in prange(1, schedule="dynamic"):
            all_packed(job)
        wait_for_all()
        for t in prange(tasks, schedule="dynamic"):
            if not job.invalid:
                multiply_task(job, t, omp_get_thread_num())


cdef int found(const Job* job) noexcept nogil:
    # what the threads found, together
    cdef int thread, status = 0
    for thread in range(job.threads):
        status |= job.status[thread * LINE]
    return status


cdef int start_rows(Job* job) except -1:
    """Nothing is known of the superblock's rows of X yet."""
    if job.best != NULL and not job.same:
        job.best.first = job.best.second = job.PX.first
        reset_lists(job.best, job.PX.count)
    if job.pairs != NULL:
        drop_pairs(job.pairs)
        if job.pairs.most:
            forget_most(job.pairs, job.PX.first, job.PX.first + job.PX.count, 0, job.Y.rows)
        job.pairs.first = job.PX.first
    return 0


cdef int finish_rows_of_X(Job* job, object watch) except -1:
    """The superblock's rows of X have met all of Y."""
    cdef Py_ssize_t i
    if job.best != NULL and not job.same:
        for i in prange(job.PX.count, nogil=True, schedule="guided", chunksize=4,
                        num_threads=threads_in(job.process, job.threads)):
            finish_row(job.best, i)
    if job.pairs != NULL:
        pass_on(job.pairs, &job.PX, watch)
    return 0


cdef inline Py_ssize_t segments_of(const Job* job) noexcept nogil:
    return ceil_div(ceil_div(packed_features(job), BLOCK), SEGMENT)


cdef int run_segment(Job* job, Py_ssize_t segment) noexcept nogil:
    """One segment of the superblock at hand; returns what was found."""
    cdef Py_ssize_t blocks = ceil_div(packed_features(job), BLOCK)
    job.PX.block0 = job.PY.block0 = segment * SEGMENT
    job.PX.blocks = job.PY.blocks = at_most(SEGMENT, blocks - segment * SEGMENT)
    job.first_segment = segment == 0
    job.last_segment = segment + 1 == segments_of(job)
    if job.threads == 1:
        superblock_alone(job)
    else:
        superblock(job)
    return found(job)


cdef int run_superblock(Job* job) except -1:
    """Every segment of the superblock at hand; returns the status."""
    cdef Py_ssize_t segment
    cdef int status = 0
    for segment in range(segments_of(job)):
        with nogil:
            status |= run_segment(job, segment)
        PyErr_CheckSignals()
        if status & CARE and not job.careful:
            break
    job.X_packed = segments_of(job) == 1
    return status


cdef inline Py_ssize_t first_column(const Job* job) noexcept nogil:
    # that rows of X from PX.first on have not met
    return at_least(job.PX.first, job.from_Y) if job.same else 0


cdef inline int64_t pairs_of_rows(int64_t n, int64_t m) noexcept nogil:
    # as many as can be counted: broadcasts have rows without end
    cdef int64_t most = <int64_t> 1 << 62
    return n * m if <double> n * <double> m < most else most


cdef inline int64_t all_pairs(const Job* job) noexcept nogil:
    cdef int64_t n = job.X.rows
    return pairs_of_rows(n, rows_of_Y(job)) if is_apart(job) else pairs_of_rows(n, n + 1) // 2


cdef int run_part(Job* job, Py_ssize_t rows_X, Py_ssize_t rows_Y, Block** held,
                  object watch) except -1:
    """Every superblock of a part in turn; returns the status."""
    cdef Py_ssize_t i = job.from_X, j
    cdef int status = 0, now, misses = 0
    cdef int64_t met                 # pairs of the rows of X at hand that the watch was told of
    cdef int64_t count
    cdef size_t needed
    while i < job.stop_X:
        job.PX.first = i
        job.PX.count = at_most(rows_X, job.stop_X - i)
        job.X_packed = False
        start_rows(job)
        met = 0
        j = first_column(job)
        while j < job.stop_Y:
            job.diagonal = job.same and i == j
            job.PY.first = j
            turn_screen(job, watch)
            turn_heads(job, watch)
            job.PY.count = at_most(screened_rows(job, rows_X, rows_Y), job.stop_Y - j)
            needed = plan(job, NULL)
            if held[0] == NULL or needed > held[0].size:
                block_release(held[0])
                held[0], job.X_packed = NULL, False
                held[0] = allocate(needed, FOR_PANELS)
            plan(job, held[0].memory)
            count_headed(job)
            now = run_superblock(job)
            status |= now & ~TOO_CLOSE
            if watch is None:
                if status & CARE:
                    return status
            else:
                if now & ~TOO_CLOSE:
                    watch.found(now & ~TOO_CLOSE,
                                count_pairs(job.pairs) if job.pairs != NULL else 0)
                if now & TOO_CLOSE:
                    undo_screened(job)
                    continue
                if now & CARE and not job.careful:
                    # once more; a task that packs its own part of Y has used the rest of it
                    job.careful, job.X_packed = True, False
                    if job.streamed:
                        begin_part(job, 0)       # the only one
                        start_rows(job)
                        watch.again(met)
                        met = 0
                        j = first_column(job)
                    continue
                count = (job.PX.count * (job.PX.count + 1) // 2 if job.diagonal
                         else job.PX.count * job.PY.count)
                met += count
                watch.did(count, all_pairs(job),
                          count_pairs(job.pairs) if job.pairs != NULL else 0)
            if job.pairs != NULL:
                job.pairs.task += tasks_of(job)
            j += job.PY.count
        if job.best != NULL and any_too_short(job.best, job.PX.count):
            job.best.expected, job.screen_from = False, -1
            misses += 1
            watch.again(met)
            continue
        finish_rows_of_X(job, watch)
        if 0 < misses < MISSES and not job.best.expected:
            job.best.expected, job.screen_from = True, 0
        i += job.PX.count
    return status


cdef int run(Job* job, object watch) except -1:
    """All of the work; returns the status.

    Without a `watch`, rows that need care end the work. A watch is told of what was found, so that
    it may raise, and the work goes on, carefully: the same bits for all other rows.
    """
    cdef Py_ssize_t rows_X, rows_Y, part
    cdef int status = 0
    cdef Block* held = NULL
    cdef Block* lists = NULL
    choose_rows(job, &rows_X, &rows_Y)
    try:
        if job.best != NULL:
            job.best.rows = job.Y.rows if job.same else rows_X
            if job.block > 0:
                job.best.rows = 2 * job.block
            lists = allocate(carve_lists(job.best, NULL), FOR_LISTS)
            carve_lists(job.best, lists.memory)
        for part in range(parts_of(job)):
            begin_part(job, part)
            status |= run_part(job, rows_X, rows_Y, &held, watch)
            if watch is None and status & CARE:
                break
            end_part(job)
        return status
    finally:
        block_release(held)
        block_release(lists)
        drop_heads(job)
