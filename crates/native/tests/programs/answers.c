/* What the helper says on the control channel for the one that it freezes: all of it, at once, or nothing. */
#include "freezer.h"
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>

enum { NEEDS_LOOK = -13 };
static const char answer[] = "as it is";

/* What the interpreter has looked at before. */
static int has_looked = 1;
static uint64_t loads;
static void *iterate;
/* Whether it is made ready before, and whether there was nothing to look at again then. */
static int prepares, is_plain;

/* Freezes this process, and drops what was frozen. How much of the answer was said, or the refusal. */
static int freeze_with(int control, int reader, int has_answer) {
    int channel[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel)) return -100;
    int own[] = {channel[0], control, reader};
    struct freeze one = {.wake = channel[0], .control = control, .line = -1, .has_looked = has_looked, .limit = 20000000, .loads = loads, .iterate = iterate};
    one.own = (struct list){(size_t)own, 3};
    uint64_t inherited[3][2];
    for (int fd = 0; fd < 3; fd++) {
        struct stat about;
        if (fstat(fd, &about)) return -102;
        inherited[fd][0] = about.st_dev, inherited[fd][1] = about.st_ino;
    }
    one.inherited = (struct list){(size_t)inherited, 3};
    one.close = (struct list){(size_t)&channel[1], 1};
    if (prepares) helper_prepare(&one), is_plain = one.is_plain;
    if (has_answer) one.answer = (struct list){(size_t)answer, sizeof answer};
    int outcome = helper_freeze(&one), said = one.answered;
    helper_release(&one);
    close(channel[0]), close(channel[1]);
    return outcome < 0 ? outcome : said;
}

static int held(int fd) {
    char bytes[64];
    return (int)recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
}

#define EXPECT(what, found) do { int got = (found); if (got != (what)) { fprintf(stderr, "line %d: %d instead of %d\n", __LINE__, got, (int)(what)); return 1; } } while (0)

int main(int count, char **arguments) {
    (void)count;
    /* Whoever runs this may have pipes that are shared with others: something to tell. */
    syscall(SYS_close_range, 3, ~0U, 0);
    load_helper(arguments[1]);
    void *library = dlopen(arguments[1], RTLD_NOW);
    /* Frozen processes are siblings: children of who waits for this one. Here that is this process. */
    pid_t session = fork();
    if (session != 0) {
        int status;
        waitpid(session, &status, 0);
        while (wait(NULL) > 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 3;
    }
    alarm(60);
    int control[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control)) return 2;
    EXPECT(sizeof answer, freeze_with(control[0], control[1], 1));
    EXPECT(sizeof answer, held(control[1]));
    EXPECT(0, freeze_with(control[0], control[1], 0));
    EXPECT(-1, held(control[1]));
    /* Made ready before. */
    prepares = 1;
    EXPECT(sizeof answer, freeze_with(control[0], control[1], 1));
    EXPECT(sizeof answer, held(control[1]));
    EXPECT(0, is_plain); /* a timer runs */
    alarm(0);
    EXPECT(sizeof answer, freeze_with(control[0], control[1], 1));
    EXPECT(sizeof answer, held(control[1]));
    EXPECT(1, is_plain);
    int room[2];
    if (pipe(room)) return 2;
    EXPECT(sizeof answer, freeze_with(control[0], control[1], 1));
    EXPECT(sizeof answer, held(control[1]));
    EXPECT(0, is_plain);
    close(room[0]), close(room[1]);
    prepares = 0;
    alarm(60);
    /* Nobody reads: it does not wait. */
    char much[4096] = {0};
    while (send(control[0], much, sizeof much, MSG_DONTWAIT) > 0);
    while (send(control[0], much, 1, MSG_DONTWAIT) > 0);
    EXPECT(0, freeze_with(control[0], control[1], 1));
    /* Nobody is there, or it is no socket: no signal, and the one that asked says it itself. */
    close(control[1]);
    EXPECT(0, freeze_with(control[0], control[1], 1));
    int none[2];
    if (pipe(none)) return 2;
    EXPECT(0, freeze_with(none[1], none[0], 1));
    close(none[0]), close(none[1]);
    /* There is something to tell beside it. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, control)) return 2;
    FILE *file = tmpfile();
    if (!file || ftruncate(fileno(file), 4096)) return 2;
    if (mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(file), 0) == MAP_FAILED) return 2;
    EXPECT(0, freeze_with(control[0], control[1], 1));
    EXPECT(-1, held(control[1]));
    /* Something to be looked at first: a child, or libraries that were loaded since. */
    has_looked = 0;
    EXPECT(0, freeze_with(control[0], control[1], 0));
    pid_t child = fork();
    if (child == 0) for (;;) pause();
    EXPECT(NEEDS_LOOK, freeze_with(control[0], control[1], 0));
    has_looked = 1;
    EXPECT(0, freeze_with(control[0], control[1], 0));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    iterate = dl_iterate_phdr, loads = 0;
    EXPECT(NEEDS_LOOK, freeze_with(control[0], control[1], 0));
    loads = ((uint64_t (*)(void *))dlsym(library, "pyrepl3_loads"))(dl_iterate_phdr);
    EXPECT(0, freeze_with(control[0], control[1], 0));
    return 0;
}
