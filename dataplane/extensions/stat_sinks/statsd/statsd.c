/*
 * envoy.stat_sinks.statsd, dog_statsd and graphite_statsd: a line for each series, at each flush,
 * over UDP, a unix datagram socket, or TCP to a cluster. Main thread.
 *
 * Trust: configuration only; names may hold what peers chose, so what has a meaning in a line is
 * replaced. Buffers: one flush.
 * Differs from Envoy: samples of a histogram are sent at the flush, those of a bucket (two
 * significant digits) as one line with a sample rate, instead of each as it is recorded.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config/model/stat_sink.h"
#include "config/parse/check.h"
#include "config/parse/context.h"
#include "config/parse/core.h"
#include "dataplane/base/address.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/extensions/stat_sinks/statsd/statsd_tcp.h"
#include "dataplane/stats/stats.h"
#include "proto/envoy/config/metrics/v3/stats.pb-c.h"
#include "proto/envoy/extensions/stat_sinks/graphite_statsd/v3/graphite_statsd.pb-c.h"

#define DEFAULT_PREFIX "envoy"

enum statsd_tags {
    STATSD_TAGS_IN_NAME, /* plain statsd: the full name, no tags */
    STATSD_TAGS_DOG,     /* name:1|c|#tag:value */
    STATSD_TAGS_GRAPHITE /* name;tag=value:1|c */
};

struct statsd_config {
    struct stat_sink_config base; /* its cluster: lines go there over TCP, not to `address` */
    struct address address;
    struct str prefix;
    enum statsd_tags tags;
    uint64_t max_datagram_bytes; /* 0: a datagram for each line */
};

/* --- lines --------------------------------------------------------------------------------------
 */

static void add_clean(struct strbuf *out, struct str text, const char *meaningful)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];

        strbuf_add_char(out, c != '\0' && strchr(meaningful, c) != NULL ? '_' : c);
    }
}

static void add_tag(struct strbuf *out, enum statsd_tags style, bool is_first, struct stat_tag tag)
{
    bool is_dog = style == STATSD_TAGS_DOG;

    strbuf_add_c(out, !is_dog ? ";" : is_first ? "|#" : ",");
    add_clean(out, tag.name, is_dog ? ":|,\n" : ":|;=\n");
    strbuf_add_char(out, is_dog ? ':' : '=');
    add_clean(out, tag.value, is_dog ? "|,\n" : ":|;\n");
}

static void add_tags(struct strbuf *out, enum statsd_tags style, const struct stat_sample *s)
{
    for (size_t i = 0; i < s->tag_count; i++) {
        add_tag(out, style, i == 0, s->tags[i]);
    }
}

/* "prefix.name:" */
static void begin_line(struct strbuf *out, const struct statsd_config *c,
                       const struct stat_sample *s)
{
    strbuf_add_str(out, c->prefix);
    strbuf_add_char(out, '.');
    add_clean(out, c->tags == STATSD_TAGS_IN_NAME ? s->name : s->tagged_name, ":|@#\n");
    if (c->tags == STATSD_TAGS_GRAPHITE) {
        add_tags(out, c->tags, s);
    }
    strbuf_add_char(out, ':');
}

static void end_line(struct strbuf *out, const struct statsd_config *c, const struct stat_sample *s)
{
    if (c->tags == STATSD_TAGS_DOG) {
        add_tags(out, c->tags, s);
    }
    strbuf_add_char(out, '\n');
}

struct bucket_lines {
    struct strbuf *out;
    const struct statsd_config *config;
    const struct stat_sample *sample;
};

static void add_bucket(void *user, double left, double width, uint64_t count)
{
    struct bucket_lines *b = user;
    double value = width <= 1 ? left : left + width / 2; /* whole numbers up to 99 are exact */

    begin_line(b->out, b->config, b->sample);
    strbuf_addf(b->out, "%.10g|ms", value);
    if (count > 1) {
        strbuf_addf(b->out, "|@%.10g", 1 / (double)count);
    }
    end_line(b->out, b->config, b->sample);
}

