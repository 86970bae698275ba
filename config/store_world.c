/* A process in miniature around the store. One thread. */

#include "config/store_world.h"

#include <stdio.h>
#include <stdlib.h>

#include "config/model/route.h"
#include "config/parse/core.h"
#include "config/parse/parse_support.h"
#include "config/parse/tls_context.h"
#include "config/pb_arena.h"
#include "config/pb_text.h"
#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    http_connection_manager_message;

/* --- a connection manager that only names its route table ----------------------------------- */

static int manager_parse(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret)
{
    const http_connection_manager_message *m = (const http_connection_manager_message *)msg;
    struct config_source *source = ARENA_NEW(parse_arena(ctx), struct config_source);
    struct str name;
    int r;

    *ret = NULL;
    if (m->rds == NULL) {
        return parse_fail(ctx, E_INVALID, "route_specifier", "value is required");
    }
    name = parse_str(ctx, m->rds->route_config_name);
    r = parse_config_source(ctx, m->rds->config_source, source);
    if (r == 0) {
        (void)parse_slot(ctx, PART_ROUTE_TABLE, name);
        parse_subscribe(ctx, PART_ROUTE_TABLE, name, source, STR("x"));
    }
    return r;
}

static const struct extension manager = {
    .name = "envoy.filters.network.http_connection_manager",
    .category = EXT_NETWORK_FILTER,
    .is_terminal = true,
    .descriptor =
        &envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor,
    .parse = manager_parse,
};

/* --- TLS that only names its secrets -------------------------------------------------------- */

static int tls_parse(struct parse_context *ctx, const ProtobufCMessage *msg, const void **ret)
{
    struct tls_client_config *config = ARENA_NEW(parse_arena(ctx), struct tls_client_config);

    *ret = config;
    return parse_upstream_tls_context(
        ctx, (const Envoy__Extensions__TransportSockets__Tls__V3__UpstreamTlsContext *)msg, config);
}

static const struct extension tls = {
    .name = "envoy.transport_sockets.tls",
    .category = EXT_UPSTREAM_TRANSPORT_SOCKET,
    .descriptor = &envoy__extensions__transport_sockets__tls__v3__upstream_tls_context__descriptor,
    .parse = tls_parse,
};

/* A certificate is its text, and that of its key is the same. */
static int world_certificate(struct part *part, const struct tls_certificate_source *src,
                             const struct tls_certificate **ret, struct error *reterr)
{
    if (!str_eq(src->chain.bytes, src->key.bytes)) {
        return error_set(reterr, E_INVALID, "mismatch");
    }
    *ret = (const struct tls_certificate *)arena_printf(&part->arena, "%.*s",
                                                        STR_ARG(src->chain.bytes))
               .ptr;
    return 0;
}

static int world_trust(struct part *part, const struct tls_trust_source *src,
                       const struct tls_trust **ret, struct error *reterr)
{
    (void)reterr;
    *ret = (const struct tls_trust *)arena_printf(&part->arena, "%.*s", STR_ARG(src->ca.bytes)).ptr;
    return 0;
}

static const struct tls_builder world_tls = {.certificate = world_certificate,
                                             .trust = world_trust};

static void world_make_registry(struct world *w)
{
    size_t n = parse_test_registry.count;

    CHECK(n + 1 <= ARRAY_LEN(w->extensions));
    for (size_t i = 0; i < n; i++) {
        const struct extension *e = parse_test_registry.extensions[i];

        w->extensions[i] = e->descriptor == manager.descriptor ? &manager : e;
    }
    w->extensions[n++] = &tls;
    w->registry = (struct extension_registry){w->extensions, n};
}

/* --- words to messages ---------------------------------------------------------------------- */

struct word {
    struct str name;
    struct str list;   /* behind = */
    struct str marker; /* behind @, $ or # */
    struct str number; /* behind # */
    bool is_bad;
};

static struct word word_parse(struct str s)
{
    struct word w = {.is_bad = str_ends(s, STR("!"))};
    size_t at;

