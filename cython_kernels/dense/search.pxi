# The two reductions by what is kept of Y (prepared.pxi): of every row the panels are read, of those
# that are left the further lines of their heads, and of what is left then the row itself.
#
# takes: kernels.pyx, source.pxi, pack.pxi, top_k.pxi, pairs.pxi, plan.pxi, screen.pxi,
#        directions.pxi, heads.pxi, full.pxi, prepared.pxi, distances.pxi, likely.pxi, vectors.h,
#        panels.h, bits.h, memory.h, openmp.h
# gives: search
#
# For top-k, the rows that are nearest by their panels, and of these by all lines, are settled
# first: their k-th best is a limit from the start, a low one at worst. Queries go in batches, whose
# parts of the panels stay in the cache. Where there is room, distances by panels are kept; else
# those of likely rows are (likely.pxi). Queries whose limit lets pass more than these are left:
# they find distances once more.

cdef double MOST_NEAR = 0.2      # of the rows: where more are left, many queries do without

cdef enum:
    MANY_QUERIES = 256           # of a call
    MOST_QUERIES = 256           # of a batch
    DISTANCES = 32 << 20         # bytes of them that are kept
    GATHERED = 4                 # fewer than one row in so many is read one by one
    LIKELY = 200                 # rows for each of k, at least 10 of k, that wait for their limit
    LIKELY_PART = 8              # no more than one row in so many
    FEWEST_LISTED = 32           # queries whose likely rows there is room for
    LISTED_WORDS = 1 << 14       # of a batch of these, for the cache beside a task's panels


