/* Hand-off of runtime values. Main thread, but for what a worker runs of a posted message. */

#include "dataplane/server/runtime_updates.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "config/bootstrap.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/runtime/layers.h"
#include "dataplane/server/server.h"

struct runtime_post {
    struct post post;
    struct runtime_update *update;
    struct worker *worker;
};

struct runtime_update {
    struct runtime *before; /* freed once nobody has it */
    const struct runtime *after;
    struct loop *main_loop;
    struct post done_post;
    _Atomic(size_t) pending; /* threads that have not taken it yet */
    struct runtime_post posts[];
};

static void runtime_update_done(struct loop *l, struct post *p)
{
    struct runtime_update *u = container_of(p, struct runtime_update, done_post);

    (void)l;
    runtime_free(u->before);
    free(u);
}

/* Worker thread. */
static void runtime_update_take(struct loop *l, struct post *p)
{
    struct runtime_post *rp = container_of(p, struct runtime_post, post);
    struct runtime_update *u = rp->update;

    (void)l;
    rp->worker->context.runtime = u->after;
    if (atomic_fetch_sub_explicit(&u->pending, 1, memory_order_acq_rel) == 1) {
        post_send(u->main_loop, &u->done_post);
    }
}

static void runtime_update_publish(void *ctx, struct runtime *take)
{
    struct server *s = ctx;
    size_t n = s->workers != NULL ? s->worker_count : 0;
    struct runtime_update *u = xcalloc(1, sizeof(*u) + n * sizeof(u->posts[0]));

    u->before = s->runtime;
    u->after = take;
    u->main_loop = &s->loop;
    u->done_post.run = runtime_update_done;
    s->runtime = take;
    s->context.runtime = take;
    if (n == 0) {
        runtime_update_done(&s->loop, &u->done_post);
        return;
    }
    atomic_init(&u->pending, n);
    for (size_t i = 0; i < n; i++) {
        u->posts[i] = (struct runtime_post){
            .post.run = runtime_update_take, .update = u, .worker = &s->workers[i]};
        post_send(&s->workers[i].loop, &u->posts[i].post);
    }
}

void server_runtime_start(struct server *s)
{
    s->runtime_layers = runtime_layers_new(&(struct runtime_layers_params){
        .loop = &s->loop,
        .stats = s->stats,
        .config = &s->bootstrap->runtime,
        .service_cluster = str_c(s->node.message->cluster),
        .publish = runtime_update_publish,
        .ctx = s,
    });
}

void server_runtime_stop(struct server *s)
{
    runtime_layers_free(s->runtime_layers);
    s->runtime_layers = NULL;
}

void server_runtime_free(struct server *s)
{
    runtime_free(s->runtime);
    s->runtime = NULL;
}
