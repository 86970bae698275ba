#ifndef DATAPLANE_EVENT_SIGNAL_H
#define DATAPLANE_EVENT_SIGNAL_H

/* Process signals as callbacks on a loop (main's). */

#include <uv.h>

struct loop;

struct loop_signal {
    uv_signal_t handle;
    void (*on_signal)(struct loop_signal *s);
};

/* E_SYS when the kernel refuses. */
int loop_signal_start(struct loop *l, struct loop_signal *s, int signum,
                      void (*on_signal)(struct loop_signal *s));
/* Harmless when never started; the memory must live until the loop is done. */
void loop_signal_close(struct loop_signal *s);

#endif
