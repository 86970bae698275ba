/* Hand-off of versions to the workers and reclamation. Main thread, but for publication_applied. */

#include "dataplane/server/publish.h"

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/worker.h"

static void publication_free(struct publication *p)
{
    for (size_t i = 0; i < p->snapshot->change_count; i++) {
        listener_version_unref(p->listeners[i]);
    }
    snapshot_free(p->snapshot);
    free(p->listeners);
    free(p);
}

static void publication_reclaim(struct loop *l, struct post *post)
{
    (void)l;
    publication_free(container_of(post, struct publication, done_post));
}

void publication_applied(struct publication *p)
{
    if (atomic_fetch_sub_explicit(&p->pending, 1, memory_order_acq_rel) == 1) {
        post_send(p->main_loop, &p->done_post);
    }
}

/* A worker's handle on a part is one reference, taken here, given back through release.h. */
static void publication_ref_parts(const struct snapshot *s, size_t worker_count)
{
    for (size_t i = 0; i < s->change_count; i++) {
        const struct part *after = s->changes[i].after;

        for (size_t w = 0; after != NULL && w < worker_count; w++) {
            part_ref(after);
            if (after->kind == PART_LISTENER) {
                listener_ref_chains((const struct listener_config *)after);
            }
        }
    }
}

void publication_send(struct snapshot *take, struct listener_version **take_listeners,
                      struct worker *workers, size_t worker_count, struct loop *main_loop)
{
    struct publication *p = xcalloc(1, sizeof(*p) + worker_count * sizeof(struct publication_post));

    p->snapshot = take;
    p->listeners = take_listeners;
    p->main_loop = main_loop;
    p->done_post.run = publication_reclaim;
    atomic_init(&p->pending, worker_count);
    if (worker_count == 0) {
        publication_free(p);
        return;
    }
    publication_ref_parts(take, worker_count);
    for (size_t w = 0; w < worker_count; w++) {
        p->posts[w].publication = p;
        p->posts[w].worker = &workers[w];
        worker_publish(&workers[w], p);
    }
}