cdef void start_query(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """The heads of one query of the batch, whose norm is known."""
    cdef const Kept* kept = s.kept
    cdef const Source* X = &s.job.X
    cdef real dots[DIRECTIONS]
    cdef Py_ssize_t features = X.features, lines = kept.directions.lines, b, k
    cdef real* row = <real*> (s.scratch + thread * s.scratch_size)
    cdef int32_t* words = s.every.words + q * kept.words
    cdef int32_t* square = s.every.square + q
    cdef int32_t start
    cdef int step = query_step(vnni)
    if lines > 0:
        for b in range(ceil_div(features, BLOCK)):
            convert(X, s.job.PX.first + q, b * BLOCK, block_length(features, b), row + b * BLOCK)
        for k in range(lines * HEAD):
            dots[k] = quick_dot(row, kept.directions.rows + k * features, features)
        round_head(&s.X, &kept.directions, dots, q, s.X.norm2[q] == 0, step)
        memcpy(words, s.X.line + q * lines * HEAD, HEAD)
        square[0], s.error[q] = s.X.square[q * lines], s.X.error[q * (1 + lines) + 1]
    else:
        round_axes(X, s.job.PX.first + q, 0 if s.X.norm2[q] == 0 else s.X.inverse[q],
                   kept.directions.unit[0], kept.words, <int8_t*> words, square, &start,
                   s.error + q, step)
    for k in range(kept.words):
        words[k] = query_word(words[k], step)
    s.every.query[q] = <int32_t> q


cdef int start_queries(const Search* s) noexcept nogil:
    cdef Job* job = s.job
    cdef Source part = job.X
    cdef Py_ssize_t p, q
    cdef int status = 0
    part.data += job.PX.first * part.row_stride
    part.rows = job.PX.count
    for p in range(ceil_div(part.rows, PANEL)):
        status |= measure_panel(&part, p * PANEL, &s.X)
    if status & CARE:
        return status
    for q in prange(job.PX.count, schedule="dynamic", chunksize=4,
                    num_threads=threads_in(job.process, job.threads if job.PX.count > 4 else 1)):
        start_query(s, q, omp_get_thread_num())
    return status


cdef void first_limit(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """The limit of a query by the rows that are nearest by their panels; all there is to be found
    of a zero row."""
    cdef Best* best = s.job.best
    cdef const int32_t* least = s.least + q * s.blocks
    cdef const int32_t* at
    cdef int32_t* scratch = s.scratch + thread * s.scratch_size
    cdef Likely* some = <Likely*> scratch
    cdef int32_t own[NEAR_ROWS]
    cdef Py_ssize_t wanted = first_rows(s), block, taken = 0, place
    cdef int32_t bar
    cdef uint64_t bits
    cdef int r
    cdef Waiting waiting
    waiting.count = 0
    if s.X.norm2[q] == 0:
        place = 0
        while taken < best.k and place < s.places:
            if s.allowed == NULL or s.allowed[place // NEAR_ROWS] >> (place % NEAR_ROWS) & 1:
                settle_row(s, q, place, &waiting, thread)
                taken += 1
            place += 1
        settle_waiting(s.job, &waiting, thread)
        return
    if s.likely > 0:
        meet_likely(s, q, thread)
        return
    if s.blocks < 4 * wanted:        # they are kept, then
        memcpy(scratch, s.distances + q * s.blocks * NEAR_ROWS,
               s.blocks * NEAR_ROWS * sizeof(int32_t))
        bar = nth_least(scratch, s.blocks * NEAR_ROWS, at_most(wanted, s.places) - 1)
    else:
        memcpy(scratch, least, s.blocks * sizeof(int32_t))
        bar = nth_least(scratch, s.blocks, wanted - 1)
    bar = bar if bar < NOWHERE else NOWHERE - 1
    for block in range(s.blocks):
        if least[block] > bar or taken >= 4 * wanted:
            continue
        if s.distances != NULL:
            at = s.distances + (q * s.blocks + block) * NEAR_ROWS
        else:
            find_distances(s, q, 1, block, own)
            at = own
        bits = near_bits(at, bar)
        while bits:
            r = first_bit(bits)
            bits &= bits - 1
            some[taken].place = <int32_t> (block * NEAR_ROWS + r)
            some[taken].distance = at[r]
            taken += 1
    settle_nearest(s, q, some, taken, scratch + 2 * taken, &waiting, thread)
    settle_waiting(s.job, &waiting, thread)
    if best.count[q] >= best.k:
        keep_best(best, q)
    forget(best, q, 0, s.job.Y.rows)     # they come once more


cdef void near_task(const Search* s, Py_ssize_t task, int thread) noexcept nogil:
    """Who of a task's blocks may belong to the result of those that are left is met."""
    cdef Py_ssize_t first = task * TASK_BLOCKS, block, some, j, q
    cdef Py_ssize_t stop = at_most(first + TASK_BLOCKS, s.blocks)
    cdef Listed lists[NEAR_QUERIES]
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef int32_t bars[NEAR_QUERIES]
    cdef const Scanned* left = s.left
    cdef const int32_t* at
    cdef int32_t distance
    cdef uint64_t bits
    cdef uint64_t near[NEAR_QUERIES]
    cdef Waiting waiting
    cdef int queries, i, r
    waiting.count = 0
    for some in range(ceil_div(left.count, NEAR_QUERIES)):
        j = some * NEAR_QUERIES
        queries = <int> at_most(NEAR_QUERIES, left.count - j)
        for i in range(queries):
            q = left.query[j + i]
            lists[i].count = 0
            # of a zero row all is found
            bars[i] = bar_of(s, q) if s.X.norm2[q] != 0 else -NOWHERE
        for block in range(first, stop):
            if s.distances == NULL:
                find_near(s, left, j, queries, block, bars, own, near)
            for i in range(queries):
                q = left.query[j + i]
                at = NULL
                if s.distances != NULL:
                    if s.least[q * s.blocks + block] > bars[i]:
                        continue
                    at = s.distances + (q * s.blocks + block) * NEAR_ROWS
                    near[i] = near_bits(at, bars[i])
                bits = near[i]
                while bits:
                    r = first_bit(bits)
                    bits &= bits - 1
                    distance = distance_at(s, left, j, i, block, r, own) if at == NULL else at[r]
                    list_place(s, q, block * NEAR_ROWS + r, distance, &lists[i], &waiting, thread)
        for i in range(queries):
            meet_listed(s, left.query[j + i], &lists[i], &waiting, thread)
    settle_waiting(s.job, &waiting, thread)


cdef double share_near(const Search* s) noexcept nogil:
    """What part of the rows panels leave to these queries, of which there are NEAR_QUERIES and
    more, by a sample, where limits are known."""
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef int32_t bars[NEAR_QUERIES]
    cdef uint64_t near[NEAR_QUERIES]
    cdef Py_ssize_t last = s.job.PX.count - NEAR_QUERIES, left = 0, b, q
    cdef int i
    for b in range(SAMPLED_BLOCKS):
        q = b * last // SAMPLED_BLOCKS
        for i in range(NEAR_QUERIES):
            bars[i] = bar_of(s, q + i)
        find_near(s, s.every, q, NEAR_QUERIES, b * s.blocks // SAMPLED_BLOCKS, bars, own, near)
        left += count_bits(near, NEAR_QUERIES, False)
    return <double> left / (SAMPLED_BLOCKS * NEAR_QUERIES * NEAR_ROWS)


cdef void run_task(const Search* s, Py_ssize_t task, int thread) noexcept nogil:
    cdef Pairs* pairs = s.job.pairs
    if pairs != NULL:
        start_run(&pairs.found[thread])
    near_task(s, task, thread)
    if pairs != NULL and end_run(&pairs.found[thread], pairs.task + task):
        s.job.status[thread * LINE] |= OUT_OF_MEMORY


cdef void search_batch(const Search* s) noexcept nogil:
    cdef Job* job = s.job
    cdef Py_ssize_t tasks = ceil_div(s.blocks, TASK_BLOCKS), t, q
    with parallel(num_threads=threads_in(job.process, job.threads)):
        if s.likely > 0:
            for q in prange(ceil_div(job.PX.count, NEAR_QUERIES), schedule="dynamic"):
                likely_bars(s, q * NEAR_QUERIES, omp_get_thread_num())
            wait_for_all()
            for t in prange(tasks, schedule="dynamic"):
                likely_task(s, t, omp_get_thread_num())
            wait_for_all()
        elif job.best != NULL:
            for t in prange(tasks, schedule="dynamic"):
                distances_task(s, t)
            wait_for_all()
        if job.best != NULL:
            for q in prange(job.PX.count, schedule="dynamic"):
                first_limit(s, q, omp_get_thread_num())
            wait_for_all()
        for t in prange(tasks, schedule="dynamic"):
            run_task(s, t, omp_get_thread_num())


cdef size_t carve_search(Search* s, Py_ssize_t batch, bint stored, char* memory) noexcept nogil:
    cdef char* start = memory
    cdef Job* job = s.job
    cdef Py_ssize_t lines = s.kept.directions.lines, rows = ceil_div(batch, PANEL) * PANEL
    cdef Py_ssize_t i
    cdef Heads* h = &s.X
    cdef Scanned* of
    h.line = <int8_t*> carve(&memory, rows * lines * HEAD)
    h.square = <int32_t*> carve(&memory, rows * lines * sizeof(int32_t))
    h.raised = <int32_t*> carve(&memory, rows * lines * sizeof(int32_t))
    h.error = <float*> carve(&memory, rows * (1 + lines) * sizeof(float))
    h.norm2 = <real*> carve(&memory, rows * sizeof(real))
    h.inverse = <real*> carve(&memory, rows * sizeof(real))
    h.rest = <real*> carve(&memory, rows * sizeof(real))
    for i in range(2 if s.likely > 0 else 1):
        of = s.left if i else s.every
        of.query = <int32_t*> carve(&memory, batch * sizeof(int32_t))
        of.words = <int32_t*> carve(&memory, batch * s.kept.words * sizeof(int32_t))
        of.square = <int32_t*> carve(&memory, batch * sizeof(int32_t))
    s.error = <float*> carve(&memory, batch * sizeof(float))
    s.distances = s.least = NULL
    if s.likely > 0:
        s.bars = <int32_t*> carve(&memory, batch * sizeof(int32_t))
        s.listed = <Likelies*> carve(&memory, ceil_div(s.blocks, TASK_BLOCKS) * batch
                                     * sizeof(Likelies))
        s.rows = <Likely*> carve(&memory, s.likely_room * sizeof(Likely))
        s.used = <Py_ssize_t*> carve(&memory, (job.threads + 1) * LINE * sizeof(Py_ssize_t))
    elif job.best != NULL:
        s.least = <int32_t*> carve(&memory, batch * s.blocks * sizeof(int32_t))
    if stored:
        s.distances = <int32_t*> carve(&memory, batch * s.blocks * NEAR_ROWS * sizeof(int32_t))
    if s.numbers != NULL and not s.gathered:
        s.allowed = <uint64_t*> carve(&memory, s.blocks * sizeof(uint64_t))
    s.scratch = <int32_t*> carve(&memory, job.threads * s.scratch_size * sizeof(int32_t))
    job.status = <int*> carve(&memory, LINE * sizeof(int) * job.threads)
    return memory - start


cdef int search(Job* job, const Kept* kept, const int64_t[::1] numbers, object watch) except -1:
    """The reduction of `job` by what is kept of Y's rows, or of those of these numbers. CARE: rows
    of X need it, or it would take longer so, and nothing has come of it."""
    cdef Search s
    cdef Scanned every, left
    cdef char guard = 0
    cdef Block* held
    cdef Block* lists = NULL
    cdef Py_ssize_t n = job.X.rows, batch, block_bytes, listed, i, first = 0
    cdef bint stored
    cdef int status = 0
    if (job.best != NULL and numbers is None and kept.directions.lines == 0
            and n > whole_queries(vnni)):
        return CARE                  # the screen takes less time
    memset(&s, 0, sizeof(s))
    s.job, s.kept, s.places = job, kept, job.Y.rows
    s.every = s.left = &every
    s.guard = &guard
    if job.best != NULL:
        size_lists(job.best, job.Y.rows)
    if numbers is not None:
        s.numbers = &numbers[0]
        s.gathered = numbers.shape[0] < s.places // GATHERED
        if s.gathered:
            s.places = numbers.shape[0]
    s.blocks = ceil_div(s.places, NEAR_ROWS)
    s.scratch_size = at_least(s.blocks, ceil_div(job.X.features, LINE) * LINE
                              * <Py_ssize_t> (sizeof(real) // sizeof(int32_t)))
    block_bytes = s.blocks * NEAR_ROWS * sizeof(int32_t)
    batch = at_most(n, MOST_QUERIES)
    stored = job.best != NULL and batch * block_bytes <= DISTANCES
    if job.best != NULL:
        batch = at_most(batch, at_least(1, most_lists(job)))
        if s.blocks < 4 * first_rows(&s):
            batch = at_most(batch, at_least(1, DISTANCES // block_bytes))
            stored, s.scratch_size = True, at_least(s.scratch_size, s.blocks * NEAR_ROWS)
        else:
            batch = at_most(batch, at_least(1, DISTANCES // (block_bytes // NEAR_ROWS)))
            s.likely = LIKELY * at_least(10, job.best.k)
            # half as many again have room, and six numbers of each twice as many of one query
            listed = DISTANCES // (s.likely * 3 // 2 * <Py_ssize_t> sizeof(Likely)
                                   + ceil_div(s.blocks, TASK_BLOCKS)
                                   * <Py_ssize_t> sizeof(Likelies))
            if stored or s.likely * LIKELY_PART > s.places or listed < FEWEST_LISTED:
                s.likely = 0
            else:
                batch = at_most(n, at_least(MOST_QUERIES, LISTED_WORDS // kept.words))
                batch = at_most(batch, at_most(listed, at_least(1, most_lists(job))))
                s.likely_room = (batch * s.likely * 3 // 2
                                 + job.threads * (LIKELY_AT_ONCE + NEAR_QUERIES * LIKELY_OF_TASK))
                s.scratch_size = at_least(at_least(s.scratch_size, 6 * s.likely),
                                          2 * NEAR_QUERIES * LIKELY_OF_TASK)
    if s.likely > 0:
        s.left = &left
    if job.best != NULL:             # room for some rows: `settle_nearest`
        s.scratch_size = at_least(s.scratch_size, 4 * (4 * first_rows(&s) + NEAR_ROWS))
    held = allocate(carve_search(&s, batch, stored, NULL), FOR_HEADS)
    try:
        carve_search(&s, batch, stored, held.memory)
        if s.allowed != NULL:
            memset(s.allowed, 0, s.blocks * sizeof(uint64_t))
            for i in range(numbers.shape[0]):
                s.allowed[numbers[i] // NEAR_ROWS] |= <uint64_t> 1 << (numbers[i] % NEAR_ROWS)
        memset(job.status, 0, LINE * sizeof(int) * job.threads)
        if job.best != NULL:
            job.best.rows = batch
            lists = allocate(carve_lists(job.best, NULL), FOR_LISTS)
            carve_lists(job.best, lists.memory)
            job.best.shared = job.threads > 1
        job.PX.source, job.PY.source = &job.X, &job.Y
        job.PX.norm2, job.PX.inverse, job.PX.rest = s.X.norm2, s.X.inverse, s.X.rest
        job.PY.norm2, job.PY.inverse = kept.heads.norm2, kept.heads.inverse
        job.PY.rest, job.PY.count = kept.heads.rest, job.Y.rows
        while first < n:
            job.PX.first, job.PX.count = first, at_most(batch, n - first)
            with nogil:
                status |= start_queries(&s)
            if status & CARE or (status & ZERO_ROW and job.zero_inverse != 0):
                return status | CARE
            if (job.pairs != NULL and n >= MANY_QUERIES and first == 0
                    and share_near(&s) > MOST_NEAR):
                return status | CARE     # the screen takes less time
            start_rows(job)
            every.count, left.count = job.PX.count, 0
            if s.likely > 0:
                memset(s.used, 0, (job.threads + 1) * LINE * sizeof(Py_ssize_t))
            with nogil:
                search_batch(&s)
            status |= found(job)
            watch.found(status, count_pairs(job.pairs) if job.pairs != NULL else 0)
            if job.pairs != NULL:
                job.pairs.task += ceil_div(s.blocks, TASK_BLOCKS)
            finish_rows_of_X(job, watch)
            first += job.PX.count
            watch.did(job.PX.count * s.places, pairs_of_rows(n, s.places), 0)
            PyErr_CheckSignals()
        return status
    finally:
        block_release(held)
        block_release(lists)