    s = str_sub(s, 0, s.len - w.is_bad);
    at = str_find_char(s, '#');
    if (at != STR_NPOS) {
        w.number = str_sub(s, at + 1, s.len);
        s = str_sub(s, 0, at);
    }
    at = str_find_char(s, '=');
    if (at != STR_NPOS) {
        w.list = str_sub(s, at + 1, s.len);
        s = str_sub(s, 0, at);
    }
    at = str_find_char(s, '@');
    if (at == STR_NPOS) {
        at = str_find_char(s, '$');
    }
    if (at != STR_NPOS) {
        w.marker = str_sub(s, at, s.len);
        s = str_sub(s, 0, at);
    }
    w.name = s;
    return w;
}

static void yaml_endpoint(struct strbuf *out, struct str port)
{
    strbuf_addf(out,
                "{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %.*s}}}}, ",
                STR_ARG(port));
}

static void yaml_cluster(const struct world *w, const struct word *c, struct strbuf *out)
{
    struct str number = c->is_bad ? STR("-1") : c->number.len > 0 ? c->number : STR("5");

    strbuf_addf(out, "{name: %.*s, connect_timeout: %.*ss, ", STR_ARG(c->name), STR_ARG(number));
    if (str_starts(c->marker, STR("$"))) {
        strbuf_addf(out, "load_assignment: {cluster_name: x, endpoints: [{lb_endpoints: [");
        yaml_endpoint(out, str_sub(c->marker, 1, c->marker.len));
        strbuf_add_c(out, "]}]}}");
        return;
    }
    strbuf_add_c(out, "type: EDS, eds_cluster_config: {");
    if (c->marker.len > 0) {
        strbuf_addf(out, "service_name: %.*s, ", STR_ARG(str_sub(c->marker, 1, c->marker.len)));
    }
    strbuf_addf(out, "eds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: %s}}}",
                w->eds_timeout);
}

static void yaml_endpoints(const struct word *e, struct strbuf *out)
{
    struct str rest = e->list;
    struct str port;

    strbuf_addf(out, "{cluster_name: %.*s, endpoints: [{priority: %d, lb_endpoints: [",
                STR_ARG(e->name), e->is_bad ? 1000 : 0);
    while (rest.len > 0 && str_split(&rest, ',', &port)) {
        yaml_endpoint(out, port);
    }
    strbuf_add_c(out, "]}]}");
}

static void yaml_routes(const struct word *r, struct strbuf *out)
{
    struct str rest = r->list;
    struct str cluster;
    size_t n = 0;

    strbuf_addf(out, "{name: %.*s, virtual_hosts: [{name: v%.*s, domains: [%s], routes: [",
                STR_ARG(r->name), STR_ARG(r->number), r->is_bad ? "" : "'*'");
    while (rest.len > 0 && str_split(&rest, ',', &cluster)) {
        strbuf_addf(out, "{match: {prefix: /%zu}, route: {cluster: %.*s}}, ", n++,
                    STR_ARG(cluster));
    }
    strbuf_add_c(out, "]}]}");
}

static void yaml_listener(const struct world *w, const struct word *l, struct strbuf *out)
{
    struct str rest = l->list;
    struct str table;
    unsigned port = 1;

    strbuf_addf(out, "{name: %.*s, ", STR_ARG(l->name));
    if (!l->is_bad) {
        strbuf_add_c(out, "address: {socket_address: {address: 127.0.0.1, port_value: 1}}, ");
    }
    if (l->number.len > 0) {
        strbuf_addf(out, "stat_prefix: s%.*s, ", STR_ARG(l->number));
    }
    strbuf_add_c(out, "filter_chains: [");
    while (rest.len > 0 && str_split(&rest, ',', &table)) {
        strbuf_addf(
            out,
            "{filter_chain_match: {destination_port: %u}, filters: [{name: http, typed_config: "
            "{'@type': type.googleapis.com/envoy.extensions.filters.network."
            "http_connection_manager.v3.HttpConnectionManager, stat_prefix: x, rds: "
            "{route_config_name: %.*s, config_source: {ads: {}, resource_api_version: V3, "
            "initial_fetch_timeout: %s}}}}]}, ",
            port++, STR_ARG(table), w->rds_timeout);
    }
    strbuf_add_c(out, "]}");
}

