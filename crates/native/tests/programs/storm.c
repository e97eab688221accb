/* Freezes and wakes again and again while 30 threads are busy: with numbers, with the allocator, beginning and ending, starting
 * programs. No thread may be lost or stand still. Arguments: the helper, how many cycles. */
#include "freezer.h"
#include <spawn.h>

enum { THREADS = 30 };
static volatile long turns[THREADS];

static void *short_one(void *count) { __atomic_fetch_add((long *)count, 1, __ATOMIC_SEQ_CST); return NULL; }

static void *busy(void *argument) {
    int me = (int)(intptr_t)argument;
    extern char **environ;
    for (;;) {
        switch (me % 6) {
        case 0: { volatile double sum = 0; for (int i = 1; i < 20000; i++) sum += 1.0 / i; break; }
        case 1: for (int i = 0; i < 200; i++) { char *one = malloc(1 + (i * 7919) % 100000); one[0] = 1; one = realloc(one, 1 + (i * 104729) % 300000); free(one); } break;
        case 2: { pthread_t one; long count = 0; if (pthread_create(&one, NULL, short_one, &count) == 0) pthread_join(one, NULL); break; }
        case 3: { char text[256]; snprintf(text, sizeof text, "%d %ld %f", me, turns[me], 1.5 * me); struct timespec one = {0, 200000}; nanosleep(&one, NULL); break; }
        case 4: { int ends[2]; char byte; if (pipe2(ends, O_CLOEXEC) == 0) { if (write(ends[1], "x", 1) == 1 && read(ends[0], &byte, 1) == 1) {} close(ends[0]); close(ends[1]); } break; }
        case 5:
            if (me == 5) {
                pid_t pid; char *command[] = {"true", NULL};
                if (posix_spawnp(&pid, "true", NULL, NULL, command, environ) == 0) waitpid(pid, NULL, 0);
            } else sched_yield();
            break;
        }
        turns[me]++;
    }
    return NULL;
}

/* All go on: 'd', or 'x' where one does not. */
static char look(int generation) {
    long then[THREADS];
    for (int i = 0; i < THREADS; i++) then[i] = turns[i];
    double end = now() + 60;
    int missing = THREADS;
    while (missing && now() < end) {
        missing = 0;
        for (int i = 0; i < THREADS; i++) missing += turns[i] == then[i];
        usleep(500);
    }
    for (int i = 0; i < THREADS; i++) if (turns[i] == then[i]) fprintf(stderr, "generation %d: thread %d stands still\n", generation, i);
    return missing ? 'x' : 'd';
}

static int session(int report, const int *channels, int generations) {
    for (int i = 0; i < THREADS; i++) {
        pthread_t one; pthread_create(&one, NULL, busy, (void *)(intptr_t)i); pthread_detach(one);
    }
    for (int i = 0; i < generations; i++) {
        int own[64] = {report};
        /* Those of before are closed, and others may have their numbers. */
        for (int j = i; j < generations; j++) own[1 + j - i] = channels[j];
        int outcome = freeze(channels[i], own, 1 + generations - i);
        if (outcome < 0) return 3;
        if (outcome == 0) {
            if (write(report, "d", 1) != 1) return 2;
            for (;;) pause();
        }
        say_pid(report);
        char word = look(i);
        if (word == 'x' || i + 1 == generations) {
            if (write(report, word == 'x' ? "x" : "k", 1) != 1) return 2;
            _exit(0);
        }
    }
    return 8;
}

int main(int count, char **arguments) {
    load_helper(arguments[1]);
    int cycles = count > 2 ? atoi(arguments[2]) : 100;
    /* Some follow one another, in one line of processes; then it begins anew. */
    for (int done = 0; done < cycles; done += 10) {
        int outcome = supervise(10, session);
        if (outcome) { fprintf(stderr, "after %d cycles\n", done); return outcome; }
    }
    return 0;
}
