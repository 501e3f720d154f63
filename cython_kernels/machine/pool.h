/* Threads of our own for OpenMP's parallel blocks (team.h): one pool a process.
 *
 * OpenMP's runtimes wait for threads: a block begins and ends, and a barrier opens, when each of
 * its threads has arrived, and those that wait spin for milliseconds, on a core that the missing
 * thread or another process may need. Here everybody **waits for the work**:
 *
 * - The caller opens a region and begins. A thread of the pool that gets a core joins it, takes
 *   chunks of the loop at hand, and finds earlier loops used up and their barriers open. One that
 *   comes when the region is closed has nothing to do with it.
 * - A barrier is open when all chunks of the loops before it are done. (So what follows a barrier
 *   may rely on loops alone, not on what a thread did between them.)
 * - The caller closes the region when it finds no chunk left, and waits for those inside.
 * - Who waits spins for SPIN nanoseconds, then sleeps in the system. So does a thread of the pool
 *   that has nothing to do, after LINGER.
 * - A caller that was held up all the same is alone for a while, but in regions that last (learn), and
 *   longer where the system tells that no processor is free (is_alone).
 *
 * A wake-up cannot be lost: who waits reads an event's count, then looks whether what it waits for is
 * there, then sleeps if the count is still the same; who brings it about adds to the count after
 * that. All steps are atomic and in one order.
 *
 * Nothing is allocated, no lock is held: a fork leaves the child a pool to begin with (after_fork), and
 * a system that refuses threads a smaller team. */
#ifndef UNITDOT_POOL_H
#define UNITDOT_POOL_H
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#include "team.h"

/* nanoseconds */
#ifndef SPIN
#define SPIN 20000   /* who waits for a chunk */
#define LINGER 60000 /* who has nothing to do: the next call finds it awake */
#else
#define LINGER SPIN
#endif
#define LATE 500000    /* regions that lasted for that, and no helper came */
#define HELD_UP 100000 /* a caller that waited for helpers for that, and a quarter of its region */
#ifndef ALONE
#define ALONE 4000000 /* who was held up is alone for that at most, */
#endif
#define ALONE_TIMES 8 /* and for so many times what was lost by waiting; */
#define SOON 8        /* but before helpers have worked for so many times that, */
#define GROWTH 8      /* for so many times as long as the last time */
#define ALONE_MOST 256000000
#define ALONE_PARTS 4 /* a region that lasts for that part of it has helpers after all, */
#define LASTS 8000000 /* or for that */
enum {
    REGIONS = 64, /* open at a time: further ones have their caller alone */
    LOOPS = 8,    /* of a region that are shared: the caller does further ones alone */
    STACK = 1 << 20,
};

#ifndef LOAD
#define LOAD "/proc/loadavg"
#endif
#ifndef between_steps
#define between_steps() /* where others may come in between: tests take their time there */
#endif
#define get(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define set(p, x) __atomic_store_n(p, x, __ATOMIC_SEQ_CST)
#define add(p, x) __atomic_fetch_add(p, x, __ATOMIC_SEQ_CST)
#define replace(p, old, x) \
    __atomic_compare_exchange_n(p, old, x, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

typedef struct {
    uint32_t count, waiting;
} Event;

typedef struct {
    _Alignas(128) long given; /* turns that were handed out, at least */
    long given_last;          /* and of a guided loop's last ones, to helpers */
    long done;
} Loop;

typedef struct {
    _Alignas(128) uint32_t state; /* places that are free << 16 | helpers inside */
    Event event;                  /* a loop is done, a helper has left */
    int places, threads;
    bool asked, expects_others; /* who would need the last processor */
    int64_t asks_at; /* when it asks helpers, or has */
    int64_t opened, delay; /* a caller that is alone asks so much later, if as much is left to do */
    Body *body;
    void *data;
    const Range *first_loop;
    Loop loop[LOOPS];
} Region;

/* a thread in a region */
typedef struct {
    Region *region; /* NULL: all alone */
    int number, loops, checked;
    long start, step, chunk, taken, given; /* to the caller */
    bool guided;
    long turns[LOOPS + 1]; /* the last: of a loop that is not shared */
} Member;

static struct {
    _Alignas(128) uint64_t used, open; /* a bit a region */
    int active;                        /* callers, and places that they offer */
    int started;                       /* threads of the pool */
    _Alignas(128) Event bell;          /* regions that were opened; who sleeps */
    int spinning;
    int processors;
    int64_t alone_until, alone_for;    /* 0: nobody is alone */
    int64_t missed, helped;            /* how long helpers did not come of late; and since when they do */
    int64_t together_until;            /* several callers are expected to come */
    Region region[REGIONS];
} pool = {.processors = INT_MAX};
static __thread Member *self;

/* ---- waiting */

static int64_t nanoseconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static inline void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb");
#endif
}

