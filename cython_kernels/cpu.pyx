# cython: language_level=3, freethreading_compatible=True, autotestdict=False
"""What this machine and build can do. Compiled for the lowest instruction set."""

cdef extern from *:
    """
    #if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    /* these builtins ask the processor and, through XGETBV, the operating system */
    static int has_avx2(void) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
    static int has_avx512(void) {
        return has_avx2() && __builtin_cpu_supports("avx512f")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int has_avx2(void) { return 0; }
    static int has_avx512(void) { return 0; }
    #endif
    #if defined(__aarch64__) || defined(_M_ARM64)
    enum { HAS_NEON = 1 };
    #else
    enum { HAS_NEON = 0 };
    #endif
    """
    bint has_avx2()
    bint has_avx512()
    enum:
        HAS_NEON

cdef extern from "openmp.h" nogil:
    int omp_get_max_threads()
    enum:
        HAS_OPENMP

OPENMP = bool(HAS_OPENMP)


def machine_isas():
    """The names of the instruction sets that this machine runs, best first."""
    supported = {"avx512": has_avx512(), "avx2": has_avx2(), "neon": HAS_NEON, "baseline": True}
    return [name for name, runs in supported.items() if runs]


def max_threads():
    """OpenMP's own limit for the calling thread: OMP_NUM_THREADS, threadpoolctl, affinity."""
    return omp_get_max_threads()
