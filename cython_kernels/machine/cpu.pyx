# cython: language_level=3, freethreading_compatible=True, autotestdict=False
"""What this machine and build can do. Compiled for the lowest instruction set."""

from cpython.pycapsule cimport PyCapsule_New

cdef extern from *:
    """
    #if defined(__GNUC__) && (defined(__x86_64__) || defined(__i386__))
    #include <cpuid.h>
    /* of conversions between float16 and float32 older Clangs' builtin below does not know */
    static int has_f16c(void) {
        unsigned a, b, c, d;
        return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
    }
    /* these builtins ask the processor and, through XGETBV, the operating system */
    static int has_avx2(void) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("popcnt") && has_f16c();
    }
    static int has_avx512(void) {
        return has_avx2() && __builtin_cpu_supports("avx512f")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512vl");
    }
    static int has_avx512vnni(void) {
        return has_avx512() && __builtin_cpu_supports("avx512vnni");
    }
    #else
    static int has_avx2(void) { return 0; }
    static int has_avx512(void) { return 0; }
    static int has_avx512vnni(void) { return 0; }
    #endif
    #if defined(__aarch64__) || defined(_M_ARM64)
    enum { HAS_NEON = 1 };
    #else
    enum { HAS_NEON = 0 };
    #endif
    /* the dot product of bytes; for it Clang makes code only where it is told to (screen.h) */
    #if defined(__clang__) && !defined(__ARM_FEATURE_DOTPROD)
    static int has_neondot(void) { return 0; }
    #elif defined(__aarch64__) && defined(__linux__)
    #include <sys/auxv.h>
    static int has_neondot(void) { return (getauxval(AT_HWCAP) >> 20 & 1) != 0; }
    #elif defined(__aarch64__) && defined(__APPLE__)
    #include <sys/sysctl.h>
    static int has_neondot(void) {
        int has = 0;
        size_t size = sizeof has;
        return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &size, NULL, 0) == 0 && has;
    }
    #else
    static int has_neondot(void) { return 0; }
    #endif
    #ifdef UNITDOT_POOL
    #include "pool.h"
    #else
    static const void *start_pool(void) { return NULL; }
    static void use_processors(int processors) { (void)processors; }
    #endif
    #if defined(_OPENMP) && defined(__linux__) && __GNUC__ >= 9 && !defined(__clang__) \
        && !defined(UNITDOT_POOL)
    #include <omp.h>
    #pragma weak omp_pause_resource_all   /* the library at hand may be older than the compiler */
    static int end_idle_threads(void) {
        return omp_pause_resource_all && omp_pause_resource_all(omp_pause_soft) == 0;
    }
    #else
    static int end_idle_threads(void) { return 0; }
    #endif
    """
    const void* start_pool()
    void use_processors(int)
    bint end_idle_threads()
    bint has_avx2()
    bint has_avx512()
    bint has_avx512vnni()
    bint has_neondot()
    enum:
        HAS_NEON

cdef extern from "openmp.h" nogil:
    int omp_get_max_threads()
    enum:
        HAS_OPENMP

OPENMP = bool(HAS_OPENMP)
# the threads of the kernels are our own (machine/pool.h): the calls, for team.h; else None
cdef const void* calls = start_pool()
TEAM = PyCapsule_New(<void*> calls, "unitdot.team", NULL) if calls != NULL else None


def machine_isas():
    """The names of the instruction sets that this machine runs, best first."""
    supported = {
        "avx512vnni": has_avx512vnni(),
        "avx512": has_avx512(),
        "avx2": has_avx2(),
        "neondot": has_neondot(),
        "neon": HAS_NEON,
        "baseline": True,
    }
    return [name for name, runs in supported.items() if runs]


def before_fork():
    """End the calling thread's idle OpenMP threads: a forked child would wait for them for ever.

    They may be another library's that shares the OpenMP library (PyTorch's wheels bring one under
    the system's name); who computes next in this process starts new ones.
    """
    return end_idle_threads()


def set_processors(int processors):
    """How many threads may be at work for all callers together, as long as none asks for more."""
    use_processors(processors)


def max_threads():
    """OpenMP's own limit for the calling thread: OMP_NUM_THREADS, threadpoolctl, affinity."""
    return omp_get_max_threads()