#if defined(__linux__) && !defined(UNITDOT_NO_FUTEX)
static void sleep_while(Event *e, uint32_t count) {
    syscall(SYS_futex, &e->count, FUTEX_WAIT_PRIVATE, count, NULL, NULL, 0);
}
static void wake(Event *e, int threads) {
    syscall(SYS_futex, &e->count, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}
static void reset_sleep(void) {}
#else
static pthread_mutex_t sleepers = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;
static void sleep_while(Event *e, uint32_t count) {
    pthread_mutex_lock(&sleepers);
    while (get(&e->count) == count)
        pthread_cond_wait(&woken, &sleepers);
    pthread_mutex_unlock(&sleepers);
}
static void wake(Event *e, int threads) {
    (void)e, (void)threads;
    pthread_mutex_lock(&sleepers);
    pthread_cond_broadcast(&woken);
    pthread_mutex_unlock(&sleepers);
}
static void reset_sleep(void) {
    pthread_mutex_init(&sleepers, NULL);
    pthread_cond_init(&woken, NULL);
}
#endif

static void announce(Event *e) {
    add(&e->count, 1);
    between_steps();
    if (get(&e->waiting))
        wake(e, INT_MAX);
}

static uint64_t bit_of(const Region *r) { return UINT64_C(1) << (r - pool.region); }

typedef bool Condition(const Member *, uint32_t count);

/* whether it came to hold while this thread spun */
static bool spin_until(Condition *holds, const Member *me, uint32_t count, int64_t time) {
    int64_t end = 0;
    for (int i = 1;; i++) {
        if (holds(me, count))
            return true;
        relax();
        if (i % 16 == 0) {
            int64_t now = nanoseconds();
            if (!end)
                end = now + time;
            else if (now > end)
                return false;
        }
    }
}

static void wait_until(Condition *holds, const Member *me) {
    Event *e = &me->region->event;
    if (spin_until(holds, me, 0, SPIN))
        return;
    add(&e->waiting, 1);
    for (;;) {
        uint32_t count = get(&e->count);
        between_steps();
        if (holds(me, 0))
            break;
        between_steps();
        sleep_while(e, count);
    }
    add(&e->waiting, -1);
}

/* ---- loops */

static bool loops_are_done(const Member *me, uint32_t unused) {
    (void)unused;
    for (int l = me->checked; l < me->loops && l < LOOPS; l++)
        if (get(&me->region->loop[l].done) != me->turns[l])
            return false;
    return true;
}

static void barrier(void) {
    Member *me = self;
    if (me && me->region) {
        wait_until(loops_are_done, me);
        me->checked = me->loops;
    }
}

static void ask_helpers(Region *, int64_t now);

/* Of several that call by turns each finds the others between two calls now and then. */
static bool others_came(Region *r) {
    if (!r->expects_others || get(&pool.active) <= 1 + r->places)
        return false;
    r->asks_at = nanoseconds() + ALONE;
    return true;
}

/* Of the loop at hand, at the pace so far: a helper for the last turns alone is not worth its risk. */
static bool enough_is_left(const Region *r, int64_t now, long given, long turns) {
    return (double)(turns - given) * (now - r->opened) >= (double)given * r->delay;
}

static void ask_in_time(Region *r, long given, long turns) {
    int64_t now = nanoseconds();
    if (now >= r->asks_at && enough_is_left(r, now, given, turns) && !others_came(r))
        ask_helpers(r, now);
}

static bool next(long *from, long *to) {
    Member *me = self;
    Region *r = me->region;
    int l = me->loops <= LOOPS ? me->loops - 1 : LOOPS;
    long turns = me->turns[l], first, count;
    if (!r || l == LOOPS) { /* all at once, to the caller */
        if (me->taken || me->number || !turns)
            return false;
        first = 0, count = turns;
    } else {
        Loop *loop = &r->loop[l];
        if (me->taken && add(&loop->done, me->taken) + me->taken == turns)
            announce(&r->event);
        me->taken = 0;
        first = get(&loop->given);
        do {
            if (first >= turns)
                return false;
            count = me->guided ? (turns - first) / (2 * r->threads) : 0;
            count = count > me->chunk ? count : me->chunk;
            count = count < turns - first ? count : turns - first;
        } while (!replace(&loop->given, &first, first + count));
        if (!me->number && !r->asked && first + count < turns)
            ask_in_time(r, first + count, turns);
        /* a guided loop's first turns are the caller's, its last ones are helpers': in the next call
         * these find in their caches what they have read in this one */
        if (me->guided && me->number)
            first = turns - add(&loop->given_last, count) - count;
        else if (me->guided)
            first = me->given, me->given += count;
    }
    me->taken = count;
    *from = me->start + first * me->step;
    *to = *from + count * me->step;
    return true;
}

static void begin_loop(Member *me, const Range *range) {
    long away = range->step > 0 ? range->end - range->start : range->start - range->end;
    long step = range->step > 0 ? range->step : -range->step;
    me->turns[me->loops < LOOPS ? me->loops : LOOPS] = away > 0 ? (away + step - 1) / step : 0;
    me->loops++;
    me->start = range->start, me->step = range->step;
    me->chunk = range->chunk > 1 ? range->chunk : 1;
    me->guided = range->guided, me->taken = me->given = 0;
}

static bool begin(const Range *range, long *from, long *to) {
    begin_loop(self, range);
    return next(from, to);
}

static int number(void) { return self ? self->number : 0; }

/* ---- helpers: the threads of the pool */

static void take_part(Member *me, Body *body, void *data, const Range *first_loop) {
    Member *outer = self;
    self = me;
    if (first_loop)
        begin_loop(me, first_loop);
    body(data);
    self = outer;
}

static bool join_a_region(void) {
    for (uint64_t open = get(&pool.open); open; open &= open - 1) {
        Region *r = &pool.region[__builtin_ctzll(open)];
        uint32_t state = get(&r->state);
        while (state >> 16)
            if (replace(&r->state, &state, state - (1 << 16) + 1)) {
                Member me = {.region = r, .number = r->places - (int)(state >> 16) + 1};
                take_part(&me, r->body, r->data, r->first_loop);
                add(&r->state, -1);
                announce(&r->event);
                return true;
            }
    }
    return false;
}

static bool bell_rang(const Member *unused, uint32_t count) {
    (void)unused;
    return get(&pool.bell.count) != count;
}

static void *help(void *unused) {
    (void)unused;
    for (;;) {
        uint32_t count = get(&pool.bell.count);
        if (join_a_region())
            continue;
        add(&pool.spinning, 1);
        bool crowded = nanoseconds() < get(&pool.alone_until);
        bool rang = spin_until(bell_rang, NULL, count, crowded ? 0 : LINGER);
        add(&pool.spinning, -1);
        if (!rang) {
            between_steps();
            add(&pool.bell.waiting, 1);
            between_steps();
            sleep_while(&pool.bell, count);
            add(&pool.bell.waiting, -1);
        }
    }
    return NULL;
}

static bool start_helper(void) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t most, before;
    /* signals are for the process's own threads, but for those that an instruction raises */
    sigfillset(&most);
    sigdelset(&most, SIGSEGV), sigdelset(&most, SIGBUS);
    sigdelset(&most, SIGFPE), sigdelset(&most, SIGILL);
    if (pthread_attr_init(&attributes))
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &most, &before);
    bool started = !pthread_create(&thread, &attributes, help, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
#ifdef __linux__
    if (started)
        pthread_setname_np(thread, "unitdot");
#endif
    return started;
}

