/* Preloaded into a Python process: makes the n-th next allocation that one library asks for fail, and
 * counts the blocks that one library asked for and nobody has given back. They are the libraries
 * that users have, known by a part of their file's name.
 *
 * See tests/machine/test_failing_allocations.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { MOST = 1 << 16 };
static const char *failing, *counted; /* NULL: nobody */
static long countdown;                /* 0: none fails */
static void *block[MOST];             /* that the counted library holds */
static long held;
static char locked;

void watch_libraries(const char *that_fails, const char *that_is_counted) {
    failing = that_fails;
    counted = that_is_counted;
}
void fail_allocation(long n) { countdown = n; }
long allocations_until_failure(void) { return countdown; }
long allocations_held(void) { return held; }

static int is_in(const void *caller, const char *library) {
    Dl_info info;
    const char *at = NULL;
    if (library && dladdr(caller, &info) && info.dli_fname)
        at = strstr(info.dli_fname, library);
    /* a wheel's OpenMP is loaded from unitdot/_kernels/../../unitdot.libs/ */
    return at && !strstr(at, "/../");
}

static int fails(const void *caller) {
    if (!is_in(caller, failing) || __atomic_load_n(&countdown, __ATOMIC_SEQ_CST) <= 0
        || __atomic_sub_fetch(&countdown, 1, __ATOMIC_SEQ_CST) != 0)
        return 0;
    errno = ENOMEM;
    return 1;
}

/* `gone` is no longer held, `come` is. */
static void exchange(void *gone, void *come) {
    long i;
    while (__atomic_exchange_n(&locked, 1, __ATOMIC_ACQUIRE)) {}
    for (i = 0; gone && i < held; i++)
        if (block[i] == gone) {
            block[i] = block[--held];
            break;
        }
    if (come && held == MOST)
        abort();
    if (come)
        block[held++] = come;
    __atomic_store_n(&locked, 0, __ATOMIC_RELEASE);
}

static void *counting(const void *caller, void *come) {
    if (come && is_in(caller, counted))
        exchange(NULL, come);
    return come;
}

#define CALLER __builtin_return_address(0)
void *malloc(size_t size) {
    return fails(CALLER) ? NULL : counting(CALLER, __libc_malloc(size));
}
void *calloc(size_t n, size_t size) {
    return fails(CALLER) ? NULL : counting(CALLER, __libc_calloc(n, size));
}
void *aligned_alloc(size_t alignment, size_t size) {
    return fails(CALLER) ? NULL : counting(CALLER, __libc_memalign(alignment, size));
}
void *realloc(void *p, size_t size) {
    void *come = fails(CALLER) ? NULL : __libc_realloc(p, size);
    if (come && is_in(CALLER, counted))
        exchange(p, come);
    return come;
}
void free(void *p) {
    if (held && p)
        exchange(p, NULL);
    __libc_free(p);
}