/* The lines of one series, each with a line feed. */
static void add_lines(struct strbuf *out, const struct statsd_config *c,
                      const struct flushed_stat *s)
{
    switch (s->sample->kind) {
    case STAT_COUNTER:
        begin_line(out, c, s->sample);
        strbuf_add_u64(out, s->delta);
        strbuf_add_c(out, "|c");
        end_line(out, c, s->sample);
        break;
    case STAT_GAUGE:
        begin_line(out, c, s->sample);
        strbuf_add_u64(out, s->sample->value);
        strbuf_add_c(out, "|g");
        end_line(out, c, s->sample);
        break;
    case STAT_HISTOGRAM:
        if (s->interval != NULL) {
            struct bucket_lines b = {out, c, s->sample};

            histogram_visit(s->interval, add_bucket, &b);
        }
        break;
    case STAT_TEXT:
    case STAT_CODE_RANGE:
        break; /* statsd knows no texts; ranges are visited as counters */
    }
}

/* --- the sink -----------------------------------------------------------------------------------
 */

struct statsd_sink {
    const struct statsd_config *config;
    int fd;                 /* datagrams; -1: none to be had */
    struct statsd_tcp *tcp; /* or a connection */
    struct strbuf waiting;  /* of the next datagram, or of the whole flush over TCP */
    struct strbuf lines;
};

static void *sink_start(const void *config, struct thread_context *t)
{
    struct statsd_sink *k = xcalloc(1, sizeof(*k));

    k->config = config;
    k->fd = -1;
    strbuf_init(&k->waiting);
    strbuf_init(&k->lines);
    if (k->config->base.cluster_name.len > 0) {
        k->tcp = statsd_tcp_new(t, k->config->base.cluster_name);
        return k;
    }
    k->fd = socket(k->config->address.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (k->fd < 0) {
        log_error(LOG_C_MAIN, "statsd: no socket: %s", strerror(errno));
    }
    return k;
}

static void sink_stop(void *sink)
{
    struct statsd_sink *k = sink;

    if (k->fd >= 0) {
        (void)close(k->fd);
    }
    statsd_tcp_free(k->tcp);
    strbuf_done(&k->waiting);
    strbuf_done(&k->lines);
    free(k);
}

/* Who receives it, if anybody, is not known: as with Envoy, a full socket loses datagrams. */
static void send_datagram(struct statsd_sink *k)
{
    const struct address *to = &k->config->address;

    if (k->waiting.len > 0 && k->fd >= 0) {
        (void)sendto(k->fd, k->waiting.ptr, k->waiting.len, MSG_NOSIGNAL, &to->sa, to->len);
    }
    strbuf_reset(&k->waiting);
}

/* Lines of a datagram have line feeds between them, none at the end. */
static void add_to_datagram(struct statsd_sink *k, struct str line)
{
    if (k->waiting.len > 0 && k->waiting.len + 1 + line.len > k->config->max_datagram_bytes) {
        send_datagram(k);
    }
    if (k->waiting.len > 0) {
        strbuf_add_char(&k->waiting, '\n');
    }
    strbuf_add_str(&k->waiting, line);
}

static void sink_take(void *sink, const struct flushed_stat *s)
{
    struct statsd_sink *k = sink;
    struct str rest;
    struct str line;

    if (k->tcp != NULL) {
        add_lines(&k->waiting, k->config, s);
        return;
    }
    strbuf_reset(&k->lines);
    add_lines(&k->lines, k->config, s);
    rest = strbuf_str(&k->lines);
    while (rest.len > 0 && str_split(&rest, '\n', &line)) {
        if (line.len > 0) {
            add_to_datagram(k, line);
        }
    }
}

static void sink_begin(void *sink, uint64_t wall_ms)
{
    (void)sink;
    (void)wall_ms;
}

static void sink_end(void *sink)
{
    struct statsd_sink *k = sink;

    if (k->tcp != NULL) {
        statsd_tcp_send(k->tcp, strbuf_str(&k->waiting));
        strbuf_reset(&k->waiting);
    } else {
        send_datagram(k);
    }
}

/* --- configuration ------------------------------------------------------------------------------
 */

static struct statsd_config *config_new(struct parse_context *ctx, const char *prefix,
                                        enum statsd_tags tags)
{
    struct statsd_config *c = ARENA_NEW(parse_arena(ctx), struct statsd_config);

    c->prefix = prefix[0] != '\0' ? parse_str(ctx, prefix) : STR(DEFAULT_PREFIX);
    c->tags = tags;
    return c;
}

/* `m` NULL: the oneof is not set. */
static int read_address(struct parse_context *ctx, const char *oneof,
                        const Envoy__Config__Core__V3__Address *m, struct statsd_config *c)
{
    size_t at;
    int r;

    if (m == NULL) {
        return parse_fail(ctx, E_INVALID, oneof, "is required");
    }
    at = path_push(ctx, "address");
    r = parse_address(ctx, m, &c->address, NULL);
    path_pop(ctx, at);
    return r;
}

static int read_datagram_limit(struct parse_context *ctx, const Google__Protobuf__UInt64Value *v,
                               struct statsd_config *c)
{
    c->max_datagram_bytes = v != NULL ? v->value : 0;
    return v != NULL && v->value == 0 ? parse_fail(ctx, E_INVALID, "max_bytes_per_datagram",
                                                   "value must be greater than 0")
                                      : 0;
}

static int statsd_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                        const void **ret_config)
{
    const Envoy__Config__Metrics__V3__StatsdSink *m =
        (const Envoy__Config__Metrics__V3__StatsdSink *)msg;
    struct statsd_config *c = config_new(ctx, m->prefix, STATSD_TAGS_IN_NAME);

    *ret_config = c;
    if (m->statsd_specifier_case ==
        ENVOY__CONFIG__METRICS__V3__STATSD_SINK__STATSD_SPECIFIER_TCP_CLUSTER_NAME) {
        c->base.cluster_name = parse_str(ctx, m->tcp_cluster_name);
        c->base.cluster_error = "tcp statsd: unknown cluster";
        return 0;
    }
    return read_address(ctx, "statsd_specifier",
                        m->statsd_specifier_case ==
                                ENVOY__CONFIG__METRICS__V3__STATSD_SINK__STATSD_SPECIFIER_ADDRESS
                            ? m->address
                            : NULL,
                        c);
}