/* by the caller, once */
static void ask_helpers(Region *r, int64_t now) {
    r->asked = true;
    r->asks_at = now;
    set(&r->state, (uint32_t)r->places << 16);
    __atomic_fetch_or(&pool.open, bit_of(r), __ATOMIC_SEQ_CST);
    between_steps();
    add(&pool.bell.count, 1);
    between_steps();
    int asleep = get(&pool.bell.waiting), wanted = r->places - get(&pool.spinning);
    if (wanted > 0 && asleep > 0)
        wake(&pool.bell, wanted);
    for (int started = get(&pool.started); wanted > asleep && started < r->threads - 1;)
        if (replace(&pool.started, &started, started + 1)) {
            if (!start_helper()) {
                add(&pool.started, -1);
                break; /* a smaller team */
            }
            started++, wanted--;
        }
}

/* ---- regions */

static Region *claim_region(void) {
    uint64_t used = get(&pool.used);
    do
        if (!~used)
            return NULL;
    while (!replace(&pool.used, &used, used | (used + 1)));
    return &pool.region[__builtin_ctzll(~used)];
}

static bool helpers_have_left(const Member *me, uint32_t unused) {
    (void)unused;
    return get(&me->region->state) == 0;
}

/* A machine that is idle takes a core away, too, now and then, for a tenth of a millisecond or for some:
 * being alone for long costs more than that. On one that is busy it happens as soon as helpers have
 * come. That none came says less: a thread may have been woken on its caller's own core. */
