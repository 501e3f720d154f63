/* OpenMP, or one thread where the compiler has none. */
#ifndef UNITDOT_OPENMP_H
#define UNITDOT_OPENMP_H
#ifdef _OPENMP
#include <omp.h>
enum { HAS_OPENMP = 1 };
#else
enum { HAS_OPENMP = 0 };
static inline int omp_get_thread_num(void) { return 0; }
static inline int omp_get_max_threads(void) { return 1; }
#endif
#endif
