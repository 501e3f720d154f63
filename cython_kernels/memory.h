/* Working memory, in whole pages.
 *
 * A load waits for a store just before it whose address has the same low 12 bits, so every array
 * starts a page of its own, and what is stored between loads of panels is kept at other places of
 * its page (full.pxi).
 *
 * One block, of KEPT bytes at most, is kept from call to call: pages fresh from the system cost
 * more than the arithmetic of a small call. It is handed over by one atomic exchange.
 */
#ifndef UNITDOT_MEMORY_H
#define UNITDOT_MEMORY_H
#include <stddef.h>
#include <stdlib.h>

#define ALIGNMENT 4096
#define KEPT (2 << 20)

#ifdef _WIN32
#include <malloc.h>
#define aligned_new(size) _aligned_malloc(size, ALIGNMENT)
#define aligned_delete(p) _aligned_free(p)
#else
#define aligned_new(size) aligned_alloc(ALIGNMENT, size)
#define aligned_delete(p) free(p)
#endif

typedef struct { size_t size; } block_head; /* in a page of its own, before the block */

#ifdef __GNUC__
static block_head *kept_block;
#define exchange_kept(p) __atomic_exchange_n(&kept_block, p, __ATOMIC_ACQ_REL)
#else
#define exchange_kept(p) (p) /* nothing is kept */
#endif

static inline char *block_new(size_t size) {
    size_t whole = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT + ALIGNMENT;
    block_head *block = NULL;
    if (whole < size)
        return NULL;
    if (whole <= KEPT)
        block = exchange_kept(NULL);
    if (block && block->size < whole) {
        aligned_delete(block);
        block = NULL;
    }
    if (!block) {
        block = (block_head *)aligned_new(whole);
        if (!block)
            return NULL;
        block->size = whole;
    }
    return (char *)block + ALIGNMENT;
}

static inline void block_delete(char *memory) {
    block_head *block;
    if (!memory)
        return;
    block = (block_head *)(memory - ALIGNMENT);
    if (block->size <= KEPT)
        block = exchange_kept(block);
    if (block)
        aligned_delete(block);
}
#endif
