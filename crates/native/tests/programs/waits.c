/* Threads in every kind of wait. The frozen process is woken, the live one has ended: each thread must go on in its own call. */
#include "freezer.h"
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <sys/un.h>

enum { READ, MUTEX, CONDITION, TIMED_CONDITION, SEMAPHORE, POLL, SELECT, EPOLL, ACCEPT, RECEIVE, SIGWAIT, JOIN, SLEEP, SPIN, ALLOCATE, EVENT, TIMER, FLOAT, LOCAL, BARRIER, RWLOCK, RECURSIVE, KINDS };
static const char *names[] = {"read", "mutex", "condition", "timed condition", "semaphore", "poll", "select", "epoll", "accept", "receive", "sigwait", "join", "sleep", "spin", "allocate", "eventfd", "timerfd", "floating point", "thread-local", "barrier", "rwlock", "recursive"};
static int pipes[KINDS][2], pair[2], listener, set, event, timer;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, of_condition = PTHREAD_MUTEX_INITIALIZER, recursive;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static volatile int go, waiting;
static volatile int done[KINDS];
static volatile long turns[KINDS];
static _Thread_local long local;
static pthread_t threads[KINDS], joined;

static void *until_go(void *unused) { (void)unused; while (!go) usleep(1000); return NULL; }

static void *run(void *argument) {
    int kind = (int)(intptr_t)argument;
    char byte;
    char name[16];
    snprintf(name, sizeof name, "wait-%d", kind);
    pthread_setname_np(pthread_self(), name);
    local = 1000 + kind;
    double number = 1.0 + kind;
    __atomic_fetch_add(&waiting, 1, __ATOMIC_SEQ_CST);
    switch (kind) {
    case READ: if (read(pipes[kind][0], &byte, 1) != 1 || byte != 'g') return NULL; break;
    case MUTEX: pthread_mutex_lock(&mutex); pthread_mutex_unlock(&mutex); break;
    case CONDITION: pthread_mutex_lock(&of_condition); while (!go) pthread_cond_wait(&condition, &of_condition); pthread_mutex_unlock(&of_condition); break;
    case TIMED_CONDITION: {
        struct timespec end; clock_gettime(CLOCK_REALTIME, &end); end.tv_sec += 600;
        pthread_mutex_lock(&of_condition);
        while (!go) if (pthread_cond_timedwait(&condition, &of_condition, &end)) return NULL;
        pthread_mutex_unlock(&of_condition);
        break;
    }
    case SEMAPHORE: while (sem_wait(&semaphore)) if (errno != EINTR) return NULL; break;
    case POLL: { struct pollfd one = {pipes[kind][0], POLLIN, 0}; while (poll(&one, 1, -1) < 1) if (errno != EINTR) return NULL; break; }
    case SELECT: { fd_set fds; do { FD_ZERO(&fds); FD_SET(pipes[kind][0], &fds); } while (select(pipes[kind][0] + 1, &fds, NULL, NULL, NULL) < 1 && errno == EINTR); break; }
    case EPOLL: { struct epoll_event one; int found; while ((found = epoll_wait(set, &one, 1, -1)) < 1) if (errno != EINTR) return NULL; if (one.data.u64 != 0x123456789abcULL) return NULL; break; }
    case ACCEPT: { int fd = accept(listener, NULL, NULL); if (fd < 0) return NULL; close(fd); break; }
    case RECEIVE: if (recv(pair[0], &byte, 1, 0) != 1 || byte != 'g') return NULL; break;
    case SIGWAIT: { sigset_t signals; sigemptyset(&signals); sigaddset(&signals, SIGUSR1); int got; if (sigwait(&signals, &got)) return NULL; break; }
    case JOIN: pthread_join(joined, NULL); break;
    case SLEEP: while (!go) { struct timespec left = {0, 20000000}; while (nanosleep(&left, &left) && errno == EINTR) {} } break;
    case SPIN: while (!go) turns[kind]++; break;
    case ALLOCATE: while (!go) { for (int i = 0; i < 50; i++) { char *one = malloc(1 + turns[kind] % 200000); one[0] = 1; free(one); turns[kind]++; } } break;
    case EVENT: { uint64_t count; if (read(event, &count, 8) != 8 || count != 5) return NULL; break; }
    case TIMER: { uint64_t count; if (read(timer, &count, 8) != 8 || count < 1) return NULL; while (!go) usleep(1000); break; }
    case FLOAT: { double sum = 0; for (long i = 1; !go; i++) { sum = 0; for (int j = 1; j < 1000; j++) sum += number / j; turns[kind]++; } if (sum < number * 7 || sum > number * 8) return NULL; break; }
    case LOCAL: while (!go) usleep(500); break;
    case BARRIER: pthread_barrier_wait(&barrier); break;
    case RWLOCK: pthread_rwlock_rdlock(&rwlock); pthread_rwlock_unlock(&rwlock); break;
    case RECURSIVE: pthread_mutex_lock(&recursive); while (!go) usleep(500); pthread_mutex_lock(&recursive); pthread_mutex_unlock(&recursive); pthread_mutex_unlock(&recursive); break;
    }
    char now[16];
    pthread_getname_np(pthread_self(), now, sizeof now);
    FILE *file = NULL;
    char path[64], comm[32] = "";
    snprintf(path, sizeof path, "/proc/self/task/%ld/comm", syscall(SYS_gettid));
    if ((file = fopen(path, "r"))) { if (fgets(comm, sizeof comm, file)) comm[strcspn(comm, "\n")] = 0; fclose(file); }
    if (local == 1000 + kind && !strcmp(comm, name)) done[kind] = 1;
    return NULL;
}