static int64_t how_long_alone(bool missed, int64_t lost) {
    int64_t time = lost < ALONE / ALONE_TIMES ? lost * ALONE_TIMES : ALONE, before = get(&pool.alone_for);
    if (!before || get(&pool.helped) >= SOON * lost)
        return time;
    time = before > time ? before : time;
    if (missed)
        return time;
    return time < ALONE_MOST / GROWTH ? GROWTH * time : ALONE_MOST;
}

/* A helper that loses its core in the middle of a chunk holds up its caller for as long as the
 * system lets somebody else run, for milliseconds; one that gets no core is no help, and takes time
 * from whoever has it. Then the machine is crowded: for a while all callers are alone, but for
 * regions that last. */
static void learn(const Region *r, bool missed, int64_t closed) {
    int64_t now = nanoseconds(), lost = now - closed, lasted = closed - r->asks_at;
    if (missed) {
        /* of a shorter one it tells nothing: a helper that sleeps takes that long to come */
        lost = lasted > HELD_UP ? add(&pool.missed, lasted) + lasted : 0;
    } else {
        int64_t before = get(&pool.missed);
        while (before > 0 && !replace(&pool.missed, &before, before > lasted ? before - lasted : 0))
            ;
    }
    if (lost > (missed ? LATE : HELD_UP) && (missed || lost > lasted / 4)) {
        int64_t time = how_long_alone(missed, lost);
        set(&pool.missed, 0);
        set(&pool.helped, 0);
        set(&pool.alone_for, time);
        set(&pool.alone_until, now + time);
    } else if (!missed)
        add(&pool.helped, lasted);
}

/* of a line as /proc/loadavg has it: whether others run on all processors but the one that asks */
static bool tells_of_full(const char *line, long processors) {
    long running;
    return sscanf(line, "%*s %*s %*s %ld/", &running) == 1 && processors > 0 && running >= processors;
}

