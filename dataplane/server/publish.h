#ifndef DATAPLANE_SERVER_PUBLISH_H
#define DATAPLANE_SERVER_PUBLISH_H

/*
 * RCU hand-off (quiescent-state based): main posts a version to every thread; each applies the
 * differences between two callbacks, when it holds no pointer into the old version but those its
 * handles pin; the last one to have applied it posts it back, and main drops what only older
 * versions used. Readers pay nothing.
 */

#include <stdatomic.h>
#include <stddef.h>

#include "config/model/listener.h"
#include "config/model/snapshot.h"
#include "dataplane/event/post.h"

struct worker;
struct listener_version; /* listener_manager.h */

struct publication_post {
    struct post post;
    struct publication *publication;
    struct worker *worker;
};

struct publication {
    struct snapshot *snapshot;
    /* Sockets and stats of each listener change, by change index; NULL for other kinds. */
    struct listener_version **listeners;
    struct loop *main_loop;
    struct post done_post;
    _Atomic(size_t) pending; /* threads that have not applied it yet */
    struct publication_post posts[];
};

/* Main thread. Takes one part reference per thread for everything the version adds, then posts.
 * With no workers it is reclaimed at once. */
void publication_send(struct snapshot *take, struct listener_version **take_listeners,
                      struct worker *workers, size_t worker_count, struct loop *main_loop);
/* Any thread, once it has applied it. */
void publication_applied(struct publication *p);

#endif