static int dog_statsd_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                            const void **ret_config)
{
    const Envoy__Config__Metrics__V3__DogStatsdSink *m =
        (const Envoy__Config__Metrics__V3__DogStatsdSink *)msg;
    struct statsd_config *c = config_new(ctx, m->prefix, STATSD_TAGS_DOG);
    int r = read_datagram_limit(ctx, m->max_bytes_per_datagram, c);

    *ret_config = c;
    return r != 0
               ? r
               : read_address(
                     ctx, "dog_statsd_specifier",
                     m->dog_statsd_specifier_case ==
                             ENVOY__CONFIG__METRICS__V3__DOG_STATSD_SINK__DOG_STATSD_SPECIFIER_ADDRESS
                         ? m->address
                         : NULL,
                     c);
}

static int graphite_statsd_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                 const void **ret_config)
{
    const Envoy__Extensions__StatSinks__GraphiteStatsd__V3__GraphiteStatsdSink *m =
        (const Envoy__Extensions__StatSinks__GraphiteStatsd__V3__GraphiteStatsdSink *)msg;
    struct statsd_config *c = config_new(ctx, m->prefix, STATSD_TAGS_GRAPHITE);
    int r = read_datagram_limit(ctx, m->max_bytes_per_datagram, c);

    *ret_config = c;
    return r != 0
               ? r
               : read_address(
                     ctx, "statsd_specifier",
                     m->statsd_specifier_case ==
                             ENVOY__EXTENSIONS__STAT_SINKS__GRAPHITE_STATSD__V3__GRAPHITE_STATSD_SINK__STATSD_SPECIFIER_ADDRESS
                         ? m->address
                         : NULL,
                     c);
}

const struct stat_sink_type stat_sink_statsd = {
    .ext =
        {
            .name = "envoy.stat_sinks.statsd",
            .category = EXT_STAT_SINK,
            .descriptor = &envoy__config__metrics__v3__statsd_sink__descriptor,
            .parse = statsd_parse,
        },
    .start = sink_start,
    .begin = sink_begin,
    .take = sink_take,
    .end = sink_end,
    .stop = sink_stop,
};

const struct stat_sink_type stat_sink_dog_statsd = {
    .ext =
        {
            .name = "envoy.stat_sinks.dog_statsd",
            .category = EXT_STAT_SINK,
            .descriptor = &envoy__config__metrics__v3__dog_statsd_sink__descriptor,
            .parse = dog_statsd_parse,
        },
    .start = sink_start,
    .begin = sink_begin,
    .take = sink_take,
    .end = sink_end,
    .stop = sink_stop,
};

const struct stat_sink_type stat_sink_graphite_statsd = {
    .ext =
        {
            .name = "envoy.stat_sinks.graphite_statsd",
            .category = EXT_STAT_SINK,
            .descriptor =
                &envoy__extensions__stat_sinks__graphite_statsd__v3__graphite_statsd_sink__descriptor,
            .parse = graphite_statsd_parse,
        },
    .start = sink_start,
    .begin = sink_begin,
    .take = sink_take,
    .end = sink_end,
    .stop = sink_stop,
};
