/* All discovery streams and files of the process behind subscription.h. Main thread. */

#include "xds/client.h"

#include <stdlib.h>

#include "dataplane/base/list.h"
#include "dataplane/base/xalloc.h"
#include "xds/stream.h"
#include "xds/subscription_file.h"

#define MAX_MESSAGE_BYTES (64u << 20)

struct xds_stream_entry {
    struct list node;
    struct xds_stream *stream;
};

struct xds_subscription {
    struct list node;
    struct xds_stream_type *type; /* one of the two */
    struct xds_file *file;
};

struct xds_client {
    struct xds_client_params params;
    struct xds_transport_factory *transports;
    struct xds_stream *ads;
    struct list streams; /* of xds_stream_entry, those with a source of their own */
    struct list subscriptions;
};

struct xds_client *xds_client_new(const struct xds_client_params *p)
{
    struct xds_client *c = xcalloc(1, sizeof(*c));

    c->params = *p;
    if (c->params.max_message_bytes == 0) {
        c->params.max_message_bytes = MAX_MESSAGE_BYTES;
    }
    c->transports = p->transports != NULL ? p->transports : xds_grpc_transport_new(p->loop);
    list_init(&c->streams);
    list_init(&c->subscriptions);
    return c;
}

static struct xds_stream *client_stream_new(struct xds_client *c, const struct xds_source *src,
                                            bool is_aggregated)
{
    return xds_stream_new(&(struct xds_stream_params){
        .loop = c->params.loop,
        .dialer = &c->params.dialer,
        .transports = c->transports,
        .node = str_n((const char *)c->params.node, c->params.node_len),
        .max_message_bytes = c->params.max_message_bytes,
        .source = src,
        .is_aggregated = is_aggregated,
    });
}

void xds_client_set_ads(struct xds_client *c, const struct xds_source *ads)
{
    CHECK(c->ads == NULL && ads->kind == XDS_SOURCE_GRPC);
    c->ads = client_stream_new(c, ads, true);
}

/* A gRPC source that is not ADS has a method per type, so each subscription has its own stream. */
static struct xds_stream *client_own_stream(struct xds_client *c, const struct xds_source *src)
{
    struct xds_stream_entry *e = xcalloc(1, sizeof(*e));

    e->stream = client_stream_new(c, src, false);
    list_add_tail(&c->streams, &e->node);
    return e->stream;
}

struct xds_subscription *xds_subscribe(struct xds_client *c, const struct xds_source *src,
                                       struct str type_url, bool is_wildcard,
                                       const struct xds_subscriber *cb, void *user)
{
    struct xds_subscription *s = xcalloc(1, sizeof(*s));

    list_add_tail(&c->subscriptions, &s->node);
    if (src->kind == XDS_SOURCE_PATH) {
        s->file = xds_file_new(c->params.loop, src, type_url, c->params.read_file, cb, user);
    } else if (src->kind == XDS_SOURCE_ADS) {
        if (c->ads != NULL) {
            s->type = xds_stream_subscribe(c->ads, type_url, is_wildcard,
                                           src->initial_fetch_timeout_ms, cb, user);
        }
    } else {
        s->type = xds_stream_subscribe(client_own_stream(c, src), type_url, is_wildcard,
                                       src->initial_fetch_timeout_ms, cb, user);
    }
    return s;
}

void xds_subscription_add(struct xds_subscription *s, struct str name)
{
    if (s->type != NULL) {
        xds_stream_type_add(s->type, name);
    }
}

void xds_subscription_remove(struct xds_subscription *s, struct str name)
{
    if (s->type != NULL) {
        xds_stream_type_remove(s->type, name);
    }
}

void xds_subscription_close(struct xds_subscription *s)
{
    if (s->type != NULL) {
        xds_stream_type_close(s->type);
    }
    if (s->file != NULL) {
        xds_file_free(s->file);
    }
    list_remove(&s->node);
    free(s);
}

void xds_client_close(struct xds_client *c, void (*on_closed)(void *user), void *user)
{
    struct xds_transport_factory *transports = c->transports;
    struct xds_stream_entry *e;

    CHECK(list_is_empty(&c->subscriptions));
    list_for_each (e, &c->streams, struct xds_stream_entry, node) {
        xds_stream_free(e->stream);
        free(e);
    }
    if (c->ads != NULL) {
        xds_stream_free(c->ads);
    }
    free(c);
    transports->shutdown(transports, on_closed, user);
}

void xds_client_visit(const struct xds_client *c,
                      void (*visit)(void *user, const struct xds_stream_status *s), void *user)
{
    struct xds_stream_entry *e;
    struct xds_stream_status status;

    if (c->ads != NULL) {
        xds_stream_status(c->ads, &status);
        visit(user, &status);
    }
    list_for_each (e, &c->streams, struct xds_stream_entry, node) {
        xds_stream_status(e->stream, &status);
        visit(user, &status);
    }
}
