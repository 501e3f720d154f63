# Blocks: where Y is X, half of the products are enough for top-k, if the rows of both sides have
# lists. Where there is no room for those of all rows, two blocks of rows have lists at a time:
# first each block meets itself, so that all rows have limits, then every two blocks meet. The lists
# of the others wait in the results, which have room for the best k.
#
# takes: pack.pxi, top_k.pxi, plan.pxi, directions.pxi, cascade.pxi, vectors.h, openmp.h
# gives: rows_of_block, parts_of, meet_all_rows, begin_part, end_part

cdef double BLOCK_WORK = 1 << 30     # multiply-adds of two blocks, at least: lists move for them


cdef Py_ssize_t rows_of_block(const Job* job) noexcept nogil:
    """The rows of a block; 0: there is room for the lists of all, or blocks would not pay."""
    cdef Py_ssize_t n = job.X.rows, most = most_lists(job) // 2 // GROUP * GROUP
    if forced.block > 0 and job.first_Y == 0:
        return rounded(forced.block) if rounded(forced.block) < n else 0
    if (job.first_Y > 0 or n <= most_lists(job)
            or <double> most * most * job.X.features < BLOCK_WORK):
        return 0
    return rounded(ceil_div(n, ceil_div(n, most)))


cdef inline Py_ssize_t parts_of(const Job* job) noexcept nogil:
    """How many parts of the work come one after the other: pairs of blocks."""
    cdef Py_ssize_t blocks = 1 if job.block == 0 else ceil_div(job.X.rows, job.block)
    return blocks * (blocks + 1) // 2


cdef void meet_all_rows(Job* job) noexcept nogil:
    """All rows meet in one part."""
    job.from_X, job.stop_X = 0, job.X.rows
    job.from_Y, job.stop_Y = job.first_Y, job.Y.rows
    job.limited = False


cdef void blocks_that_meet(const Job* job, Py_ssize_t part, Py_ssize_t* x,
                           Py_ssize_t* y) noexcept nogil:
    """Which two meet: (0, 0), (1, 1), ..., then (0, 1), (0, 2), ..., (1, 2), ..."""
    cdef Py_ssize_t blocks = ceil_div(job.X.rows, job.block)
    x[0] = y[0] = part
    if part >= blocks:
        part -= blocks
        x[0] = 0
        while part >= blocks - 1 - x[0]:
            part -= blocks - 1 - x[0]
            x[0] += 1
        y[0] = x[0] + 1 + part


cdef void begin_part(Job* job, Py_ssize_t part) noexcept nogil:
    """The rows that meet in a part, with lists where Y is X."""
    cdef Best* best = job.best
    cdef Py_ssize_t x, y, list, rows
    meet_all_rows(job)
    if best != NULL:
        best.first = best.second = 0
        best.split = best.rows
    if job.block > 0:
        blocks_that_meet(job, part, &x, &y)
        job.from_X, job.from_Y = x * job.block, y * job.block
        job.stop_X = at_most(job.from_X + job.block, job.X.rows)
        job.stop_Y = at_most(job.from_Y + job.block, job.Y.rows)
        job.limited = x < y
        best.first = best.second = job.from_X
        if x < y:
            best.split = job.stop_X - job.from_X
            best.second = job.from_Y - best.split
            if y == x + 1:           # limits have risen: heads may pay now
                job.heads_from = heads_start(job)
            # those of X are there already, if they have met the block before
            rows = best.split if part > 0 and y > x + 1 else 0
            for list in prange(rows, best.split + job.stop_Y - job.from_Y, schedule="guided",
                               chunksize=64, num_threads=threads_in(job.process, job.threads)):
                wake_list(best, list)
            return
    if best != NULL and job.same:
        reset_lists(best, lists_in_use(job))


cdef inline Py_ssize_t lists_in_use(const Job* job) noexcept nogil:
    if job.block == 0:
        return job.best.rows
    return job.stop_X - job.from_X + (job.stop_Y - job.from_Y if job.limited else 0)


cdef void end_part(Job* job) noexcept nogil:
    """Lists to the results, for good where their rows have met all others."""
    cdef Py_ssize_t list
    if job.best == NULL or not job.same:
        return
    for list in prange(lists_in_use(job), schedule="guided", chunksize=64,
                       num_threads=threads_in(job.process, job.threads)):
        end_list(job, list)


cdef inline void end_list(const Job* job, Py_ssize_t list) noexcept nogil:
    cdef Best* best = job.best
    cdef bint of_X = list < best.split, last = job.stop_Y == job.Y.rows
    if job.block == 0 or (job.limited and last and (of_X or job.stop_X == job.from_Y)):
        finish_row(best, list)
    elif not (job.limited and of_X):     # which meet the next block
        rest_list(best, list)
