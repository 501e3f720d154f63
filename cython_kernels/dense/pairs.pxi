# Pairs: every thread keeps the pairs that it finds, in the order of its tasks; a run is what one
# task found. For any row, tasks by number meet ascending columns, so runs in order of superblock
# and task, dealt out to their rows, are sorted.
#
# takes: kernels.pyx, pack.pxi, tile.pxi, reduce.pxi, most.pxi, vectors.h, bits.h, openmp.h
# gives: OUT_OF_MEMORY, MATCHES, Match, Found, Pairs, start_run, end_run, add_match, after_diagonal,
#        collect_panel, count_pairs, drop_pairs, drop_most, pass_on

cdef enum:
    OUT_OF_MEMORY = 4                # a status: a pair could not be kept
    MATCHES = 1 << 12                # that wait, where only the most similar ones are kept

cdef struct Match:
    real similarity
    int32_t row                  # of the superblock
    int64_t column

cdef struct Run:
    int64_t task                 # numbered through all superblocks
    Py_ssize_t first, count
    const Buffer* matches

cdef struct Found:               # a thread's own
    Buffer matches, runs
    Py_ssize_t run               # where the run at hand began
    size_t matches_before, runs_before     # bytes in use before the superblock at hand
    Buffer best, spare           # most.pxi
    char apart[64]               # from the next thread's cache line

cdef struct Pairs:
    Py_ssize_t most              # as many as are wanted, the most similar ones (most.pxi); 0: all
    real limit                   # rises where not all are wanted
    real retry                   # the screen is tried once more when the limit has come so far
    char guard                   # of the limit
    bint single                  # as for top-k
    Py_ssize_t first             # the superblock's first row of X
    int64_t task                 # number of the superblock's first task
    int threads
    Found* found


cdef void start_run(Found* found) noexcept nogil:
    found.run = found.matches.used // sizeof(Match)


cdef int end_run(Found* found, int64_t task) noexcept nogil:
    cdef Py_ssize_t count = found.matches.used // sizeof(Match) - found.run
    cdef Run* run
    if count == 0:
        return 0
    if not reserve(&found.runs, sizeof(Run)):
        return OUT_OF_MEMORY
    run = <Run*> (found.runs.data + found.runs.used)
    run.task, run.first, run.count, run.matches = task, found.run, count, &found.matches
    found.runs.used += sizeof(Run)
    return 0


cdef inline void add_match(Found* found, real similarity, Py_ssize_t row,
                           int64_t column) noexcept nogil:
    # there is room
    cdef Match* match = <Match*> (found.matches.data + found.matches.used)
    match.similarity, match.row, match.column = similarity, <int32_t> row, column
    found.matches.used += sizeof(Match)


cdef inline uint64_t after_diagonal(Py_ssize_t place, Py_ssize_t columns) noexcept nogil:
    # of up to GROUP or SCREEN_COLUMNS bits those behind `place`
    if place + 1 >= columns:
        return 0
    return ~<uint64_t> 0 << at_least(0, place + 1)


cdef int collect_panel(Pairs* pairs, Found* found, const vec* totals, Py_ssize_t rows,
                       Py_ssize_t columns, const Pack* X, Py_ssize_t i, const Pack* Y,
                       Py_ssize_t j, bint diagonal) noexcept nogil:
    """Keeps the pairs among rows x columns; on the diagonal those with row < column."""
    cdef real line[GROUP]
    cdef Py_ssize_t r
    cdef uint64_t bits, unused
    cdef int c
    for r in range(rows):
        bits = passing(totals + r * TILE_PANELS * VECS, columns, X, i + r, Y, j, pairs.single,
                       load_acquire(&pairs.limit), NULL, &unused, line)
        if diagonal:
            bits &= after_diagonal(i + r - j, columns)
        if bits == 0:
            continue
        if not reserve(&found.matches, GROUP * sizeof(Match)):
            return OUT_OF_MEMORY
        while bits:
            c = first_bit(bits)
            bits &= bits - 1
            add_match(found, line[c], i + r, Y.first + j + c)
    if pairs.most and found.matches.used >= MATCHES * sizeof(Match):
        return keep_most(pairs, found)
    return 0


