# The k rows of Y that are most similar to each row of X; the product is never stored.
#
# takes: csr.pxi, rows.pxi, index.pxi, sparse.h, openmp.h
# gives: FLOAT_SLACK, Best, offer, bar_of, sort_best, given, search, complete
#
# A row's features are taken from the rarest to the most frequent, and scores in float grow for the
# rows of the block that share them. What the features still to come can add to any score is at most
# the norm of that rest (Cauchy and Schwarz; Turtle and Flood, Inf. Process. Manag. 31, 1995, with
# other bounds). Once that is below the k-th best similarity so far no new row can enter, and only
# the rows whose scores may still reach it are compared exactly: their similarities are computed in
# the canonical order, and only these count.
#
# Where only frequent features are left, their heaviest entries are compared exactly first, as in
# the threshold algorithm (Fagin, Lotem and Naor, J. Comput. Syst. Sci. 66, 2003): a row not yet
# seen can have no greater weights, so most long lists need never be read.

cdef double FLOAT_SLACK = 2.0 ** -23

cdef struct Best:                    # the best so far, a heap with the worst on top
    Py_ssize_t k, count
    double least                     # what is less never counts; -2: NaN counts too
    double* similarity
    int64_t* index

cdef struct Search:                  # a thread's, for one row of X and one block of Y
    const Lists* lists
    const Table* X
    const Table* Y
    bint wide, narrow                # computed in double; given in float
    float* score                     # of the block's rows
    int32_t* seen                    # of the block's rows: stamp, where compared exactly
    int32_t stamp
    int32_t* touched                 # rows with a score, while they are few
    Py_ssize_t n_touched
    bint scan                        # they are many: look through all scores
    float* weight                    # of the row's features, rarest first
    float* rest                      # norm of these from here on
    int32_t* feature
    int32_t* seen_of                 # how many of the feature's heaviest entries were compared
    int32_t* candidate
    float bar                        # the k-th best score when last looked at
    float selected_from              # what the candidates at hand reach
    Py_ssize_t n_selected
    float* top                       # a small heap of scores
    int32_t* top_row


cdef inline bint worse(double s, int64_t i, double t, int64_t j) noexcept nogil:
    return s < t or (s == t and i > j)


cdef void sink(Best* b, Py_ssize_t at) noexcept nogil:
    cdef double s = b.similarity[at]
    cdef int64_t i = b.index[at]
    cdef Py_ssize_t child = 2 * at + 1
    while child < b.count:
        if child + 1 < b.count and worse(b.similarity[child + 1], b.index[child + 1],
                                         b.similarity[child], b.index[child]):
            child += 1
        if not worse(b.similarity[child], b.index[child], s, i):
            break
        b.similarity[at], b.index[at] = b.similarity[child], b.index[child]
        at, child = child, 2 * child + 1
    b.similarity[at], b.index[at] = s, i


cdef void offer(Best* b, double s, int64_t i) noexcept nogil:
    cdef Py_ssize_t at, up
    if b.count < b.k:
        at = b.count
        b.count += 1
        while at > 0:
            up = (at - 1) // 2
            if not worse(s, i, b.similarity[up], b.index[up]):
                break
            b.similarity[at], b.index[at] = b.similarity[up], b.index[up]
            at = up
        b.similarity[at], b.index[at] = s, i
    elif worse(b.similarity[0], b.index[0], s, i):
        b.similarity[0], b.index[0] = s, i
        sink(b, 0)


cdef inline double bar_of(const Best* b) noexcept nogil:
    # what is less does not count, or less than 0
    return b.similarity[0] if b.count == b.k else max(b.least, 0)


cdef void sort_best(Best* b) noexcept nogil:
    """Descending; equal ones by ascending index."""
    cdef Py_ssize_t count = b.count
    cdef double s
    cdef int64_t i
    while b.count > 1:
        b.count -= 1
        s, i = b.similarity[0], b.index[0]
        b.similarity[0], b.index[0] = b.similarity[b.count], b.index[b.count]
        b.similarity[b.count], b.index[b.count] = s, i
        sink(b, 0)
    b.count = count


cdef inline double given(double s, bint narrow) noexcept nogil:
    # as the result's dtype holds it
    return <double> <float> s if narrow else s


cdef void compare(Search* w, Scratch* s, Py_ssize_t i, Py_ssize_t j, Best* best) noexcept nogil:
    """Row j of the block, exactly, once."""
    cdef double similarity
    if w.seen[j] == w.stamp:
        return
    w.seen[j] = w.stamp
    j += w.lists.first
    similarity = given(cosine_of(dot_with(&s.x, s.dense, w.Y, j, &s.y), w.X, i, w.Y, j, w.wide),
                       w.narrow)
    if similarity > 0 and similarity >= best.least:
        offer(best, similarity, j)


