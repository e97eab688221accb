/* What a test program needs to freeze itself: the helper's interface (src/helper/entry.rs), and frames of wake.rs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct list { size_t first, count; };
struct freeze {
    int32_t wake, control, line;
    uint32_t has_sqlite, is_flushed, prefers_to_die, has_looked, is_plain;
    uint64_t limit, branch_base, loads;
    void *iterate;
    struct list own, close, inherited, elsewhere, said, spare, answer, pids, kept, sentinels, walk, greeting, watched, written;
    void (*before)(void), (*after_in_parent)(void), (*after_in_child)(void);
    int32_t error;
    uint32_t threads, warns, index, member, split;
    int32_t salvage, channel;
    uint32_t spare_used;
    int32_t parent;
    uint32_t answered;
    uint64_t mask, parked_for;
    size_t records, record_count, text, arena, arena_length, present;
    struct list known;
    size_t unbound, written_count;
};

static int (*helper_freeze)(struct freeze *);
static void (*helper_release)(struct freeze *), (*helper_prepare)(struct freeze *);

static void load_helper(const char *path) {
    void *library = dlopen(path, RTLD_NOW);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); exit(2); }
    helper_freeze = (int (*)(struct freeze *))dlsym(library, "pyrepl3_freeze");
    helper_prepare = (void (*)(struct freeze *))dlsym(library, "pyrepl3_prepare");
    helper_release = (void (*)(struct freeze *))dlsym(library, "pyrepl3_release");
    void (*platform)(void *) = (void (*)(void *))dlsym(library, "pyrepl3_platform");
    ptrdiff_t *offset = dlsym(RTLD_DEFAULT, "__rseq_offset");
    unsigned *size = dlsym(RTLD_DEFAULT, "__rseq_size");
    size_t about[4] = {offset ? (size_t)*offset : 0, size ? *size : 0, 0, 0};
    /* The code of the C library, as the worker finds it. */
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (maps && fgets(line, sizeof line, maps)) {
        size_t start, end;
        if (sscanf(line, "%zx-%zx", &start, &end) == 2 && start <= (size_t)malloc && (size_t)malloc < end) {
            about[2] = start, about[3] = end;
        }
    }
    if (maps) fclose(maps);
    platform(about);
}

/* 0 in the process that goes on; 1 in the one that was woken; negative where it was refused. `wake`: its end of a channel, of which the
 * supervisor has the other. */
static int freeze(int wake, const int *own, int count) {
    int mine[64] = {wake};
    for (int i = 0; i < count; i++) mine[1 + i] = own[i];
    struct freeze one = {.wake = wake, .control = 900, .line = -1, .has_looked = 1, .limit = 20000000};
    one.own = (struct list){(size_t)mine, 1 + count};
    int outcome = helper_freeze(&one);
    if (outcome < 0) fprintf(stderr, "refused: %d, %d\n", outcome, one.error);
    helper_release(&one);
    if (outcome == 0) close(wake);
    return outcome;
}

/* Has a frozen process go on. */
static void wake_up(int channel) {
    uint8_t frame[32] = {'P', 'Y', 'R', '3', 1, 0, 1};
    int control = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct iovec vector = {frame, sizeof frame};
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr head; } with = {0};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    message.msg_control = with.bytes, message.msg_controllen = sizeof with.bytes;
    with.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&with.head), &control, sizeof control);
    if (sendmsg(channel, &message, MSG_NOSIGNAL) != sizeof frame) perror("sendmsg");
    close(control);
}

/* The supervisor: has a process freeze itself, so often, one generation after the other. Each is killed when it has said "d", on the
 * pipe; the last one says how it went. `session` gets the pipe and the channels, and runs in a process of its own. */
static int supervise(int generations, int (*session)(int report, const int *channels, int count)) {
    int report[2], ours[64], theirs[64];
    if (pipe2(report, O_CLOEXEC)) return 2;
    for (int i = 0; i < generations; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) return 2;
        ours[i] = pair[0], theirs[i] = pair[1];
    }
    pid_t live = fork();
    if (live == 0) {
        for (int i = 0; i < generations; i++) close(ours[i]);
        close(report[0]);
        _exit(session(report[1], theirs, generations));
    }
    close(report[1]);
    for (int i = 0; i < generations; i++) close(theirs[i]);
    for (int i = 0; i <= generations; i++) {
        char word = 0;
        struct pollfd waits = {report[0], POLLIN, 0};
        if (poll(&waits, 1, 90000) != 1 || read(report[0], &word, 1) != 1) { fprintf(stderr, "generation %d is gone, or hangs\n", i); return 4; }
        if (i == generations) return word == 'k' ? 0 : 5;
        if (word != 'd') { fprintf(stderr, "generation %d: a thread is lost\n", i); return 5; }
        uint8_t frozen[32];
        if (recv(ours[i], frozen, sizeof frozen, MSG_WAITALL) != sizeof frozen) return 6;
        kill(live, SIGKILL);
        waitpid(live, NULL, 0);
        wake_up(ours[i]);
        /* Frozen processes are siblings of what they were forked from: children of this one. It says its pid when it is woken. */
        int32_t pid;
        if (read(report[0], &pid, 4) != 4) {
            int status = 0;
            pid = waitpid(-1, &status, 0);
            fprintf(stderr, "generation %d was not woken: process %d, status %#x\n", i, pid, status);
            return 7;
        }
        live = pid;
    }
    return 8;
}

/* In a process that was woken. */
static void say_pid(int report) {
    int32_t pid = getpid();
    if (write(report, &pid, 4) != 4) _exit(9);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}