static int session(int report, const int *channels, int depths) {
    sigset_t signals;
    sigemptyset(&signals); sigaddset(&signals, SIGUSR1); pthread_sigmask(SIG_BLOCK, &signals, NULL);
    for (int i = 0; i < KINDS; i++) if (pipe2(pipes[i], O_CLOEXEC)) return 2;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path + 1, 100, "pyrepl3-native-test-%d", getpid());
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 5)) return 2;
    set = epoll_create1(0);
    struct epoll_event watch = {.events = EPOLLIN, .data.u64 = 0x123456789abcULL};
    epoll_ctl(set, EPOLL_CTL_ADD, pipes[EPOLL][0], &watch);
    event = eventfd(0, 0);
    timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec soon = {{0, 50000000}, {0, 50000000}};
    timerfd_settime(timer, 0, &soon, NULL);
    sem_init(&semaphore, 0, 0);
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_mutexattr_t kind; pthread_mutexattr_init(&kind); pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE); pthread_mutex_init(&recursive, &kind);
    pthread_mutex_lock(&mutex); pthread_rwlock_wrlock(&rwlock);
    pthread_create(&joined, NULL, until_go, NULL);
    for (int i = 0; i < KINDS; i++) pthread_create(&threads[i], NULL, run, (void *)(intptr_t)i);
    while (waiting < KINDS) usleep(1000);
    usleep(20000);
    for (int depth = 0; depth < depths; depth++) {
        int own[64] = {report};
        for (int i = depth; i < depths; i++) own[1 + i - depth] = channels[i];
        int outcome = freeze(channels[depth], own, 1 + depths - depth);
        if (outcome < 0) return 3;
        if (outcome == 0) {
            /* What this line does must not be seen by the other. */
            uint64_t much = 1000; if (write(event, &much, 8) != 8) return 2;
            epoll_ctl(set, EPOLL_CTL_DEL, pipes[EPOLL][0], NULL);
            if (write(pipes[READ][1], "x", 1) != 1 || write(pair[1], "x", 1) != 1) return 2;
            close(listener);
            if (write(report, "d", 1) != 1) return 2;
            for (;;) pause();
        }
        say_pid(report);
    }
    /* Woken. */
    go = 1;
    uint64_t five = 5;
    if (write(pipes[READ][1], "g", 1) != 1 || write(pipes[POLL][1], "g", 1) != 1 || write(pipes[SELECT][1], "g", 1) != 1 || write(pipes[EPOLL][1], "g", 1) != 1) return 2;
    if (write(event, &five, 8) != 8 || write(pair[1], "g", 1) != 1) return 2;
    pthread_mutex_unlock(&mutex); pthread_rwlock_unlock(&rwlock);
    pthread_mutex_lock(&of_condition); pthread_cond_broadcast(&condition); pthread_mutex_unlock(&of_condition);
    sem_post(&semaphore);
    pthread_barrier_wait(&barrier);
    kill(getpid(), SIGUSR1);
    double end = now() + 30;
    int caller = socket(AF_UNIX, SOCK_STREAM, 0), is_connected = 0, missing = KINDS;
    while (missing && now() < end) {
        if (!is_connected) is_connected = connect(caller, (void *)&address, sizeof address) == 0;
        missing = 0;
        for (int i = 0; i < KINDS; i++) missing += !done[i];
        usleep(1000);
    }
    for (int i = 0; i < KINDS; i++) {
        if (!done[i]) fprintf(stderr, "lost: %s\n", names[i]);
        else pthread_join(threads[i], NULL);
    }
    if (write(report, missing ? "x" : "k", 1) != 1) return 2;
    return 0;
}

int main(int count, char **arguments) {
    load_helper(arguments[1]);
    return supervise(count > 2 ? atoi(arguments[2]) : 1, session);
}
