# Pairs of full rows by dense kernels: these get the rows as dense ones of norm 1, in float, and
# what they find, of a threshold a little lower, is compared exactly here.
#
# takes: sparse.pyx, rows.pxi, top_k.pxi, openmp.h
# gives: write_images, settle_found

cdef enum:
    SETTLED = 64                     # pairs that a thread compares at a time


def write_images(Rows X, Py_ssize_t first, float[:, ::1] to, int threads):
    """to[i] = row first + i, of norm 1; `to` is zeros before, and stays so where it has none."""
    cdef Py_ssize_t i
    cdef Team team
    begin(&team, X.table.longest, 0, 0, threads)
    for i in prange(to.shape[0], nogil=True, num_threads=threads, schedule="guided",
                    chunksize=16):
        write_image(&X.table, first + i, &to[i, 0], &(team.of + omp_get_thread_num()).x)
    end(&team)


cdef void write_image(const Table* t, Py_ssize_t i, float* to, Entries* row) noexcept nogil:
    cdef Py_ssize_t k
    cdef double inverse = t.inverse[i]
    read_row(t, i, row)
    for k in range(row.count):
        to[row.feature[k]] = <float> (row.value[k] * inverse)


def settle_found(Rows X, Rows Y, Py_ssize_t first_X, Py_ssize_t first_Y, bint wide, bint narrow,
                 double threshold, int64_t[::1] rows, int64_t[::1] columns,
                 value_t[::1] similarities, int threads):
    """The pairs whose similarity reaches the threshold come first, in the order that they have;
    returns how many these are. Rows and columns are given from the two first on."""
    cdef Py_ssize_t part, count = rows.shape[0], k, n = 0
    cdef Team team
    begin(&team, max(X.table.longest, Y.table.longest), X.table.features, 0, threads)
    for part in prange((count + SETTLED - 1) // SETTLED, nogil=True, num_threads=threads,
                       schedule="guided", chunksize=1):
        compare_found(&X.table, &Y.table, first_X, first_Y, wide, &rows[part * SETTLED],
                      &columns[part * SETTLED], &similarities[part * SETTLED],
                      min(<Py_ssize_t> SETTLED, count - part * SETTLED),
                      team.of + omp_get_thread_num())
    end(&team)
    for k in range(count):
        rows[n], columns[n], similarities[n] = rows[k], columns[k], similarities[k]
        n += given(similarities[k], narrow) >= threshold
    return n


cdef void compare_found(const Table* X, const Table* Y, Py_ssize_t first_X, Py_ssize_t first_Y,
                        bint wide, int64_t* rows, int64_t* columns, value_t* similarities,
                        Py_ssize_t count, Scratch* s) noexcept nogil:
    cdef Py_ssize_t k
    cdef int64_t i = -1
    for k in range(count):
        rows[k] += first_X
        columns[k] += first_Y
        if rows[k] != i:
            if i >= 0:
                wipe(&s.x, s.dense)
            i = rows[k]
            read_row(X, i, &s.x)
            spread(&s.x, s.dense)
        similarities[k] = <value_t> cosine_of(dot_with(&s.x, s.dense, Y, columns[k], &s.y), X, i,
                                              Y, columns[k], wide)
    wipe(&s.x, s.dense)
