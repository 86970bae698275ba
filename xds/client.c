/* All discovery streams and files of the process behind subscription.h. Main thread. */

#include "xds/client.h"

#include <stdlib.h>

#include "dataplane/base/list.h"
#include "dataplane/base/xalloc.h"
#include "xds/stream.h"
#include "xds/subscription_file.h"

#define MAX_MESSAGE_BYTES (64u << 20)

/* On the ADS stream: `type`. On a gRPC source: `type` and the stream that carries nothing else, for
 * such a source has a method per type. On a file: `file`. */
struct xds_subscription {
    struct list node;
    struct xds_stream_type *type;
    struct xds_stream *own_stream;
    struct xds_file *file;
};

struct xds_client {
    struct xds_client_params params;
    struct xds_transport_factory *transports;
    struct xds_stream *ads;
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

struct xds_subscription *xds_subscribe(struct xds_client *c, const struct xds_source *src,
                                       struct str type_url, bool is_wildcard,
                                       const struct xds_subscriber *cb, void *user)
{
    struct xds_subscription *s = xcalloc(1, sizeof(*s));
    struct xds_stream *stream = c->ads;

    list_add_tail(&c->subscriptions, &s->node);
    if (src->kind == XDS_SOURCE_PATH) {
        s->file =
            xds_file_new(c->params.loop, src, type_url, is_wildcard, c->params.read_file, cb, user);
        return s;
    }
    if (src->kind == XDS_SOURCE_GRPC || stream == NULL) {
        /* Also ADS where none is configured: a source that cannot be reached, whose fetch timeouts
         * run and whose errors are told. */
        s->own_stream = client_stream_new(c, src, false);
        stream = s->own_stream;
    }
    s->type = xds_stream_subscribe(stream, type_url, is_wildcard, src->initial_fetch_timeout_ms, cb,
                                   user);
    return s;
}

void xds_subscription_add(struct xds_subscription *s, struct str name, uint64_t fetch_timeout_ms)
{
    if (s->file != NULL) {
        xds_file_add(s->file, name);
    } else {
        xds_stream_type_add(s->type, name, fetch_timeout_ms);
    }
}

void xds_subscription_remove(struct xds_subscription *s, struct str name)
{
    if (s->file != NULL) {
        xds_file_remove(s->file, name);
    } else {
        xds_stream_type_remove(s->type, name);
    }
}

void xds_subscription_close(struct xds_subscription *s)
{
    if (s->file != NULL) {
        xds_file_close(s->file);
    } else {
        xds_stream_type_close(s->type);
    }
    if (s->own_stream != NULL) {
        xds_stream_free(s->own_stream);
    }
    list_remove(&s->node);
    free(s);
}

void xds_client_close(struct xds_client *c, void (*on_closed)(void *user), void *user)
{
    struct xds_transport_factory *transports = c->transports;

    CHECK(list_is_empty(&c->subscriptions));
    if (c->ads != NULL) {
        xds_stream_free(c->ads);
    }
    free(c);
    transports->shutdown(transports, on_closed, user);
}

void xds_client_visit(const struct xds_client *c,
                      void (*visit)(void *user, const struct xds_stream_status *s), void *user)
{
    struct xds_subscription *s;
    struct xds_stream_status status;

    if (c->ads != NULL) {
        xds_stream_status(c->ads, &status);
        status.is_aggregated = true;
        visit(user, &status);
    }
    list_for_each (s, &c->subscriptions, struct xds_subscription, node) {
        if (s->own_stream != NULL) {
            xds_stream_status(s->own_stream, &status);
            status.is_aggregated = false;
            visit(user, &status);
        }
    }
}