static ProtobufCMessage *parse_yaml(enum part_kind kind, struct str yaml, struct arena *a)
{
    struct pb_text_options options = {.allow_unknown = false};
    const struct text_node *root;
    ProtobufCMessage *m = NULL;
    struct error err;
    int r;

    error_init(&err);
    r = yaml_parse(arena_str(a, yaml), a, &root, &err);
    if (r == 0) {
        r = pb_from_text(root, resource_type_of(kind)->descriptor, &options, a, &m, &err);
    }
    if (r != 0) {
        log_error(LOG_C_CONFIG, "%.*s: %s", STR_ARG(yaml), error_message(&err));
    }
    CHECK(r == 0);
    error_done(&err);
    return m;
}

static struct str pack(const ProtobufCMessage *m, struct arena *a)
{
    size_t len = 0;
    uint8_t *bytes = pb_pack(m, a, &len);

    return str_n((const char *)bytes, len);
}

struct str message_from_yaml(enum part_kind kind, struct str yaml, struct arena *a)
{
    return pack(parse_yaml(kind, yaml, a), a);
}

/* The message itself, in the arena. */
static ProtobufCMessage *world_parse(struct world *w, enum part_kind kind, struct str text,
                                     struct arena *a, struct str *ret_name)
{
    struct word word = word_parse(text);
    ProtobufCMessage *m;
    struct strbuf yaml;

    strbuf_init(&yaml);
    switch (kind) {
    case PART_CLUSTER:
        yaml_cluster(w, &word, &yaml);
        break;
    case PART_ENDPOINTS:
        yaml_endpoints(&word, &yaml);
        break;
    case PART_ROUTE_TABLE:
        yaml_routes(&word, &yaml);
        break;
    default:
        yaml_listener(w, &word, &yaml);
        break;
    }
    m = parse_yaml(kind, strbuf_str(&yaml), a);
    if (ret_name != NULL) {
        *ret_name = arena_str(a, word.name);
    }
    strbuf_done(&yaml);
    return m;
}

struct str world_message(struct world *w, enum part_kind kind, struct str word, struct arena *a,
                         struct str *ret_name)
{
    return pack(world_parse(w, kind, word, a, ret_name), a);
}

/* --- the control plane ---------------------------------------------------------------------- */

static struct str type_url_of(enum part_kind kind)
{
    return str_c(resource_type_of(kind)->type_url);
}

static void world_send(struct world *w, enum part_kind kind, const struct fake_resource *resources,
                       size_t count, const struct str *removed, size_t removed_count)
{
    char version[16];
    char nonce[16];

    (void)snprintf(version, sizeof(version), "%u", ++w->versions);
    (void)snprintf(nonce, sizeof(nonce), "n%u", ++w->nonces);
    CHECK(fake_ads_stream(w->ads) != NULL);
    fake_stream_respond(fake_ads_stream(w->ads), &(struct fake_response){
                                                     .type_url = type_url_of(kind),
                                                     .version = str_c(version),
                                                     .nonce = str_c(nonce),
                                                     .resources = resources,
                                                     .resource_count = count,
                                                     .removed = removed,
                                                     .removed_count = removed_count,
                                                 });
    world_turn(w);
}

void world_respond_with(struct world *w, enum part_kind kind, const struct fake_resource *resources,
                        size_t count)
{
    world_send(w, kind, resources, count, NULL, 0);
}

void world_respond(struct world *w, enum part_kind kind, const char *words)
{
    struct fake_resource resources[WORLD_SLOTS];
    struct str removed[WORLD_SLOTS];
    size_t n = 0;
    size_t removed_n = 0;
    struct str rest = str_c(words);
    struct str word;
    struct arena a;

    arena_init(&a, NULL);
    while (rest.len > 0 && str_split(&rest, ' ', &word)) {
        CHECK(n < WORLD_SLOTS && removed_n < WORLD_SLOTS);
        if (str_starts(word, STR("-"))) {
            removed[removed_n++] = str_sub(word, 1, word.len);
        } else {
            struct str name = STR_NONE;
            struct str bytes = world_message(w, kind, word, &a, &name);

            resources[n++] = (struct fake_resource){
                .name = w->is_delta ? name : STR_NONE,
                .version = STR("v"),
                .bytes = bytes,
            };
        }
    }
    world_send(w, kind, resources, n, removed, removed_n);
    arena_done(&a);
}