cdef Py_ssize_t count_pairs(const Pairs* pairs) noexcept nogil:
    cdef Py_ssize_t count = 0
    cdef int thread
    for thread in range(pairs.threads):
        count += pairs.found[thread].matches.used // sizeof(Match)
    return count


cdef void drop_pairs(Pairs* pairs) noexcept nogil:
    cdef int thread
    for thread in range(pairs.threads):
        drop(&pairs.found[thread].matches)
        drop(&pairs.found[thread].runs)


cdef void drop_most(Pairs* pairs) noexcept nogil:
    cdef int thread
    for thread in range(pairs.threads):
        drop(&pairs.found[thread].best)
        drop(&pairs.found[thread].spare)


cdef int by_task(const void* a, const void* b) noexcept nogil:
    cdef int64_t task_a = (<const Run*> a).task, task_b = (<const Run*> b).task
    return (task_a > task_b) - (task_a < task_b)


cdef bint sorted_runs(const Pairs* pairs, Buffer* runs) noexcept nogil:
    cdef const Buffer* own
    cdef int thread
    for thread in range(pairs.threads):
        own = &pairs.found[thread].runs
        if own.used == 0:
            continue
        if not reserve(runs, own.used):
            return False
        memcpy(runs.data + runs.used, own.data, own.used)
        runs.used += own.used
    if runs.used > 0:
        qsort(runs.data, runs.used // sizeof(Run), sizeof(Run), by_task)
    return True


cdef void deal_out(const Buffer* runs, Py_ssize_t first_row, int64_t* place, int64_t* rows,
                   int64_t* columns, Output* similarities) noexcept nogil:
    """The matches of the runs to the results; `place`: where each row's pairs begin."""
    cdef const Run* run
    cdef const Match* match
    cdef Py_ssize_t q, i
    cdef int64_t at
    for q in range(<Py_ssize_t> (runs.used // sizeof(Run))):
        run = <const Run*> runs.data + q
        for i in range(run.first, run.first + run.count):
            match = <const Match*> run.matches.data + i
            at = place[match.row]
            place[match.row] += 1
            rows[at] = first_row + match.row
            columns[at] = match.column
            put(similarities, 0, at, 1, &match.similarity)


cdef int pass_on(Pairs* pairs, const Pack* X, object watch) except -1:
    """The pairs of a superblock's rows of X to the results that `watch` makes room in."""
    cdef Py_ssize_t count = count_pairs(pairs), thread, i
    cdef int64_t[::1] rows, columns
    cdef unsigned char[:, :, :] similarities
    cdef Output out
    cdef Buffer runs, places
    cdef int64_t* place
    cdef int64_t before = 0, own
    if pairs.most:
        return keep_all_most(pairs, watch)
    if count == 0:
        return 0
    rows, columns, similarities = watch.room(count)
    out = output_of(similarities, False)
    memset(&runs, 0, sizeof(runs))
    memset(&places, 0, sizeof(places))
    try:
        if not sorted_runs(pairs, &runs) or not reserve(&places, X.count * sizeof(int64_t)):
            watch.no_memory(0)
        place = <int64_t*> places.data
        memset(place, 0, X.count * sizeof(int64_t))
        for thread in range(pairs.threads):
            for i in range(<Py_ssize_t> (pairs.found[thread].matches.used // sizeof(Match))):
                place[(<Match*> pairs.found[thread].matches.data)[i].row] += 1
        for i in range(X.count):
            own = place[i]
            place[i] = before
            before += own
        with nogil:
            deal_out(&runs, X.first, place, &rows[0], &columns[0], &out)
    finally:
        drop(&runs)
        drop(&places)
        drop_pairs(pairs)
    return 0
