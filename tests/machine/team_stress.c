/* The threads of our own (cython_kernels/machine/pool.h), called as kernels call them: by what GCC makes
 * of OpenMP's pragmas. Each function is a test, chosen by its name; a sum that is wrong ends the
 * process, and so does an alarm where a wake-up was lost. See tests/machine/test_team.py. */
#define _GNU_SOURCE
#include <pthread.h>
static int refusing;
static int create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *data) {
    return __atomic_load_n(&refusing, __ATOMIC_SEQ_CST) ? 11 : pthread_create(t, a, f, data);
}
static void pause_now_and_then(void);
#define pthread_create create
#define between_steps pause_now_and_then
static const char *load_file = "/proc/loadavg";
#define LOAD load_file
#include "pool.h"
#undef pthread_create
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define check(truth) ((truth) ? (void)0 : (fprintf(stderr, "line %d: %s\n", __LINE__, #truth), abort()))
enum { MOST = 300 };
extern int omp_get_thread_num(void);

static __thread unsigned seed = 1;
static unsigned draw(unsigned below) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % below;
}

static void pause_now_and_then(void) {
    static __thread unsigned calls;
    calls = calls * 1664525u + 1013904223u;
    if ((calls >> 8) % 16 == 0)
        for (volatile int i = 0; i < 4000; i++)
            ;
}

/* now and then: short, as a chunk is; long enough that others fall asleep; the core given away */
static void delay(void) {
    unsigned kind = draw(400);
    if (kind < 20)
        for (volatile unsigned i = 0, n = draw(3000); i < n; i++)
            ;
    else if (kind == 20)
        usleep(draw(200));
    else if (kind < 24)
        sched_yield();
}

/* phases that need each other: a value, its double, the sum; in threads that have numbers of their own */
static void region(int threads) {
    long n = draw(MOST), wrong = 0, sum = 0, i;
    long value[MOST], twice[MOST];
    char at_work[64] = {0};
    #pragma omp parallel num_threads(threads) private(i)
    {
        seed += omp_get_thread_num();
        delay();
        #pragma omp for schedule(dynamic) nowait
        for (i = 0; i < n; i++) {
            char *mine = &at_work[omp_get_thread_num()];
            if (omp_get_thread_num() >= threads || __atomic_exchange_n(mine, 1, __ATOMIC_SEQ_CST))
                __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
            delay();
            value[i] = i;
            __atomic_store_n(mine, 0, __ATOMIC_SEQ_CST);
        }
        #pragma omp barrier
        #pragma omp for schedule(guided, 3) nowait
        for (i = n - 1; i >= 0; i--) {
            delay();
            twice[i] = value[n - 1 - i] + value[i];
        }
        #pragma omp barrier
        delay();
        #pragma omp for schedule(dynamic, 7) nowait reduction(+:sum)
        for (i = 0; i < n; i += 2)
            sum += twice[i] + (i + 1 < n ? twice[i + 1] : 0);
    }
    check(!wrong && sum == n * (n - 1));
}

/* a loop that is all of its block, and more loops than are shared */
static void loops(int threads) {
    long count[MOST] = {0}, i;
    #pragma omp parallel for num_threads(threads) schedule(dynamic, 2)
    for (i = 0; i < MOST; i++)
        count[i]++;
    #pragma omp parallel num_threads(threads) private(i)
    for (int repeat = 0; repeat < LOOPS + 3; repeat++) {
        #pragma omp for schedule(dynamic, 5) nowait
        for (i = 0; i < MOST; i++) {
            delay();
            count[i]++;
        }
        #pragma omp barrier
    }
    for (i = 0; i < MOST; i++)
        check(count[i] == LOOPS + 4);
}

static void regions(int repeats) {
    for (int i = 0; i < repeats; i++) {
        region(1 + draw(5));
        if (i % 8 == 0)
            loops(1 + draw(5));
        if (draw(20) == 0)
            usleep(draw(100)); /* everybody sleeps */
    }
}

static void *caller(void *number) {
    seed = (unsigned)(size_t)number;
    regions(100);
    return NULL;
}

/* more at once than there are places for regions, too */
static void callers(int repeats) {
    pthread_t thread[REGIONS + 6];
    for (int round = 0; round < repeats; round++) {
        int n = round % 8 ? 1 + (int)draw(6) : REGIONS + 6;
        for (int i = 0; i < n; i++)
            check(!pthread_create(&thread[i], NULL, caller, (void *)(size_t)(100 * round + i)));
        for (int i = 0; i < n; i++)
            pthread_join(thread[i], NULL);
    }
}

/* a block in a block has its caller alone, and the outer one's number comes back */
static void nested(int repeats) {
    for (int i = 0; i < repeats; i++) {
        long wrong = 0;
        #pragma omp parallel num_threads(3)
        {
            int before = omp_get_thread_num();
            region(4);
            if (omp_get_thread_num() != before)
                __atomic_fetch_add(&wrong, 1, __ATOMIC_SEQ_CST);
        }
        check(!wrong);
    }
}

/* children, and theirs, while other threads are in the middle of their regions */
static void forks(int repeats) {
    pthread_t other;
    for (int i = 0; i < repeats; i++) {
        check(!pthread_create(&other, NULL, caller, (void *)(size_t)i));
        regions(3);
        pid_t child = fork();
        if (child == 0) {
            alarm(100);
            regions(20);
            check(ALONE || get(&pool.started) > 0);
            pid_t grandchild = i % 4 ? 0 : fork();
            int status = 0;
            regions(20);
            if (grandchild)
                check(waitpid(grandchild, &status, 0) == grandchild && status == 0);
            _exit(0);
        }
        int status;
        regions(3);
        check(waitpid(child, &status, 0) == child && status == 0);
        pthread_join(other, NULL);
    }
}

/* by the system, from the first or a later thread on */
static void refused(int repeats) {
    refusing = 1;
    regions(repeats);
    check(get(&pool.started) == 0);
    __atomic_store_n(&refusing, 0, __ATOMIC_SEQ_CST);
    region(2);
    __atomic_store_n(&refusing, 1, __ATOMIC_SEQ_CST);
    regions(repeats);
    check(ALONE || get(&pool.started) == 1);
    __atomic_store_n(&refusing, 0, __ATOMIC_SEQ_CST);
    regions(repeats);
    check(ALONE || get(&pool.started) == 4);
}

/* who is alone does not wait for a thread that never comes */
static void late(int repeats) {
    add(&pool.started, 5); /* promised, but not there */
    regions(repeats);
}

/* the threads of all callers together are no more than the processors */
static int most_at_once, inside;
static void *busy_caller(void *unused) {
    for (int i = 0; i < 200; i++) {
        #pragma omp parallel num_threads(3)
        {
            int now = add(&inside, 1) + 1, most = get(&most_at_once);
            while (now > most && !replace(&most_at_once, &most, now))
                ;
            usleep(50);
            add(&inside, -1);
        }
    }
    return unused;
}
static void processors(int repeats) {
    pthread_t thread[3];
    use_processors(4);
    region(9); /* more is there than may be at work later */
    for (int round = 0; round < repeats; round++) {
        most_at_once = 0;
        for (int i = 0; i < 3; i++)
            check(!pthread_create(&thread[i], NULL, busy_caller, NULL));
        for (int i = 0; i < 3; i++)
            pthread_join(thread[i], NULL);
        check((ALONE || 2 <= most_at_once) && most_at_once <= 3 + 2); /* each caller, and two helpers in all */
    }
}

/* one that calls by turns with another leaves it a processor, also between that one's calls */
static void together(int repeats) {
    use_processors(2);
    set(&pool.together_until, INT64_MAX);
    for (int i = 0; i < repeats; i++)
        region(2);
    check(get(&pool.started) == 0);
    use_processors(3);
    most_at_once = 0;
    busy_caller(NULL);
    check((ALONE || most_at_once == 2) && most_at_once <= 2);
    set(&pool.together_until, 0);
    busy_caller(NULL);
    check(ALONE || most_at_once == 3);
}

/* what callers make of having been held up, or of helpers that do not come */
static void learns(int repeats) {
    const int64_t ms = 1000000;
    for (int i = 0; i < repeats; i++) {
        Region r = {.places = 1};
        int64_t closed = nanoseconds() - 1000 * ms;
        set(&pool.alone_for, 0);
        r.asks_at = closed - ms;
        learn(&r, false, closed); /* waited for a second */
        check(get(&pool.alone_for) == ALONE);
        learn(&r, false, closed); /* soon after */
        check(get(&pool.alone_for) == GROWTH * ALONE);
        check(get(&pool.alone_until) <= nanoseconds() + GROWTH * ALONE);
        r.asks_at = nanoseconds() - 100000 * ms;
        learn(&r, false, nanoseconds()); /* helped for a hundred */
        check(get(&pool.alone_for) == GROWTH * ALONE);
        r.asks_at = closed - ms;
        learn(&r, false, closed);
        check(get(&pool.alone_for) == ALONE);
        set(&pool.alone_for, -1);
        r.asks_at = closed - 2 * HELD_UP;
        learn(&r, true, closed);
        check(get(&pool.missed) == 2 * HELD_UP);
        r.asks_at = nanoseconds() - 100000 * ms;
        learn(&r, false, nanoseconds()); /* which is forgotten, and no more than that */
        check(get(&pool.missed) == 0);
        r.asks_at = closed - LATE / 2;
        learn(&r, true, closed);
        learn(&r, true, closed); /* nobody came in all that time */
        check(get(&pool.alone_for) == -1);
        learn(&r, true, closed); /* and longer */
        check(get(&pool.alone_for) != -1);
        set(&pool.alone_for, -1);
        r.asks_at = closed - HELD_UP;
        for (int j = 0; j < 100; j++)
            learn(&r, true, closed); /* too short to tell */
        check(get(&pool.alone_for) == -1 && get(&pool.missed) == 0);
    }
    set(&pool.alone_for, 0);
}

/* in proportion, where nothing was lost before helpers had worked for long; else more than the last time, but
 * not since they did not come */
static void how_long(int repeats) {
    const int64_t little = ALONE / ALONE_TIMES / 4;
    for (int i = 0; i < repeats; i++) {
        set(&pool.alone_for, 0), set(&pool.helped, 0);
        check(how_long_alone(false, little) == ALONE_TIMES * little);
        check(how_long_alone(true, 100 * ALONE) == ALONE);
        set(&pool.alone_for, 2 * ALONE);
        check(how_long_alone(true, little) == 2 * ALONE);
        check(how_long_alone(false, little) == GROWTH * 2 * ALONE);
        set(&pool.helped, SOON * little);
        check(how_long_alone(false, little) == ALONE_TIMES * little);
        set(&pool.alone_for, ALONE_MOST);
        check(!ALONE || how_long_alone(false, 100 * ALONE) == ALONE_MOST);
    }
    set(&pool.alone_for, 0), set(&pool.helped, 0);
}

/* who was alone asks again where a processor is free, or where the system does not tell */
static void looks(int repeats) {
    check(tells_of_full("0.5 0.4 0.3 2/115 6000\n", 2) && tells_of_full("9.5 0.4 0.3 12/115 6000\n", 2));
    check(!tells_of_full("9.5 0.4 0.3 1/115 6000\n", 2) && !tells_of_full("0.5 0.4 0.3 2/115", -1));
    check(!tells_of_full("", 1) && !tells_of_full("1 2 3 x", 1));
    char name[] = "/tmp/team-stress-XXXXXX";
    int file = mkstemp(name);
    check(file >= 0 && write(file, "9.5 0.4 0.3 99999/115 6000\n", 27) == 27);
    close(file);
    for (int i = 0; i < repeats; i++) {
        int64_t now = nanoseconds();
        load_file = name;
        set(&pool.alone_for, 0), set(&pool.alone_until, 0);
        check(!is_alone(now)); /* nobody was */
        set(&pool.alone_until, now + 1);
        check(is_alone(now) && get(&pool.alone_until) == now + 1 && get(&pool.alone_for) == 0);
        now += 2;
        check(is_alone(now) == (ALONE > 0));
        check(!ALONE || (get(&pool.alone_until) == now + ALONE && get(&pool.alone_for) == ALONE_MOST));
        load_file = "/tmp/no/such/file";
        now += ALONE;
        check(!is_alone(now) && get(&pool.alone_until) == 0);
    }
    load_file = "/proc/loadavg";
    unlink(name);
}

/* one that is alone and lasts asks for help while there is something left to take, not for its last turn */
static void asks(int repeats) {
    const int64_t ms = 1000000;
    for (int turns = 2; turns <= 3; turns++)
        for (int i = 0; i < repeats; i++) {
            set(&pool.alone_for, ALONE_PARTS * 1000000 * ms);
            set(&pool.alone_until, nanoseconds() + 1000000 * ms);
            #pragma omp parallel for num_threads(2) schedule(dynamic)
            for (int turn = 0; turn < turns; turn++)
                if (turn == 0)
                    self->region->asks_at = self->region->delay = 0; /* it has lasted now */
            check(get(&pool.started) == (turns == 3));
        }
    set(&pool.alone_for, 0);
    set(&pool.alone_until, 0);
    Region r = {.opened = 100, .delay = 10 * ms};
    check(enough_is_left(&r, 100 + 10 * ms, 5, 10) && !enough_is_left(&r, 100 + 10 * ms, 6, 10));
    check(enough_is_left(&r, 100 + 20 * ms, 6, 10) && !enough_is_left(&r, 100 + 20 * ms, 10, 10));
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(int);
    } tests[] = {{"regions", regions}, {"callers", callers},       {"nested", nested},
                 {"forks", forks},     {"refused", refused},       {"late", late},
                 {"processors", processors},
                 {"together", together}, {"learns", learns},   {"asks", asks},
                 {"how_long", how_long}, {"looks", looks}};
    check(argc == 3);
    use_team(start_pool());
    alarm(300);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++)
        if (!strcmp(argv[1], tests[i].name)) {
            tests[i].run(atoi(argv[2]));
            check(get(&pool.used) == 0 && get(&pool.active) == 0);
            return 0;
        }
    return 2;
}