const char *world_request(struct world *w, enum part_kind kind)
{
    struct fake_request *rq;
    const char *text = NULL;

    while (text == NULL && (rq = fake_ads_take(w->ads)) != NULL) {
        if (str_eq(rq->type_url, type_url_of(kind))) {
            strbuf_reset(&w->text);
            strbuf_add_str(&w->text, str_c(fake_request_text(rq)));
            text = w->text.ptr;
        }
        fake_request_free(rq);
    }
    return text;
}

/* --- the worker ----------------------------------------------------------------------------- */

static void world_check_dep(struct config_store *s, struct slot *slot, void *user)
{
    struct world *w = user;
    const struct resource *r = slot->resource;
    bool is_unknown_cluster = slot->kind == PART_CLUSTER && (r == NULL || r->accepted == NULL);

    /* Named and not there: only when waiting for it was given up, at start-up for a cluster that
     * CDS does not know, or for one that was withdrawn and whose time was up. */
    CHECK(w->published[slot->kind][slot->index] != NULL ||
          (!w->is_strict && (slot->is_given_up ||
                             (is_unknown_cluster && (!s->is_open || w->is_expired[slot->index])))));
}

static void world_check_closed(struct world *w)
{
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        for (size_t i = 0; i < WORLD_SLOTS; i++) {
            if (w->published[k][i] != NULL) {
                store_each_dep(w->store, w->published[k][i], world_check_dep, w);
            }
        }
    }
}

struct mention {
    const struct slot *slot;
    bool is_found;
};

static void find_mention(struct config_store *s, struct slot *slot, void *user)
{
    struct mention *m = user;

    (void)s;
    m->is_found |= slot == m->slot;
}

static bool world_is_mentioned(struct world *w, const struct slot *slot)
{
    struct mention m = {.slot = slot};

    for (size_t i = 0; i < WORLD_SLOTS; i++) {
        const struct part *p = w->published[PART_ROUTE_TABLE][i];

        if (p != NULL) {
            store_each_dep(w->store, p, find_mention, &m);
        }
    }
    return m.is_found;
}

static void world_apply(struct world *w, const struct snapshot_change *c)
{
    const struct part **at = &w->published[c->kind][c->slot];

    CHECK(c->slot < WORLD_SLOTS);
    CHECK(*at == c->before && (c->before != NULL || c->after != NULL));
    CHECK(c->after == NULL || (c->after->slot == c->slot && c->after->kind == c->kind));
    CHECK(c->kind != PART_LISTENER || c->after == NULL || w->store->is_open);
    *at = c->after;
    if (c->kind == PART_CLUSTER) {
        w->is_expired[c->slot] = false;
    }
}

/* A cluster that is still named goes only when its time is up. */
static void world_check_removals(struct world *w, const struct snapshot *s)
{
    for (size_t i = 0; i < s->change_count; i++) {
        const struct snapshot_change *c = &s->changes[i];
        const struct slot *slot = store_slot_at(w->store, c->kind, c->slot);

        if (c->kind == PART_CLUSTER && c->after == NULL && slot != NULL) {
            w->is_expired[c->slot] = world_is_mentioned(w, slot);
        }
    }
}

static void world_publish(void *ctx, struct snapshot *take)
{
    struct world *w = ctx;

    w->publications++;
    w->last_change_count = take->change_count;
    CHECK(take->version == w->publications && take->change_count > 0);
    for (size_t i = 0; i < take->change_count; i++) {
        part_ref(take->changes[i].after);
        world_apply(w, &take->changes[i]);
    }
    world_check_removals(w, take);
    world_check_closed(w);
    for (size_t i = 0; i < take->change_count; i++) {
        part_unref(take->changes[i].before);
    }
    CHECK(w->kept_count < WORLD_SLOTS);
    w->kept[w->kept_count++] = take;
    if (!w->keeps_snapshots) {
        world_reclaim(w);
    }
}

void world_reclaim(struct world *w)
{
    for (size_t i = 0; i < w->kept_count; i++) {
        snapshot_free(w->kept[i]);
    }
    w->kept_count = 0;
}

