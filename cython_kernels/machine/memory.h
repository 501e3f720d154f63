/* Working memory of a call: blocks that start on a page.
 *
 * A load waits for a store just before it whose address has the same low 12 bits, so every array
 * starts a page of its own, and what is stored between loads of panels is kept at other places of
 * its page (dense/plan.pxi).
 *
 * Pages fresh from the system cost more than the arithmetic of a small call, and a tenth of a
 * large one's. So one block of KEPT bytes at most for each use is kept from call to call, handed
 * over by one atomic exchange; one larger than RETAINED may be taken back by the system at any time.
 */
#ifndef UNITDOT_MEMORY_H
#define UNITDOT_MEMORY_H
#include <stddef.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

/* For AddressSanitizer the arrays in a block have gaps between them that must not be touched; for it
 * and for valgrind setup.py has KEPT be 0. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
enum { GAP = 64 }; /* bytes after each array, at least */
/* only [p, p + used) of [p, p + size) may be touched; measuring, memory begins at 0 */
static inline void allow_only(char *p, size_t used, size_t size) {
    if ((size_t)p >> 44) {
        __asan_unpoison_memory_region(p, used);
        __asan_poison_memory_region(p + used, size - used);
    }
}
#else
enum { GAP = 0 };
static inline void allow_only(char *p, size_t used, size_t size) { (void)p, (void)used, (void)size; }
#endif

#define ALIGNMENT 4096
#define HUGE_PAGE (2 << 20)
#define SMALL (1 << 20)  /* in ordinary pages */
#define RETAINED (4 << 20) /* not lent back: that interrupts all threads of the process */
#ifndef KEPT
#if defined(MADV_FREE) && defined(__linux__)
#define KEPT (32 << 20)
#else
#define KEPT RETAINED
#endif
#endif

#ifdef _WIN32
#include <malloc.h>
#define aligned_new(alignment, size) _aligned_malloc(size, alignment)
#define aligned_delete(p) _aligned_free(p)
#else
#define aligned_new(alignment, size) aligned_alloc(alignment, size)
#define aligned_delete(p) free(p)
#endif

enum { FOR_PANELS, FOR_LISTS, FOR_HEADS, FOR_SAMPLES, USES };

typedef struct {
    char *memory;
    size_t size;
    int use;
} Block;

#ifdef __GNUC__
static Block *kept_blocks[USES];
#define exchange_kept(use, block) __atomic_exchange_n(&kept_blocks[use], block, __ATOMIC_ACQ_REL)
#else
#define exchange_kept(use, block) (block) /* nothing is kept */
#endif

static void block_delete(Block *block) {
    if (block) {
        aligned_delete(block->memory);
        free(block);
    }
}

static Block *block_new(size_t size, int use) {
    size_t alignment = size > SMALL && !GAP ? HUGE_PAGE : ALIGNMENT;
    Block *block = size <= KEPT ? exchange_kept(use, NULL) : NULL;
    if (block && block->size >= size)
        return block;
    block_delete(block);
    block = (Block *)malloc(sizeof(Block));
    if (!block)
        return NULL;
    block->use = use;
    block->size = (size + alignment - 1) / alignment * alignment;
    block->memory = block->size < size ? NULL : (char *)aligned_new(alignment, block->size);
    if (!block->memory) {
        free(block);
        return NULL;
    }
#ifdef MADV_HUGEPAGE
    if (size > SMALL)
        madvise(block->memory, block->size, MADV_HUGEPAGE);
#endif
    return block;
}

static void block_release(Block *block) {
    if (block && block->size <= KEPT) {
#if defined(MADV_FREE) && defined(__linux__)
        if (block->size > RETAINED)
            madvise(block->memory, block->size, MADV_FREE);
#endif
        block = exchange_kept(block->use, block);
    }
    block_delete(block);
}
#endif
