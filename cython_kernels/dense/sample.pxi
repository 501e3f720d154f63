# Limits that are expected: where k is large, a sample of Y, every so many rows, tells what the k-th
# best of each row will be, and a little less than that is the row's limit from the start.
#
# takes: pack.pxi, top_k.pxi, plan.pxi, screen.pxi, full.pxi, vectors.h
# gives: MISSES, can_expect, expect_limits, expected_limit, any_too_short
#
# A list of the best k so far takes in k ln(m / k) entries, and until it has met a good part of Y
# its limit is low and the screen lets too much through. A row that ends with less than k entries
# shows that what was expected was too high: its superblock is done once more, without.

cdef enum:
    MANY = 192                   # neighbours
    SAMPLED = 64                 # of the best k in the sample; fewer where it would be more than
    SAMPLE_PART = 13             # such a part of Y
    MISSES = 2                   # superblocks whose limits were too high: no more are expected


cdef inline Py_ssize_t sample_step(const Best* best) noexcept nogil:
    # prime to the periods that rows often have
    cdef Py_ssize_t step = at_least(SAMPLE_PART, best.k // SAMPLED)
    while step % 2 == 0 or step % 3 == 0 or step % 5 == 0 or step % 7 == 0:
        step += 1
    return step


cdef inline Py_ssize_t sample_k(const Best* best) noexcept nogil:
    # five standard deviations and more: at most two rows in ten million end too short (binomial)
    cdef Py_ssize_t hits = best.k // sample_step(best)
    return hits + <Py_ssize_t> ceil(5 * sqrt(<double> hits)) + 6


cdef bint can_expect(const Job* job) noexcept nogil:
    """Whether limits from a sample let the screen pay from the start."""
    return (job.best.k >= MANY and not job.same and job.best.floors == NULL
            and sample_k(job.best) * sample_step(job.best)
            * columns_each(job) <= job.Y.rows)


cdef int expect_limits(const Job* job, object watch) except -1:
    """In the last column of the results: probably less than the row's k-th best similarity."""
    cdef Job sample = job[0]
    cdef Best best = job.best[0]
    cdef Py_ssize_t step = sample_step(job.best)
    best.k = best.places = sample_k(job.best)
    best.room = room_for(best.k)
    # a row's best go to the same place, the last of them last; the results' indices are overwritten
    best.similarities.data += (job.best.k - 1) * best.similarities.column_stride
    best.similarities.column_stride = 0
    best.exclude_self = False
    sample.best = &best
    sample.Y.rows = best.columns = job.Y.rows // step
    sample.Y.row_stride = job.Y.row_stride * step
    sample.screen_from = screen_start(&sample) if best.least > -2 else -1
    run(&sample, watch.silent())
    job.best.expected = True
    return 0


cdef real expected_limit(const Best* best, Py_ssize_t row) noexcept nogil:
    cdef real limit = result_at(best, result_row(best, row), best.k - 1)
    return limit if limit == limit else -2


cdef bint any_too_short(const Best* best, Py_ssize_t rows) noexcept nogil:
    """Whether a limit that was expected was too high."""
    cdef Py_ssize_t row
    for row in range(rows if best.expected else 0):
        # who had no limit has all there are
        if best.count[row] < best.k and best.limit[row] > best.least:
            return True
    return False