static void world_on_initialized(void *ctx)
{
    struct world *w = ctx;

    CHECK(!w->is_initialized);
    w->is_initialized = true;
}

/* --- the listener manager ------------------------------------------------------------------- */

static int world_prepare(void *ctx, const struct listener_config *l,
                         const struct listener_config *before, struct error *reterr)
{
    struct world *w = ctx;

    (void)before;
    if (w->unbindable != NULL && str_eq(l->name, str_c(w->unbindable))) {
        return error_set(reterr, E_SYS, "cannot bind '127.0.0.1:1': Address already in use");
    }
    CHECK(w->prepared_count < WORLD_PREPARED);
    w->prepared[w->prepared_count++] = l;
    return 0;
}

static void world_discard(void *ctx, const struct listener_config *l)
{
    struct world *w = ctx;

    for (size_t i = 0; i < w->prepared_count; i++) {
        if (w->prepared[i] == l) {
            w->prepared[i] = w->prepared[--w->prepared_count];
            return;
        }
    }
    CHECK(!"a listener was discarded that was not prepared");
}

/* --- reading -------------------------------------------------------------------------------- */

struct lister {
    struct strbuf *out;
    enum part_kind kind;
    const char *separator;
};

static void list_dep(struct config_store *s, struct slot *slot, void *user)
{
    struct lister *l = user;

    (void)s;
    if (slot->kind == l->kind) {
        strbuf_addf(l->out, "%s%.*s", l->separator, STR_ARG(slot->name));
        l->separator = ",";
    }
}

static void text_cluster(const struct cluster_config *c, struct strbuf *out)
{
    strbuf_add_str(out, c->name);
    if (c->type == DISCOVERY_STATIC) {
        strbuf_addf(out, "$%u", address_port(&c->load_assignment[0].endpoints[0].address));
    } else if (c->eds_service_name.len > 0 && !str_eq(c->eds_service_name, c->name)) {
        strbuf_addf(out, "@%.*s", STR_ARG(c->eds_service_name));
    }
    if (c->connect_timeout_ms != 5000) {
        strbuf_addf(out, "#%u", (unsigned)(c->connect_timeout_ms / 1000));
    }
}

static void text_endpoints(const struct endpoint_set *e, struct strbuf *out)
{
    const char *separator = "=";

    strbuf_addf(out, "%.*s", (int)strnlen(e->part.name.ptr, e->part.name.len), e->part.name.ptr);
    for (size_t i = 0; i < e->locality_count; i++) {
        for (size_t k = 0; k < e->localities[i].endpoint_count; k++) {
            strbuf_addf(out, "%s%u", separator,
                        address_port(&e->localities[i].endpoints[k].address));
            separator = ",";
        }
    }
}

static void text_number(struct str text, struct strbuf *out)
{
    if (text.len > 1) {
        strbuf_addf(out, "#%.*s", STR_ARG(str_sub(text, 1, text.len)));
    }
}

static void text_secret(const struct secret_config *s, struct strbuf *out)
{
    const void *text = s->kind == SECRET_TLS_CERTIFICATE ? (const void *)s->certificate
                                                         : (const void *)s->validation.trust;

    strbuf_addf(out, "%.*s=%s", STR_ARG(s->part.name), (const char *)text);
}

static void text_part(struct world *w, const struct part *p, struct strbuf *out)
{
    struct lister l = {out, PART_CLUSTER, "="};

    switch (p->kind) {
    case PART_CLUSTER:
        text_cluster((const struct cluster_config *)p, out);
        break;
    case PART_ENDPOINTS:
        text_endpoints((const struct endpoint_set *)p, out);
        break;
    case PART_ROUTE_TABLE:
        strbuf_add_str(out, p->name);
        store_each_dep(w->store, p, list_dep, &l);
        text_number(((const struct route_config *)p)->vhosts[0].name, out);
        break;
    case PART_SECRET:
        text_secret((const struct secret_config *)p, out);
        break;
    default:
        l.kind = PART_ROUTE_TABLE;
        strbuf_add_str(out, p->name);
        store_each_dep(w->store, p, list_dep, &l);
        text_number(((const struct listener_config *)p)->stat_prefix, out);
        break;
    }
}

