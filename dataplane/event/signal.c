/* Process signals on a loop. Main thread. */

#include "dataplane/event/signal.h"

#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"

static void signal_on_uv(uv_signal_t *handle, int signum)
{
    struct loop_signal *s = container_of(handle, struct loop_signal, handle);

    (void)signum;
    s->on_signal(s);
}

int loop_signal_start(struct loop *l, struct loop_signal *s, int signum,
                      void (*on_signal)(struct loop_signal *s))
{
    s->on_signal = on_signal;
    if (uv_signal_init(&l->uv, &s->handle) != 0) {
        s->on_signal = NULL;
        return E_SYS;
    }
    uv_unref((uv_handle_t *)&s->handle);
    return uv_signal_start(&s->handle, signal_on_uv, signum) == 0 ? 0 : E_SYS;
}

void loop_signal_close(struct loop_signal *s)
{
    if (s->on_signal != NULL) {
        s->on_signal = NULL;
        uv_close((uv_handle_t *)&s->handle, NULL);
    }
}
