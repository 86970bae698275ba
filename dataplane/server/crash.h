#ifndef DATAPLANE_SERVER_CRASH_H
#define DATAPLANE_SERVER_CRASH_H

/*
 * What the process still says when it breaks down: signal, address, version and stack, in the log,
 * before the signal does what it does without us (core dump, exit code). And the stack of a thread
 * that is stuck, while it is. Stacks are module and offset: addr2line -e nuncio.debug.
 */

#include <pthread.h>
#include <stdbool.h>

/* Fatal signals from now on; main thread, once. `version` must live as long as the process. With a
 * sanitizer in the build, which has handlers of its own, only crash_show_thread works. */
void crash_init(const char *version);
/* A stack for the handlers of the calling thread: also one that has run out of its own is told.
 * Freed by crash_thread_done, on the same thread. NULL when there is no memory: it goes without. */
void *crash_thread_init(void);
void crash_thread_done(void *stack);
/* Any thread: writes the stack of `thread`, which must not have ended, into the log. False: it did
 * not answer within a second (uninterruptible in the kernel). One at a time. */
bool crash_show_thread(pthread_t thread);

#endif
