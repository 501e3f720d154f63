# The cascade: whether a superblock goes by heads (heads.pxi) before the screen; what they need of
# memory; and a superblock's heads in panels, for near.pxi.
#
# takes: source.pxi, pack.pxi, plan.pxi, screen.pxi, directions.pxi, heads.pxi, project.pxi,
#        direct.pxi, vectors.h, screen.h, memory.h, openmp.h
# gives: heads_start, turn_heads, count_headed, is_apart, drop_heads, pack_directions, carve_headed,
#        lay_out

cdef enum:
    FEW_QUERIES = 4096
    PROBES = 32                  # rows of X that tell, with twice as many of Y, what pays now

cdef double LEAST_WORK = 4e9     # multiply-adds of a call, from which on directions may pay,
cdef double KNOWN_WORK = 1e9     # and where heads are there already


cdef Py_ssize_t heads_start(const Job* job) noexcept nogil:
    """0, or -1 where the work is too little for heads, or too few rows of X have a limit to share
    the heads of all of Y."""
    cdef double work = outputs_of(job) * job.X.features
    if forced.lines > 0 or (job.known != NULL and work >= KNOWN_WORK):
        return 0
    if job.best != NULL and not job.same and job.X.rows < FEW_QUERIES:
        return -1
    return 0 if work >= LEAST_WORK else -1


cdef int turn_heads(Job* job, object watch) except -1:
    """Whether the superblock at hand, which is screened, goes by heads; these are made when they
    are wanted for the first time."""
    cdef bint headed = (job.screened and job.heads_from >= 0
                        and job.PY.first >= job.heads_from)     # one that was undone: not again
    if headed and job.cascade == NULL:
        if job.known != NULL:
            use_known(job)
        elif watch.may_hold(most_memory(job)):
            prepare_heads(job)
        headed = job.cascade != NULL
        if not headed:
            job.heads_from = -1 if job.same or job.best == NULL else LATER * job.PY.first + 1
    elif (headed and job.best != NULL and job.heads_pay != job.PX.first
          and forced.lines == 0):
        headed = pay_now(job)
    if headed:
        # limits only rise: heads will pay for these rows of X from now on, and may for the next
        job.heads_from, job.heads_pay = 0, job.PX.first
    if headed != job.headed:
        job.headed, job.X_packed = headed, False
    return 0


cdef void count_headed(const Job* job) noexcept:
    if job.headed:                   # some may go uncounted where several callers count
        store_relaxed(&forced.headed, load_relaxed(&forced.headed) + 1)