static int part_cmp(const void *a, const void *b)
{
    const struct part *x = *(const struct part *const *)a;
    const struct part *y = *(const struct part *const *)b;
    int order = str_cmp(x->name, y->name);

    return order != 0 ? order : (int)x->slot - (int)y->slot;
}

const char *world_text(struct world *w, enum part_kind kind)
{
    const struct part *parts[WORLD_SLOTS];
    size_t n = 0;

    for (size_t i = 0; i < WORLD_SLOTS; i++) {
        if (w->published[kind][i] != NULL) {
            parts[n++] = w->published[kind][i];
        }
    }
    qsort(parts, n, sizeof(struct part *), part_cmp);
    strbuf_reset(&w->text);
    strbuf_add_c(&w->text, "");
    for (size_t i = 0; i < n; i++) {
        strbuf_add_c(&w->text, i > 0 ? " " : "");
        text_part(w, parts[i], &w->text);
    }
    return w->text.ptr;
}

const char *world_waits(struct world *w, enum part_kind kind, const char *name)
{
    const struct slot *slot = map_get(&w->store->slots[kind].by_key, str_c(name));

    strbuf_reset(&w->text);
    strbuf_add_c(&w->text, "");
    CHECK(slot != NULL && slot->resource != NULL);
    resource_waits_for(slot->resource, &w->text);
    return w->text.ptr;
}

/* --- life ----------------------------------------------------------------------------------- */

void world_init(struct world *w, bool is_delta)
{
    struct xds_source ads = {
        .kind = XDS_SOURCE_GRPC,
        .is_delta = is_delta,
        .cluster_name = STR("control_plane"),
    };

    memset(w, 0, sizeof(*w));
    sim_loop_init(&w->loop, 1);
    w->is_delta = is_delta;
    w->eds_timeout = "15s";
    w->rds_timeout = "15s";
    strbuf_init(&w->text);
    w->ads = fake_ads_new(&w->loop);
    w->xds = xds_client_new(&(struct xds_client_params){
        .loop = &w->loop,
        .dialer = fake_ads_dialer(w->ads),
        .transports = fake_ads_transports(w->ads),
    });
    xds_client_set_ads(w->xds, &ads);
    world_make_registry(w);
    w->store = config_store_new(&(struct config_store_params){
        .loop = &w->loop,
        .registry = &w->registry,
        .xds = w->xds,
        .tls = &world_tls,
        .missing_cluster_hold_ms = 1000,
        .removed_cluster_hold_ms = 15000,
        .ops =
            {
                .publish = world_publish,
                .listener_prepare = world_prepare,
                .listener_discard = world_discard,
                .initialized = world_on_initialized,
                .ctx = w,
            },
    });
}

void world_start(struct world *w)
{
    struct config_source ads = {.kind = CONFIG_SOURCE_ADS, .initial_fetch_timeout_ms = 15000};

    config_store_start(w->store, &ads, &ads);
    world_turn(w);
}

static void world_on_closed(void *user)
{
    *(bool *)user = true;
}

void world_done(struct world *w)
{
    bool is_closed = false;

    config_store_stop(w->store);
    xds_client_close(w->xds, world_on_closed, &is_closed);
    sim_loop_turn(&w->loop);
    CHECK(is_closed);
    world_reclaim(w);
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        for (size_t i = 0; i < WORLD_SLOTS; i++) {
            part_unref(w->published[k][i]);
        }
    }
    config_store_free(w->store);
    fake_ads_free(w->ads);
    strbuf_done(&w->text);
    sim_loop_done(&w->loop);
}

void world_put_static(struct world *w, enum part_kind kind, const char *word)
{
    struct arena a;
    struct error err;
    int r;

    arena_init(&a, NULL);
    error_init(&err);
    r = config_store_put_static(w->store, kind, world_parse(w, kind, str_c(word), &a, NULL), &err);
    CHECK(r == 0);
    error_done(&err);
    arena_done(&a);
}

void world_turn(struct world *w)
{
    sim_loop_turn(&w->loop);
}

void world_advance(struct world *w, uint64_t ms)
{
    sim_loop_advance(&w->loop, ms);
}
