/* The calls by which GCC carries out OpenMP's `parallel`, `for` and `barrier`, sent to threads of our
 * own (pool.h, whose head says how they differ from OpenMP's). A module that is compiled with
 * UNITDOT_TEAM is linked without OpenMP's library: these definitions, which nobody outside it sees,
 * stand in its place. One process has one pool, in the module `cpu`, which hands over `Calls`.
 *
 * What a kernel may use: `parallel` with `num_threads`; loops with schedule "dynamic" or "guided"
 * (others ask omp_get_num_threads, which is missing here: then a module is refused at its import);
 * reductions of a single variable; `wait_for_all`; omp_get_thread_num() for scratch. */
#ifndef UNITDOT_TEAM_H
#define UNITDOT_TEAM_H
#include <stdbool.h>

typedef void Body(void *);
typedef struct {
    long start, end, step, chunk;
    bool guided; /* a part of what is left, but no less than a chunk, at a time */
} Range;
typedef struct {
    void (*parallel)(Body *, void *, unsigned threads, const Range *first_loop);
    bool (*begin)(const Range *, long *, long *);
    bool (*next)(long *, long *);
    void (*barrier)(void);
    int (*number)(void);
} Calls;

#ifdef UNITDOT_TEAM
static const Calls *calls;
static void use_team(const void *of_cpu) { calls = (const Calls *)of_cpu; }
#define OWN __attribute__((visibility("hidden")))

OWN void GOMP_parallel(Body *body, void *data, unsigned threads, unsigned flags) {
    (void)flags;
    calls->parallel(body, data, threads, NULL);
}
OWN void GOMP_barrier(void) { calls->barrier(); }
OWN void GOMP_loop_end(void) { calls->barrier(); }
OWN void GOMP_loop_end_nowait(void) {}
OWN int omp_get_thread_num(void) { return calls->number(); }
OWN int omp_get_max_threads(void) { return 1; } /* for num_threads=None, which no kernel says */

/* older compilers say "dynamic" where newer ones say "nonmonotonic_dynamic"; a loop that is all of its
 * parallel block may be begun by the call that begins the block */
#define LOOP(kind, is_guided)                                                                       \
    OWN bool GOMP_loop_##kind##_start(long start, long end, long step, long chunk, long *from,      \
                                      long *to) {                                                   \
        const Range range = {start, end, step, chunk, is_guided};                                   \
        return calls->begin(&range, from, to);                                                      \
    }                                                                                               \
    OWN bool GOMP_loop_##kind##_next(long *from, long *to) { return calls->next(from, to); }        \
    OWN void GOMP_parallel_loop_##kind(Body *body, void *data, unsigned threads, long start,        \
                                       long end, long step, long chunk, unsigned flags) {           \
        const Range range = {start, end, step, chunk, is_guided};                                   \
        (void)flags;                                                                                \
        calls->parallel(body, data, threads, &range);                                               \
    }
LOOP(dynamic, false)
LOOP(guided, true)
LOOP(nonmonotonic_dynamic, false)
LOOP(nonmonotonic_guided, true)
#undef LOOP
#endif
#endif
