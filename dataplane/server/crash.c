/*
 * Signal handlers. All that runs in them is async-signal-safe but for the unwinder and dladdr,
 * which may take the dynamic loader's lock: a crash inside of that hangs instead of telling, until
 * CRASH_SECONDS_MAX are over.
 */

#include "dataplane/server/crash.h"

#include <dlfcn.h>
#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

#include "dataplane/base/check.h"
#include "dataplane/base/log.h"

#define STACK_BYTES (64 * 1024)
#define FRAMES_MAX 64
#define CRASH_SECONDS_MAX 5
#define SHOW_STACK_SIGNAL (SIGRTMIN + 3)

static const char *program_version;
static sem_t stack_shown;

/* --- text without the heap ----------------------------------------------------------------------
 */

struct line {
    char text[512];
    size_t len;
};

static void line_add(struct line *l, const char *text)
{
    size_t n = strnlen(text, sizeof(l->text) - 1 - l->len);

    memcpy(l->text + l->len, text, n);
    l->len += n;
}

static void line_add_number(struct line *l, uint64_t v, unsigned base)
{
    char digits[21];
    size_t at = sizeof(digits);

    digits[--at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v > 0);
    line_add(l, base == 16 ? "0x" : "");
    line_add(l, digits + at);
}

static void line_write(struct line *l)
{
    l->text[l->len++] = '\n';
    log_write_raw(l->text, l->len);
    l->len = 0;
}

/* --- stacks -------------------------------------------------------------------------------------
 */

struct walk {
    unsigned count;
};

static _Unwind_Reason_Code show_frame(struct _Unwind_Context *context, void *arg)
{
    struct walk *w = arg;
    uintptr_t at = _Unwind_GetIP(context);
    struct line l = {.len = 0};
    Dl_info info;
    const char *name;

    if (at == 0 || w->count == FRAMES_MAX) {
        return _URC_END_OF_STACK;
    }
    line_add(&l, "#");
    line_add_number(&l, w->count++, 10);
    line_add(&l, ": ");
    if (dladdr((void *)at, &info) != 0 && info.dli_fname != NULL) {
        name = strrchr(info.dli_fname, '/');
        line_add(&l, name != NULL ? name + 1 : info.dli_fname);
        line_add(&l, "+");
        line_add_number(&l, at - (uintptr_t)info.dli_fbase, 16);
        line_add(&l, " ");
    }
    line_add(&l, "[");
    line_add_number(&l, at, 16);
    line_add(&l, "]");
    line_write(&l);
    return _URC_NO_REASON;
}

static void show_stack(void)
{
    struct walk w = {.count = 0};
    struct line l = {.len = 0};

    line_add(&l, "Backtrace (addr2line -e nuncio.debug says which lines):");
    line_write(&l);
    line_add(&l, "nuncio version: ");
    line_add(&l, program_version != NULL ? program_version : "?");
    line_write(&l);
    (void)_Unwind_Backtrace(show_frame, &w);
}

static void on_show_stack(int signum)
{
    int e = errno;

    (void)signum;
    show_stack();
    (void)sem_post(&stack_shown);
    errno = e;
}

bool crash_show_thread(pthread_t thread)
{
    struct timespec until;
    int r;

    while (sem_trywait(&stack_shown) == 0) {
        /* an answer that came too late the last time */
    }
    if (pthread_kill(thread, SHOW_STACK_SIGNAL) != 0 ||
        clock_gettime(CLOCK_REALTIME, &until) != 0) {
        return false;
    }
    until.tv_sec += 1;
    do {
        r = sem_timedwait(&stack_shown, &until);
    } while (r != 0 && errno == EINTR);
    return r == 0;
}

/* --- fatal signals ------------------------------------------------------------------------------
 */

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

static const int FATAL[] = {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV};

static const char *signal_name(int signum)
{
    switch (signum) {
    case SIGABRT:
        return "Aborted";
    case SIGBUS:
        return "Bus error";
    case SIGFPE:
        return "Floating point exception";
    case SIGILL:
        return "Illegal instruction";
    default:
        return "Segmentation fault";
    }
}

/* The first thread that crashes tells; the signal is blocked until this returns, and then does what
 * it does by default. */
static void on_fatal(int signum, siginfo_t *info, void *context)
{
    static atomic_flag is_telling = ATOMIC_FLAG_INIT;
    struct line l = {.len = 0};

    (void)context;
    (void)signal(signum, SIG_DFL);
    if (!atomic_flag_test_and_set(&is_telling)) {
        (void)alarm(CRASH_SECONDS_MAX);
        line_add(&l, "Caught ");
        line_add(&l, signal_name(signum));
        line_add(&l, ", suspect faulting address ");
        line_add_number(&l, (uintptr_t)info->si_addr, 16);
        line_write(&l);
        show_stack();
    }
    (void)raise(signum);
}

static void take_fatal_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_sigaction = on_fatal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (size_t i = 0; i < ARRAY_LEN(FATAL); i++) {
        (void)sigaction(FATAL[i], &action, NULL);
    }
}

#else

static void take_fatal_signals(void)
{
}

#endif

void crash_init(const char *version)
{
    struct sigaction action;

    program_version = version;
    (void)sem_init(&stack_shown, 0, 0);
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_show_stack;
    action.sa_flags = SA_ONSTACK | SA_RESTART;
    (void)sigaction(SHOW_STACK_SIGNAL, &action, NULL);
    take_fatal_signals();
}

void *crash_thread_init(void)
{
    stack_t stack = {.ss_size = STACK_BYTES};

    stack.ss_sp =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED) {
        return NULL;
    }
    (void)sigaltstack(&stack, NULL);
    return stack.ss_sp;
}

void crash_thread_done(void *stack)
{
    static const stack_t NONE = {.ss_flags = SS_DISABLE};

    if (stack != NULL) {
        (void)sigaltstack(&NONE, NULL);
        (void)munmap(stack, STACK_BYTES);
    }
}