cdef void order_features(Search* w, Scratch* s, double inverse) noexcept nogil:
    """feature, weight and rest, rarest first."""
    cdef const Lists* lists = w.lists
    cdef Py_ssize_t k, n = s.x.count, at
    cdef double rest = 0, weight
    for k in range(n):
        at = s.x.feature[k]
        s.key[k] = <uint64_t> (lists.start[at + 1] - lists.start[at]) << 32 | <uint64_t> k
    sort_keys(s.key, n)
    w.rest[n] = 0
    for k in range(n - 1, -1, -1):
        at = <uint32_t> s.key[k]
        weight = s.x.value[at] * inverse
        rest += weight * weight
        w.feature[k] = s.x.feature[at]
        w.weight[k] = <float> weight
        w.rest[k] = <float> sqrt(rest)


cdef void add_scores(Search* w, Py_ssize_t k) noexcept nogil:
    """The k-th feature's list."""
    cdef const Lists* lists = w.lists
    cdef const float* value = lists.weight
    cdef const int32_t* row = lists.row
    cdef float* score = w.score
    cdef int32_t* touched = w.touched
    cdef Py_ssize_t n = w.n_touched
    cdef int64_t q
    cdef int32_t j
    cdef float x = w.weight[k]
    if not w.scan and n + length_of(lists, w.feature[k]) > lists.rows // 8:
        w.scan = True
    if w.scan:
        for q in range(lists.start[w.feature[k]], lists.start[w.feature[k] + 1]):
            score[row[q]] += x * value[q]
        return
    for q in range(lists.start[w.feature[k]], lists.start[w.feature[k] + 1]):
        j = row[q]
        touched[n] = j
        n += score[j] == 0
        score[j] += x * value[q]
    w.n_touched = n


cdef Py_ssize_t select(Search* w, float bar) noexcept nogil:
    """candidate[:...] = rows of the block whose score reaches the bar, perhaps repeated."""
    cdef Py_ssize_t n = 0, j, k
    cdef const float* score = w.score
    w.selected_from = bar
    if not w.scan:
        for k in range(w.n_touched):
            w.candidate[n] = w.touched[k]
            n += score[w.touched[k]] >= bar
        w.n_selected = n
        return n
    j = 0
    while j < w.lists.rows:
        # `score` is padded with zeros
        if scores_reach(score + j, bar) | scores_reach(score + j + 16, bar):
            for k in range(j, min(j + 32, w.lists.rows)):
                w.candidate[n] = <int32_t> k
                n += score[k] >= bar
        j += 32
    w.n_selected = n
    return n


cdef void compare_best_scores(Search* w, Scratch* s, Py_ssize_t i, float least,
                              Best* best) noexcept nogil:
    """The rows with the k best scores so far, `least` or more, exactly: that raises the bar."""
    cdef Py_ssize_t n, c, k = best.k
    cdef int32_t j
    # scores have grown since this was the k-th best of them; a guess: nothing depends on it
    n = select(w, max(w.bar, least) if w.bar > 0 or least > 0 else <float> 1e-30)
    for c in range(k):
        w.top[c], w.top_row[c] = 0, -1
    for c in range(n):
        j = w.candidate[c]
        if w.score[j] > w.top[0] and w.seen[j] != w.stamp:
            raise_top(w.top, w.top_row, k, w.score[j], j)
    w.bar = w.top[0]
    compare_top(w, s, i, best)


cdef void compare_top(Search* w, Scratch* s, Py_ssize_t i, Best* best) noexcept nogil:
    cdef Py_ssize_t c
    for c in range(best.k):
        if w.top_row[c] >= 0:
            compare(w, s, i, w.top_row[c], best)


cdef bint meet_heaviest(Search* w, Scratch* s, Py_ssize_t i, Py_ssize_t used, Py_ssize_t limit,
                        Best* best, double slack) noexcept nogil:
    """Whether no row can enter that has no score yet, after `limit` comparisons at most, each of
    which has the bound summed up again.

    The lists of features from `used` on are all long. Lowers `rest`, too.
    """
    cdef const Lists* lists = w.lists
    cdef Py_ssize_t n = s.x.count, k, at, next, step
    cdef float bound = 0, part, largest
    for k in range(n - 1, used - 1, -1):
        w.seen_of[k] = 0
        bound += abs(w.weight[k]) * lists.heavy_weight[lists.heaviest_of[w.feature[k]]]
        w.rest[k] = min(w.rest[k], bound)
    for step in range(limit):
        bound = largest = 0
        next = used              # where the parts are NaN: written to by another thread
        for k in range(used, n):
            at = lists.heaviest_of[w.feature[k]] + min(w.seen_of[k], HEAVIEST - 1)
            part = abs(w.weight[k]) * lists.heavy_weight[at]
            bound += part
            if part >= largest:
                largest, next = part, k
        if bound < bar_of(best) - slack:
            return True
        if w.seen_of[next] == HEAVIEST:
            return False
        at = lists.heaviest_of[w.feature[next]] + w.seen_of[next]
        compare(w, s, i, lists.heavy_row[at], best)
        w.seen_of[next] += 1
    return False


