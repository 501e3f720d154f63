"""The same work done by every contender, in one run: ``python -m benchmarks``.

How it is measured
------------------
- **One process for each contender and round.** Idle workers of one library's thread pool spin on
  cores that the next library needs: two libraries timed in one process mislead by up to 2 x.
- **Rounds are interleaved** (A B C A B C ...), so a slow minute of the machine falls on everybody.
- A child makes its inputs (fixed seed; standard normal, but for the pairs' cases, whose rows have
  near-duplicates or clusters), warms up, pauses for 0.1 s, calls once more, and then measures for
  a bounded time. Calls are timed in batches of at least 10 ms; a sample is the time per call. A
  first call that takes more than 20 seconds is the measurement.
- A round's value is the median of its samples, a contender's value the median of its rounds, and
  ratios are ratios of those. The spread is half the range of the rounds.
- A contender that is not installed is listed as missing, one that fails as failed, with the reason.
- Every contender's answer is compared with unitdot's, once, on 32 of the rows, after measuring. One
  that is off by more than twice unitdot's own bound, 2 (sqrt(d) + 4) eps, leaves a neighbour or a
  pair out, or gives one too many, is listed as WRONG, with its time but without a verdict.
- ``--against PYTHON`` makes another environment's unitdot, an earlier build, a contender. Its
  answers, and those of all rounds, must have the bits of unitdot's first; a contender with other
  ones is listed as one that DIFFERS. The target says that nothing is slower than it was before.
- ``--data real`` measures the cases of top-k and pairs with rows that have the spectrum of real
  embeddings (``benchmarks/data.py`` says how they are made), ``--data normal real`` with both.
- ``--busy N``, ``--callers N`` and ``--caller-threads N`` time single calls while N processes
  compute something else (they hash 1 MiB again and again), or while N processes or Python threads
  make the same call in loops. Then the figures are of all calls of all rounds, at least 100 of
  each contender: the median, the 90th and 99th percentile and the maximum; calls a second are
  those of all callers together, the median of the rounds. unitdot on one thread takes part. A
  contender that needs more than 30 seconds for a round's share of the 100 makes fewer, and the
  table says so. ``--busy 0`` gives the same figures of a quiet machine.
- Growth curves (time against rows, features, threads, k, threshold, near-duplicates and lines of
  text) are made of cases, one for each point.
- ``python -m benchmarks.together RESULTS.json ...`` makes one of several runs, at other hours:
  medians of their medians, and from where to where, where these are more than 15 % apart.
- What other processes computed meanwhile, or the host took from the machine, is told where it is a
  tenth of a core or more (Linux): such a case is better measured again.
- ``--quick`` measures the most telling cases, in under 2 minutes, and names those it leaves out;
  with ``--cases`` it measures the named ones, in 3 short rounds. A contender that needs more than
  20 seconds for a round sits out the others; with ``--quick`` alone, more than 2.

What the less usual figures mean
--------------------------------
- *Multiply-add peak* and *tile* are measured by the compiled kernels themselves:
  ``unitdot._kernels.<isa>_<dtype>.peak(reps)`` runs fused multiply-adds on registers alone,
  ``tile_rate(reps)`` the micro-kernel on panels that stay in the L1 cache. Both return
  multiply-adds per second, each of them two operations.
- *The whole product* on n threads is compared with the sum of the peaks of n processes that start
  together. Clocks fall when every core is busy, so n times the peak of one core alone would be a
  peak that the machine does not have.
- *Read bandwidth* is measured on the memory-bound case's own inputs: as many threads as the others
  may use take ``np.max`` of the bytes of their shares. So it is for the same amount of data, held
  in the same levels of the memory.
- *Memory beyond inputs and output* is the growth of the resident set's peak during the first full
  call, less the bytes of its result. The peak is reset just before the call (Linux only).
- *Contenders* are called as their own documentation recommends, with the same number of threads:
  scikit-learn's functions of the same name, or ``NearestNeighbors(metric="cosine")`` and
  ``radius_neighbors_graph``; SciPy's ``cdist(X, Y, "cosine")``, on one thread and in float64 as it
  always is; ``cdist`` of NumKong and SimSIMD, and their ``angular`` and ``cosine`` of one pair or
  of paired rows; ``normalize`` and a product in torch, with ``topk`` by blocks; usearch's
  ``search(exact=True)``; sparse_dot_topn on rows that scikit-learn normalises.
- *NumPy's* rows are yardsticks: products of rows that are not normalised, parts of the work. So is
  faiss's 8-bit quantiser, which gets integers as they are.
- *faiss* finds inner products: rows are copied and normalised first, which is counted, as is the
  building of an index. With a matrix itself it counts each row as its own neighbour.
- *Import* is the time of the statement alone; the start of the interpreter, which would flatter the
  ratio, is not counted.
"""