/* false where the system does not tell */
static bool machine_is_full(void) {
    bool full = false;
#ifdef __linux__
    char line[64];
    int file = open(LOAD, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t length = read(file, line, sizeof line - 1);
    close(file);
    if (length > 0) {
        line[length] = 0;
        full = tells_of_full(line, sysconf(_SC_NPROCESSORS_ONLN));
    }
#endif
    return full;
}

/* Who was alone looks before asking helpers again: to try it where no processor is free may take
 * milliseconds, to look some microseconds. */
static bool is_alone(int64_t now) {
    int64_t until = get(&pool.alone_until);
    if (!until || now < until)
        return until;
    bool full = ALONE && machine_is_full();
    if (replace(&pool.alone_until, &until, full ? now + ALONE : 0) && full)
        set(&pool.alone_for, ALONE_MOST);
    return full;
}

static void open_region(Region *r, int64_t now) {
    r->asked = false;
    r->opened = now, r->delay = 0;
    if (is_alone(now)) {
        int64_t part = get(&pool.alone_for) / ALONE_PARTS;
        r->delay = part < LASTS ? part : LASTS;
    }
    r->asks_at = now + r->delay;
    if (r->expects_others && r->asks_at <= now)
        r->asks_at = get(&pool.together_until);
    for (int l = 0; l < LOOPS; l++)
        r->loop[l] = (Loop){0};
    if (r->asks_at <= now)
        ask_helpers(r, now);
}

static void close_region(Region *r, const Member *me) {
    if (r->asked) {
        uint32_t state = __atomic_fetch_and(&r->state, 0xffff, __ATOMIC_SEQ_CST);
        int64_t closed = nanoseconds();
        __atomic_fetch_and(&pool.open, ~bit_of(r), __ATOMIC_SEQ_CST);
        between_steps();
        wait_until(helpers_have_left, me);
        learn(r, (int)(state >> 16) == r->places, closed);
    }
    __atomic_fetch_and(&pool.used, ~bit_of(r), __ATOMIC_SEQ_CST);
}

static void parallel(Body *body, void *data, unsigned threads, const Range *first_loop) {
    Member me = {0};
    bool asks = threads > 1 && !(self && self->region);
    int places = 0, others = get(&pool.active);
    int64_t now = asks ? nanoseconds() : 0;
    if (asks) {
        /* no more threads than processors are at work, or asked, for all callers together */
        int processors = get(&pool.processors), room;
        int most = processors > (int)threads ? processors : (int)threads;
        bool together = now < get(&pool.together_until);
        do {
            room = most - 1 - others > 0 ? most - 1 - others : 0;
            places = room < (int)threads ? room : (int)threads - 1;
            if (together && places == room && places > 1)
                places--; /* for the other caller */
        } while (!replace(&pool.active, &others, others + 1 + places));
        if (others)
            set(&pool.together_until, now + ALONE);
        me.region = places ? claim_region() : NULL;
        if (me.region) {
            me.region->places = places;
            me.region->expects_others = together && places == room;
        }
    }
    if (me.region) {
        Region *r = me.region;
        r->threads = (int)threads;
        r->body = body, r->data = data, r->first_loop = first_loop;
        open_region(r, now);
        take_part(&me, body, data, first_loop);
        close_region(r, &me);
    } else
        take_part(&me, body, data, first_loop);
    if (asks)
        add(&pool.active, -1 - places);
}

/* In a forked child the pool's threads are gone, and so are other callers. */
static void after_fork(void) {
    pool.used = pool.open = 0;
    pool.active = pool.started = pool.spinning = 0;
    pool.bell.waiting = 0;
    pool.alone_until = pool.alone_for = pool.missed = pool.helped = pool.together_until = 0;
    for (int r = 0; r < REGIONS; r++)
        pool.region[r].state = pool.region[r].event.waiting = 0;
    reset_sleep();
}

static const Calls pool_calls = {parallel, begin, next, barrier, number};

/* how many threads may be at work, for all callers together, as long as none wants more */
static void use_processors(int processors) { set(&pool.processors, processors); }

/* The calls for all modules; NULL: the system cannot. */
static const Calls *start_pool(void) {
    return pthread_atfork(NULL, NULL, after_fork) ? NULL : &pool_calls;
}
#endif