cdef bint pay_now(const Job* job) noexcept nogil:
    """Whether heads pay for the rows of X at hand, with the limits that they have by now."""
    cdef const Cascade* c = job.cascade
    cdef Py_ssize_t lines = c.directions.lines, i, j, line, row, column, k
    cdef Py_ssize_t first = c.words // HEAD_WORDS, coordinates = c.words * QUAD
    cdef const int8_t* x
    cdef const int8_t* y
    cdef float reach, distance, unit
    cdef int left[1 + MOST_LINES]
    cdef int32_t difference, sum
    cdef double quick = QUICK_COST * job.X.features, cost = batch_cost(c.words), last
    memset(left, 0, sizeof(left))
    for i in range(PROBES):
        row = job.PX.first + i * job.PX.count // PROBES
        for j in range(2 * PROBES):
            column = at_most(job.PY.first + j * rows_left(job) // (2 * PROBES), job.stop_Y - 1)
            reach = reach_of(<float> limit_of(job, row))
            if job.same:
                reach = max(reach, reach_of(<float> column_limit(job, column)))
            x, y = c.X.line + row * lines * HEAD, c.Y.line + column * lines * HEAD
            distance = 0
            for line in range(lines):
                sum = 0
                for k in range(HEAD):
                    difference = <int32_t> x[line * HEAD + k] - y[line * HEAD + k]
                    sum += difference * difference
                    if line * HEAD + k + 1 == coordinates and coordinates < HEAD:
                        left[0] += heads_near(c, row, column, 1, reach,
                                              sum * c.directions.unit[0] * c.directions.unit[0])
                distance += sum * c.directions.unit[line] * c.directions.unit[line]
                left[1 + line] += heads_near(c, row, column, 1 + line, reach, distance)
    last = <double> left[lines] / (2 * PROBES * PROBES)
    if coordinates < HEAD:
        cost += <double> left[0] / (2 * PROBES * PROBES) * LINE_COST
    for line in range(at_least(1, first), lines):
        cost += <double> left[line] / (2 * PROBES * PROBES) * LINE_COST
    return cost + last * quick < PAYS * (words_of(&job.X) + last * quick)


cdef inline Py_ssize_t rows_left(const Job* job) noexcept nogil:
    return job.stop_Y - job.PY.first


cdef inline bint heads_near(const Cascade* c, Py_ssize_t row, Py_ssize_t column, Py_ssize_t line,
                            float reach, float distance) noexcept nogil:
    reach += (c.X.error[row * (1 + c.directions.lines) + line]
              + c.Y.error[column * (1 + c.directions.lines) + line])
    return distance <= reach * reach


cdef int prepare_heads(Job* job) except -1:
    """Directions and heads, where they pay and there is memory; job.cascade is NULL otherwise."""
    cdef Block* room = block_new(room_to_find(job), FOR_SAMPLES)
    cdef Block* held
    cdef Directions found
    cdef Cascade* c
    cdef int words
    if room == NULL:
        return 0
    try:
        with nogil:
            words = find_directions(job, &found, <real*> room.memory)
        PyErr_CheckSignals()
        held = block_new(carve_cascade(job, &found, NULL), FOR_HEADS) if words > 0 else NULL
        if held == NULL:
            return 0
        c = <Cascade*> held.memory
        carve_cascade(job, &found, held.memory)
        c.words, c.held = words, held
        job.cascade = c              # which `run` drops, whatever happens
        pack_short_directions(c)
        if make_all_heads(job) & CARE:
            drop_heads(job)          # the screen ends when it meets such a row
    finally:
        block_release(room)
    return 0


cdef int use_known(Job* job) except -1:
    """The heads that there are, where they pay."""
    cdef Block* room = block_new(room_to_find(job), FOR_SAMPLES)
    if room != NULL:
        with nogil:
            job.known.words = words_of_known(job, &job.known.directions, <real*> room.memory)
        block_release(room)
        if job.known.words > 0:
            job.cascade = job.known
    return 0


cdef bint is_apart(const Job* job) noexcept nogil:
    """Whether Y's rows are others than those of X."""
    return not job.same or job.first_Y > 0


cdef Source part_of_Y(const Job* job) noexcept nogil:
    cdef Source own = job.Y
    own.data += job.first_Y * own.row_stride
    own.rows -= job.first_Y
    return own


cdef int make_all_heads(Job* job) except -1:
    cdef Cascade* c = job.cascade
    cdef Source own
    cdef int status = make_heads(job, &c.X, &job.X)
    if is_apart(job):
        own = part_of_Y(job)
        status |= make_heads(job, &c.Y, &own)
        c.Y = heads_from(&c.Y, -job.first_Y, c.directions.lines)
    return status


cdef size_t most_memory(const Job* job) noexcept:
    cdef Directions most
    most.lines = MOST_LINES
    return carve_cascade(job, &most, NULL)


cdef void drop_heads(Job* job) noexcept nogil:
    cdef Cascade* c = job.cascade
    if c != NULL:
        block_release(c.held)
    job.cascade, job.heads_from, job.headed, job.X_packed = NULL, -1, False, False


cdef size_t carve_cascade(const Job* job, const Directions* found, char* memory) noexcept nogil:
    cdef char* start = memory
    cdef Cascade* c = <Cascade*> carve(&memory, sizeof(Cascade))
    cdef Cascade own
    cdef Source own_Y
    if start == NULL:
        c = &own
    memset(c, 0, sizeof(Cascade))
    c.directions = found[0]
    c.left = <int32_t*> carve(&memory, found.lines * HEAD * short_words(job.X.features)
                              * sizeof(int32_t))
    c.scratch_bytes = project_bytes(job.X.features)
    c.scratch = carve(&memory, c.scratch_bytes * job.threads)
    carve_all_heads(&c.X, &job.X, found.lines, &memory)
    c.Y = c.X
    if is_apart(job):
        own_Y = part_of_Y(job)
        carve_all_heads(&c.Y, &own_Y, found.lines, &memory)
    return memory - start


cdef void pack_directions(Job* job) noexcept nogil:
    cdef Cascade* c = job.cascade
    cdef Source rows = rows_at(c.directions.rows, c.packed.count, job.X.features, job.X.features)
    cdef Py_ssize_t group
    c.packed.source = &rows
    for group in range(groups_in(&c.packed)):
        pack_group(&c.packed, group, True, False, 0)
    c.packed.source, c.directions.rows = NULL, NULL


cdef void carve_headed(const Heads* h, int words, Pack* p, char** memory, bint left,
                       bint right) noexcept nogil:
    """Of a superblock's rows: norms where they are kept, and the first line in panels."""
    cdef Py_ssize_t rows = groups_in(p) * p.width
    p.norm2, p.inverse, p.rest = h.norm2 + p.first, h.inverse + p.first, h.rest + p.first
    p.exponent, p.panels = NULL, NULL
    p.error = <float*> carve(memory, rows * sizeof(float))
    p.widest = <float*> carve(memory, 2 * groups_in(p) * sizeof(float))
    p.raised = <int32_t*> carve(memory, rows * sizeof(int32_t))
    p.half = <int32_t*> carve(memory, rows * sizeof(int32_t))
    p.left = p.right = NULL
    if left:
        p.left = <int32_t*> carve(memory, rows * words * sizeof(int32_t))
    if right:
        p.right = <int32_t*> carve(memory, rows * words * sizeof(int32_t))


cdef inline int32_t raised_bytes(int32_t word) noexcept nogil:
    # raised() added to each of the four
    cdef uint32_t w = <uint32_t> word, r = <uint32_t> raised() * <uint32_t> 0x01010101
    cdef uint32_t low = <uint32_t> 0x7F7F7F7F
    return <int32_t> (((w & low) + (r & low)) ^ ((w ^ r) & ~low))


cdef int lay_out(Job* job, const Pack* p, Py_ssize_t group) noexcept nogil:
    """The first line of a group's heads in panels, and what compares its first words."""
    cdef const Cascade* c = job.cascade
    cdef const Heads* h = &c.X if p == &job.PX else &c.Y
    cdef Py_ssize_t lines = c.directions.lines, row, own, w
    cdef Py_ssize_t rows = at_most(SCREEN_COLUMNS, p.count - group * SCREEN_COLUMNS)
    cdef const int8_t* integers
    cdef int32_t square, sum, word
    cdef Py_ssize_t last = 0 if c.words * QUAD <= PREFIX else ceil_div(c.words, HEAD_WORDS)
    cdef int k
    cdef int found = 0
    p.widest[2 * group] = p.widest[2 * group + 1] = 0
    for own in range(group * SCREEN_COLUMNS, (group + 1) * SCREEN_COLUMNS):
        row = p.first + at_most(own, p.count - 1)        # nobody meets the padding
        integers = h.line + row * lines * HEAD
        for w in range(c.words):
            # known heads may lie anywhere in a message
            memcpy(&word, integers + w * QUAD, sizeof(word))
            if p.left != NULL:
                p.left[(own // PANEL * c.words + w) * PANEL + own % PANEL] = raised_bytes(word)
            if p.right != NULL:
                p.right[(own // WORDS * c.words + w) * WORDS + own % WORDS] = word
        square = sum = 0
        for k in range(c.words * QUAD):
            square += <int32_t> integers[k] * integers[k]
            sum += integers[k]
        if own < p.count and p.norm2[own] == 0:
            square = FAR
            found |= ZERO_ROW
        p.half[own] = square
        p.raised[own] = -(square >> 1) - raised() * sum
        p.error[own] = h.error[row * (1 + lines) + last]
        if own < p.count:
            p.widest[2 * group] = max(p.widest[2 * group], p.error[own])
            p.widest[2 * group + 1] = max(p.widest[2 * group + 1], h.error[row * (1 + lines) + 1])
    return found
