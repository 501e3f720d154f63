/* OpenMP, or one thread where the compiler has none. */
#ifndef UNITDOT_OPENMP_H
#define UNITDOT_OPENMP_H
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