cdef void search_row(Search* w, Scratch* s, Py_ssize_t i, Py_ssize_t itself, Py_ssize_t mean,
                     Best* best) noexcept nogil:
    """Offer what the block has to row i; `itself` is a row of the block that is left out."""
    cdef const Lists* lists = w.lists
    cdef Py_ssize_t used = 0, n, c, k
    cdef int64_t spent = 0, left = 0, budget, length, q
    cdef double slack, bar, looked_at
    cdef bint met = False, closed = False
    read_row(w.X, i, &s.x)
    n = s.x.count
    if n == 0:
        return
    w.stamp += 1
    w.n_touched, w.scan = 0, False
    if 0 <= itself < lists.rows:
        w.seen[itself] = w.stamp
    spread(&s.x, s.dense)
    slack = (n + 16) * FLOAT_SLACK
    looked_at, w.bar, w.selected_from = 1, 0, INFINITY
    order_features(w, s, w.X.inverse[i])
    for k in range(n):
        left += length_of(lists, w.feature[k])
    while used < n:
        if not met and lists.heaviest_of[w.feature[used]] >= 0:
            met = True
            closed = meet_heaviest(w, s, i, used, left // (2 * mean + 4 * (n - used)), best, slack)
        bar = bar_of(best) - slack - w.rest[used]
        if bar > 0 or (closed and not w.scan):
            # no new row can enter; is it cheaper to compare the old ones, or to go on?
            c = select(w, <float> bar if bar > 0 else -4)
            if c * mean <= left:
                break
            budget = c * mean // 2
        else:
            budget = spent // 2
        while used < n and budget >= 0:
            add_scores(w, used)
            length = length_of(lists, w.feature[used])
            spent, left, budget = spent + length, left - length, budget - length
            used += 1
        if used == n or (left > spent + best.k * mean and w.rest[used] < 0.5 * looked_at):
            bar = bar_of(best) - slack - w.rest[used]
            compare_best_scores(w, s, i, <float> bar, best)
            looked_at = w.rest[used]
    bar = bar_of(best) - slack - w.rest[used]
    if bar > 0 or not w.scan:
        if used == s.x.count and bar >= w.selected_from:
            n = w.n_selected         # scores have not changed since
        else:
            n = select(w, <float> bar if bar > 0 else -4)
        for c in range(n):
            k = w.candidate[c]
            bar = bar_of(best) - slack - w.rest[used]
            if w.score[k] >= bar:
                compare(w, s, i, k, best)
    else:
        # any row that shares a feature may do
        for c in range(s.x.count):
            for q in range(lists.start[s.x.feature[c]], lists.start[s.x.feature[c] + 1]):
                compare(w, s, i, lists.row[q], best)
    if w.scan:
        memset(w.score, 0, lists.rows * sizeof(float))
    else:
        for c in range(w.n_touched):
            w.score[w.touched[c]] = 0
    wipe(&s.x, s.dense)


cdef size_t search_size(const Lists* lists, Py_ssize_t longest, Py_ssize_t k) noexcept nogil:
    return sizeof(Search) + 4 * (4 * (lists.rows + 64) + 2 * k + 4 * (longest + 1))


cdef Search* search_in(char* memory, const Lists* lists, const Table* X, const Table* Y, bint wide,
                       bint narrow, Py_ssize_t k) noexcept nogil:
    """The search in `search_size` bytes, zeros at first."""
    cdef Search* w = <Search*> memory
    if w.lists == NULL:
        w.lists, w.X, w.Y, w.wide, w.narrow = lists, X, Y, wide, narrow
        w.score = <float*> (w + 1)
        w.seen = <int32_t*> (w.score + lists.rows + 64)
        w.touched = w.seen + lists.rows + 64
        w.candidate = w.touched + lists.rows + 64
        w.top = <float*> (w.candidate + lists.rows + 64)
        w.top_row = <int32_t*> (w.top + k)
        w.weight = <float*> (w.top_row + k)
        w.rest = w.weight + X.longest + 1
        w.feature = <int32_t*> (w.rest + X.longest + 1)
        w.seen_of = w.feature + X.longest + 1
    return w


cdef void search_one(const Lists* lists, const Table* X, const Table* Y, Py_ssize_t i, bint same,
                     bint wide, bint narrow, Py_ssize_t mean, Py_ssize_t k, double least,
                     int64_t* count, double* similarities, int64_t* indices,
                     Scratch* s) noexcept nogil:
    cdef Search* w = search_in(s.extra, lists, X, Y, wide, narrow, k)
    cdef Best best
    if count[0] < 0:
        return
    best.k, best.count, best.least = k, count[0], least
    best.similarity, best.index = similarities, indices
    search_row(w, s, i, i - lists.first if same else -1, mean, &best)
    count[0] = best.count


def search(Rows X, Rows Y, Index index, Py_ssize_t first, Py_ssize_t stop, bint without_itself,
           double least, double[:, ::1] similarities, int64_t[:, ::1] indices,
           int64_t[::1] counts, bint wide, bint narrow, int threads):
    """Heaps of rows [first, stop), counts[i] each, updated with what is above 0 in the block, and
    at least `least`; where counts[i] is negative the row needs no search."""
    cdef const Lists* lists = &index.lists
    cdef Team team
    cdef Py_ssize_t i, k = similarities.shape[1]
    cdef Py_ssize_t mean = 2 * (Y.entries // max(1, Y.table.rows)) + 16
    begin(&team, max(X.table.longest, Y.table.longest), X.table.features,
          search_size(lists, X.table.longest, k), threads)
    for i in prange(first, stop, nogil=True, num_threads=threads, schedule="dynamic",
                    chunksize=16):
        search_one(lists, &X.table, &Y.table, i, without_itself, wide, narrow, mean, k, least,
                   &counts[i], &similarities[i, 0], &indices[i, 0],
                   team.of + omp_get_thread_num())
    end(&team)


cdef void complete_row(const Table* X, const Table* Y, Py_ssize_t i, bint without_itself,
                       bint signed, bint wide, bint narrow, Py_ssize_t k, double least,
                       Py_ssize_t count, double* similarity, int64_t* index,
                       Scratch* s) noexcept nogil:
    """Sort what was found, and add zeros, then negative similarities, then NaN: what counts.

    Places left over: NaN and -1.
    """
    cdef Best found, low
    cdef Py_ssize_t j, at = 0, positive = count
    cdef uint64_t* taken = <uint64_t*> s.extra
    cdef double value
    found.k, found.count, found.similarity, found.index = k, count, similarity, index
    sort_best(&found)
    if count == k:
        return
    for j in range(count):
        taken[j] = <uint64_t> index[j]
    sort_keys(taken, count)
    # negative ones wait behind the results, in scratch
    low.k, low.count = k, 0
    low.index = <int64_t*> (taken + k)
    low.similarity = <double*> (low.index + k)
    read_row(X, i, &s.x)
    spread(&s.x, s.dense)
    if X.norm2[i] == X.norm2[i] and least <= 0:
        for j in range(Y.rows):
            if count == k:
                break
            if at < positive and <Py_ssize_t> taken[at] == j:
                at += 1
                continue
            if (without_itself and j == i) or Y.norm2[j] != Y.norm2[j]:
                continue
            value = 0
            if signed and s.x.count:
                value = given(cosine_of(dot_with(&s.x, s.dense, Y, j, &s.y), X, i, Y, j, wide),
                              narrow)
            if value == 0:
                similarity[count], index[count] = value, j    # perhaps a negative zero
                count += 1
            elif value >= least:
                offer(&low, value, j)
        sort_best(&low)
        for j in range(min(low.count, k - count)):
            similarity[count], index[count] = low.similarity[j], low.index[j]
            count += 1
    wipe(&s.x, s.dense)
    for j in range(Y.rows if least == -2 else 0):
        if count == k:
            break
        if not (without_itself and j == i) and (X.norm2[i] != X.norm2[i]
                                                or Y.norm2[j] != Y.norm2[j]):
            similarity[count], index[count] = NAN, j
            count += 1
    for j in range(count, k):
        similarity[j], index[j] = NAN, -1


def complete(Rows X, Rows Y, Py_ssize_t first, Py_ssize_t stop, bint without_itself,
             double least, double[:, ::1] similarities, int64_t[:, ::1] indices,
             const int64_t[::1] counts, bint wide, bint narrow, int threads):
    """From the heaps of rows [first, stop) to sorted results, all of them filled; counts[i] may
    be -1 less the number."""
    cdef Team team
    cdef Py_ssize_t i, k = similarities.shape[1]
    cdef bint signed = (X.found | Y.found) & NEGATIVE != 0
    begin(&team, max(X.table.longest, Y.table.longest), X.table.features, 24 * k, threads)
    for i in prange(first, stop, nogil=True, num_threads=threads, schedule="dynamic",
                    chunksize=16):
        complete_row(&X.table, &Y.table, i, without_itself, signed, wide, narrow, k, least,
                     counts[i] if counts[i] >= 0 else -1 - counts[i], &similarities[i, 0],
                     &indices[i, 0], team.of + omp_get_thread_num())
    end(&team)
