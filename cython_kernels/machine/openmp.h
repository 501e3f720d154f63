/* Threads: our own team or OpenMP's, or one thread where the compiler has neither; and what threads
 * share. */
#ifndef UNITDOT_OPENMP_H
#define UNITDOT_OPENMP_H
#ifdef UNITDOT_TEAM
#include "team.h"
enum { HAS_OPENMP = 1 };
static inline void wait_for_all(void) { _Pragma("omp barrier") }
#else
static inline void use_team(const void *of_cpu) { (void)of_cpu; }
#ifdef _OPENMP
#include <omp.h>
enum { HAS_OPENMP = 1 };
/* Cython's prange inside a parallel block is a loop without a barrier at its end ("nowait"). */
#ifdef _MSC_VER
static void wait_for_all(void) { __pragma(omp barrier) }
#else
static inline void wait_for_all(void) { _Pragma("omp barrier") }
#endif
#else
enum { HAS_OPENMP = 0 };
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_max_threads(void) { return 1; }
static inline void wait_for_all(void) {}
#endif
#endif

/* A progress callback or a signal's handler may fork: in the child OpenMP would wait for threads
 * that did not come along, so a call that goes on there goes on alone. Our own team has new ones. */
#if defined(_WIN32) || defined(UNITDOT_TEAM)
static inline int process_id(void) { return 0; }
#else
#include <unistd.h>
static inline int process_id(void) { return (int)getpid(); }
#endif
/* what a call of so many threads remembers */
static inline int process_of(int threads) { return threads > 1 ? process_id() : 0; }
static inline int threads_in(int process, int threads) {
    return threads > 1 && process_id() != process ? 1 : threads;
}

/* A lock is one byte, free when 0. */
#if defined(_MSC_VER)
#include <intrin.h>
#define take(byte) _InterlockedExchange8(byte, 1)
#define give(byte) _InterlockedExchange8(byte, 0)
#define give_way() SwitchToThread()
__declspec(dllimport) int __stdcall SwitchToThread(void);
#define load_acquire(p) (*(volatile const real *)(p))
#define store_release(p, x) (*(volatile real *)(p) = (x))
#define load_relaxed(p) (*(volatile const unsigned *)(p))
#define store_relaxed(p, x) (*(volatile unsigned *)(p) = (x))
#else
#include <sched.h>
#define take(byte) __atomic_exchange_n(byte, 1, __ATOMIC_ACQUIRE)
#define give(byte) __atomic_store_n(byte, 0, __ATOMIC_RELEASE)
#define give_way() sched_yield()
#define load_acquire(p) ({ __typeof__(*(p) + 0) x_; __atomic_load(p, &x_, __ATOMIC_ACQUIRE); x_; })
#define store_release(p, x) ({ __typeof__(*(p)) x_ = (x); __atomic_store(p, &x_, __ATOMIC_RELEASE); })
#define load_relaxed(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define store_relaxed(p, x) __atomic_store_n(p, x, __ATOMIC_RELAXED)
#endif
/* A vector of numbers that other threads may be storing: of every lane some number that was stored,
 * since none is torn. ThreadSanitizer is told so, a number at a time. */
#if defined(__has_feature) && !defined(__SANITIZE_THREAD__)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define load_stored(p) ({ vec v_; for (int i_ = 0; i_ < LANES; i_++) \
    __atomic_load((p) + i_, (real *)&v_ + i_, __ATOMIC_RELAXED); v_; })
#endif
#ifndef load_stored
#define load_stored(p) load(p)
#endif
static inline void lock(char *byte) {
    int tries = 0;
    while (take(byte))
        if (++tries % 64 == 0)
            give_way(); /* its owner may be waiting for a processor */
}
static inline void unlock(char *byte) { give(byte); }
#endif
