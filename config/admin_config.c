/* /config_dump in Envoy's shape, /xds and /unsupported. Rendered from the stored bytes on demand.
 * Main thread. */

#include "config/admin_config.h"

#include <string.h>

#include "config/pb_arena.h"
#include "config/pb_json.h"
#include "config/pb_registry.h"
#include "config/pb_unpack.h"
#include "config/store_internal.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/regex.h"
#include "proto/envoy/config/listener/v3/listener.pb-c.h"
#include "proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"
#include "proto/envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"

#define HCM_DESCRIPTOR                                                                             \
    (&envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor)
#define HCM_ROUTE_CONFIG_CASE                                                                      \
    ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG

static void member_str(struct json_writer *w, const char *key, struct str value)
{
    json_key(w, str_c(key));
    json_str(w, value);
}

static void member_time(struct json_writer *w, const char *key, uint64_t wall_ns)
{
    char iso[CLOCK_ISO_MS_BYTES];

    clock_iso_ms(wall_ns, iso);
    member_str(w, key, str_n(iso, sizeof(iso)));
}

/* --- /config_dump ------------------------------------------------------------------------- */

struct dump {
    struct json_writer w;
    const char *resource_key; /* "cluster" */
    struct regex *name_regex; /* NULL: all */
    enum { DUMP_STATIC, DUMP_ACTIVE, DUMP_WARMING } section;
    size_t count; /* written in this section; the array opens with the first */
    const char *section_key;
    const char *element_type; /* of ?resource=; NULL: whole dumps */
};

static bool dump_wants(const struct dump *d, const struct resource *r)
{
    if (d->name_regex != NULL && !regex_full_match(d->name_regex, r->slot->name)) {
        return false;
    }
    switch (d->section) {
    case DUMP_STATIC:
        return r->is_static;
    case DUMP_ACTIVE:
        return !r->is_static && r->published != NULL;
    default:
        return !r->is_static && r->accepted != NULL && r->published == NULL;
    }
}

static void dump_open_section(struct dump *d)
{
    if (d->count++ == 0 && d->element_type == NULL) {
        json_key(&d->w, str_c(d->section_key));
        json_array_begin(&d->w);
    }
}

static void dump_close_section(struct dump *d)
{
    if (d->count > 0 && d->element_type == NULL) {
        json_array_end(&d->w);
    }
}

/* ?resource=: each element stands alone and says what it is. */
static void dump_element_type(struct dump *d)
{
    struct strbuf url;

    if (d->element_type == NULL) {
        return;
    }
    strbuf_init(&url);
    strbuf_addf(&url, "type.googleapis.com/envoy.admin.v3.%s", d->element_type);
    json_key(&d->w, STR("@type"));
    json_str(&d->w, strbuf_str(&url));
    strbuf_done(&url);
}

static void dump_message(struct dump *d, const struct resource *r)
{
    json_key(&d->w, str_c(d->resource_key));
    pb_json_any(&d->w, str_c(resource_type_of(r->slot->kind)->type_url), r->bytes, r->len);
    member_time(&d->w, "last_updated", r->updated_wall_ns);
}

static void dump_error(struct dump *d, const struct resource *r)
{
    const struct resource_rejection *x = r->rejection;

    if (x == NULL) {
        return;
    }
    json_key(&d->w, STR("error_state"));
    json_object_begin(&d->w);
    if (x->len > 0) {
        json_key(&d->w, STR("failed_configuration"));
        pb_json_any(&d->w, str_c(resource_type_of(r->slot->kind)->type_url), x->bytes, x->len);
    }
    member_time(&d->w, "last_update_attempt", x->wall_ns);
    member_str(&d->w, "details", str_c(x->details));
    member_str(&d->w, "version_info", str_c(x->version));
    json_object_end(&d->w);
}

static void dump_resource(void *user, const struct resource *r)
{
    struct dump *d = user;

    if (r->bytes == NULL || !dump_wants(d, r)) {
        return;
    }
    dump_open_section(d);
    json_object_begin(&d->w);
    dump_element_type(d);
    if (!r->is_static) {
        member_str(&d->w, "version_info", str_c(r->version));
    }
    dump_message(d, r);
    dump_error(d, r);
    json_object_end(&d->w);
}

/* Listeners have a state per version, and an error even without any. */
static void dump_listener(void *user, const struct resource *r)
{
    struct dump *d = user;

    if (r->is_static ||
        (d->name_regex != NULL && !regex_full_match(d->name_regex, r->slot->name))) {
        return;
    }
    dump_open_section(d);
    json_object_begin(&d->w);
    dump_element_type(d);
    member_str(&d->w, "name", r->slot->name);
    if (r->bytes != NULL) {
        json_key(&d->w, r->accepted == r->published ? STR("active_state") : STR("warming_state"));
        json_object_begin(&d->w);
        member_str(&d->w, "version_info", str_c(r->version));
        dump_message(d, r);
        json_object_end(&d->w);
    }
    dump_error(d, r);
    json_object_end(&d->w);
}

static void dump_section(struct dump *d, const struct config_store *s, enum part_kind kind,
                         int section, const char *key, resource_visit_fn *visit)
{
    d->section = section;
    d->section_key = key;
    d->count = 0;
    config_store_visit(s, kind, visit, d);
    dump_close_section(d);
}

static void dump_begin(struct dump *d, const char *type)
{
    json_object_begin(&d->w);
    json_key(&d->w, STR("@type"));
    {
        struct strbuf url;

        strbuf_init(&url);
        strbuf_addf(&url, "type.googleapis.com/envoy.admin.v3.%s", type);
        json_str(&d->w, strbuf_str(&url));
        strbuf_done(&url);
    }
}

static void dump_version(struct dump *d, const struct config_store *s, enum part_kind kind)
{
    struct str version = config_store_counters(s, kind)->version;

    if (version.len > 0) {
        member_str(&d->w, "version_info", version);
    }
}

static void dump_bootstrap(struct dump *d, const struct admin_config *c)
{
    dump_begin(d, "BootstrapConfigDump");
    json_key(&d->w, STR("bootstrap"));
    pb_json_bytes(&d->w, &envoy__config__bootstrap__v3__bootstrap__descriptor, c->bootstrap->bytes,
                  c->bootstrap->len);
    member_time(&d->w, "last_updated", c->loaded_wall_ns);
    json_object_end(&d->w);
}

static void dump_clusters(struct dump *d, const struct admin_config *c)
{
    dump_begin(d, "ClustersConfigDump");
    d->resource_key = "cluster";
    dump_version(d, c->store, PART_CLUSTER);
    dump_section(d, c->store, PART_CLUSTER, DUMP_STATIC, "static_clusters", dump_resource);
    dump_section(d, c->store, PART_CLUSTER, DUMP_ACTIVE, "dynamic_active_clusters", dump_resource);
    dump_section(d, c->store, PART_CLUSTER, DUMP_WARMING, "dynamic_warming_clusters",
                 dump_resource);
    json_object_end(&d->w);
}

static void dump_endpoints(struct dump *d, const struct admin_config *c)
{
    dump_begin(d, "EndpointsConfigDump");
    d->resource_key = "endpoint_config";
    dump_section(d, c->store, PART_ENDPOINTS, DUMP_ACTIVE, "dynamic_endpoint_configs",
                 dump_resource);
    json_object_end(&d->w);
}

static void dump_listeners(struct dump *d, const struct admin_config *c)
{
    dump_begin(d, "ListenersConfigDump");
    d->resource_key = "listener";
    dump_version(d, c->store, PART_LISTENER);
    dump_section(d, c->store, PART_LISTENER, DUMP_STATIC, "static_listeners", dump_resource);
    dump_section(d, c->store, PART_LISTENER, DUMP_ACTIVE, "dynamic_listeners", dump_listener);
    json_object_end(&d->w);
}

/* --- inline route tables: inside the connection managers of listeners --- */

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    HttpConnectionManager;

static void dump_inline_route(struct dump *d, const struct resource *r,
                              const Google__Protobuf__Any *any, struct arena *arena)
{
    const ProtobufCMessageDescriptor *type =
        pb_find_message(any != NULL ? pb_type_name(str_c(any->type_url)) : STR(""));
    const HttpConnectionManager *hcm;
    ProtobufCMessage *m = NULL;
    struct error err;

    error_init(&err);
    if (type == HCM_DESCRIPTOR &&
        pb_unpack(type, any->value.data, any->value.len, arena, &m, &err) == 0) {
        hcm = (const HttpConnectionManager *)m;
        if (hcm->route_specifier_case == HCM_ROUTE_CONFIG_CASE) {
            size_t len;
            const uint8_t *bytes = pb_pack(&hcm->route_config->base, arena, &len);

            dump_open_section(d);
            json_object_begin(&d->w);
            dump_element_type(d);
            json_key(&d->w, STR("route_config"));
            pb_json_any(&d->w, str_c(resource_type_of(PART_ROUTE_TABLE)->type_url), bytes, len);
            member_time(&d->w, "last_updated", r->updated_wall_ns);
            json_object_end(&d->w);
        }
    }
    error_done(&err);
}

static void dump_chain_routes(struct dump *d, const struct resource *r,
                              const Envoy__Config__Listener__V3__FilterChain *chain,
                              struct arena *arena)
{
    for (size_t i = 0; chain != NULL && i < chain->n_filters; i++) {
        if (chain->filters[i]->config_type_case ==
            ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG) {
            dump_inline_route(d, r, chain->filters[i]->typed_config, arena);
        }
    }
}

static void dump_listener_routes(void *user, const struct resource *r)
{
    struct dump *d = user;
    const Envoy__Config__Listener__V3__Listener *l;
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;

    if (r->bytes == NULL) {
        return;
    }
    arena_init(&arena, NULL);
    error_init(&err);
    if (pb_unpack(&envoy__config__listener__v3__listener__descriptor, r->bytes, r->len, &arena, &m,
                  &err) == 0) {
        l = (const Envoy__Config__Listener__V3__Listener *)m;
        for (size_t i = 0; i < l->n_filter_chains; i++) {
            dump_chain_routes(d, r, l->filter_chains[i], &arena);
        }
        dump_chain_routes(d, r, l->default_filter_chain, &arena);
    }
    error_done(&err);
    arena_done(&arena);
}

static void dump_routes(struct dump *d, const struct admin_config *c)
{
    dump_begin(d, "RoutesConfigDump");
    dump_section(d, c->store, PART_LISTENER, DUMP_STATIC, "static_route_configs",
                 dump_listener_routes);
    d->resource_key = "route_config";
    dump_section(d, c->store, PART_ROUTE_TABLE, DUMP_ACTIVE, "dynamic_route_configs",
                 dump_resource);
    json_object_end(&d->w);
}

/* --- secrets --- */

#define TLS(suffix) Envoy__Extensions__TransportSockets__Tls__V3__##suffix

/* As Envoy, files are shown by what was read of them. */
static void resolve_file(Envoy__Config__Core__V3__DataSource *m, const struct secret_file *files)
{
    if (m == NULL ||
        m->specifier_case != ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME) {
        return;
    }
    for (const struct secret_file *f = files; f != NULL; f = f->next) {
        if (str_eq(f->path, str_c(m->filename))) {
            m->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
            m->inline_bytes.data = (uint8_t *)(uintptr_t)f->bytes.ptr;
            m->inline_bytes.len = f->bytes.len;
            return;
        }
    }
}

static void resolve_files(TLS(Secret) * m, const struct secret_file *files)
{
    if (m->type_case ==
        ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_TLS_CERTIFICATE) {
        resolve_file(m->tls_certificate->certificate_chain, files);
        resolve_file(m->tls_certificate->private_key, files);
    } else if (m->type_case ==
               ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT) {
        resolve_file(m->validation_context->trusted_ca, files);
        resolve_file(m->validation_context->crl, files);
    }
}

#undef TLS

static void dump_secret_message(struct dump *d, const struct resource *r)
{
    const struct resource_type *t = resource_type_of(PART_SECRET);
    const struct secret_file *files = ((const struct secret_config *)r->accepted)->files;
    const uint8_t *bytes = r->bytes;
    size_t len = r->len;
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;

    arena_init(&arena, NULL);
    error_init(&err);
    if (!r->is_static && files != NULL &&
        pb_unpack(t->descriptor, r->bytes, r->len, &arena, &m, &err) == 0) {
        resolve_files((Envoy__Extensions__TransportSockets__Tls__V3__Secret *)m, files);
        bytes = pb_pack(m, &arena, &len);
    }
    json_key(&d->w, STR("secret"));
    pb_json_any(&d->w, str_c(t->type_url), bytes, len);
    error_done(&err);
    arena_done(&arena);
}

static void dump_secret(void *user, const struct resource *r)
{
    struct dump *d = user;

    if (r->bytes == NULL || r->accepted == NULL || !dump_wants(d, r)) {
        return;
    }
    dump_open_section(d);
    json_object_begin(&d->w);
    dump_element_type(d);
    member_str(&d->w, "name", r->slot->name);
    if (!r->is_static) {
        member_str(&d->w, "version_info", str_c(r->version));
        member_time(&d->w, "last_updated", r->updated_wall_ns);
    }
    dump_secret_message(d, r);
    dump_error(d, r);
    json_object_end(&d->w);
}

/* Named, and not there: also what nobody has sent anything for. */
static void dump_waiting_secret(struct dump *d, const struct slot *slot)
{
    const struct resource *r = slot->resource;

    if (d->name_regex != NULL && !regex_full_match(d->name_regex, slot->name)) {
        return;
    }
    dump_open_section(d);
    json_object_begin(&d->w);
    dump_element_type(d);
    member_str(&d->w, "name", slot->name);
    member_str(&d->w, "version_info", STR("uninitialized")); /* as Envoy */
    json_key(&d->w, STR("secret"));
    json_object_begin(&d->w);
    member_str(&d->w, "@type", str_c(resource_type_of(PART_SECRET)->type_url));
    member_str(&d->w, "name", slot->name);
    json_object_end(&d->w);
    if (r != NULL) {
        dump_error(d, r);
    }
    json_object_end(&d->w);
}

static void dump_waiting_secrets(struct dump *d, const struct config_store *s)
{
    const struct slot_list *l = &s->slots[PART_SECRET];

    d->section_key = "dynamic_warming_secrets";
    d->count = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct slot *slot = l->by_index[i];

        if (slot != NULL && slot->source != NULL &&
            (slot->resource == NULL || slot->resource->published == NULL)) {
            dump_waiting_secret(d, slot);
        }
    }
    dump_close_section(d);
}

static void dump_secrets(struct dump *d, const struct admin_config *c)
{
    dump_begin(d, "SecretsConfigDump");
    dump_section(d, c->store, PART_SECRET, DUMP_STATIC, "static_secrets", dump_secret);
    dump_section(d, c->store, PART_SECRET, DUMP_ACTIVE, "dynamic_active_secrets", dump_secret);
    dump_waiting_secrets(d, c->store);
    json_object_end(&d->w);
}

/* The lists that ?resource= can name. */
static const struct dump_list {
    const char *name;
    const char *element_type;
    const char *resource_key;
    enum part_kind kind;
    int section;
    resource_visit_fn *visit;
} LISTS[] = {
    {"static_clusters", "ClustersConfigDump.StaticCluster", "cluster", PART_CLUSTER, DUMP_STATIC,
     dump_resource},
    {"dynamic_active_clusters", "ClustersConfigDump.DynamicCluster", "cluster", PART_CLUSTER,
     DUMP_ACTIVE, dump_resource},
    {"dynamic_warming_clusters", "ClustersConfigDump.DynamicCluster", "cluster", PART_CLUSTER,
     DUMP_WARMING, dump_resource},
    {"static_listeners", "ListenersConfigDump.StaticListener", "listener", PART_LISTENER,
     DUMP_STATIC, dump_resource},
    {"dynamic_listeners", "ListenersConfigDump.DynamicListener", "listener", PART_LISTENER,
     DUMP_ACTIVE, dump_listener},
    {"static_route_configs", "RoutesConfigDump.StaticRouteConfig", "route_config", PART_LISTENER,
     DUMP_STATIC, dump_listener_routes},
    {"dynamic_route_configs", "RoutesConfigDump.DynamicRouteConfig", "route_config",
     PART_ROUTE_TABLE, DUMP_ACTIVE, dump_resource},
    {"dynamic_endpoint_configs", "EndpointsConfigDump.DynamicEndpointConfig", "endpoint_config",
     PART_ENDPOINTS, DUMP_ACTIVE, dump_resource},
    {"static_secrets", "SecretsConfigDump.StaticSecret", "secret", PART_SECRET, DUMP_STATIC,
     dump_secret},
    {"dynamic_active_secrets", "SecretsConfigDump.DynamicSecret", "secret", PART_SECRET,
     DUMP_ACTIVE, dump_secret},
};

/* False when there is no such list. */
static bool dump_one_list(struct dump *d, const struct admin_config *c, struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(LISTS); i++) {
        if (str_eq(name, str_c(LISTS[i].name))) {
            d->element_type = LISTS[i].element_type;
            d->resource_key = LISTS[i].resource_key;
            dump_section(d, c->store, LISTS[i].kind, LISTS[i].section, LISTS[i].name,
                         LISTS[i].visit);
            return true;
        }
    }
    if (str_eq(name, STR("dynamic_warming_secrets"))) {
        d->element_type = "SecretsConfigDump.DynamicSecret";
        dump_waiting_secrets(d, c->store);
        return true;
    }
    if (str_eq(name, STR("bootstrap"))) {
        pb_json_any(&d->w, STR("type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap"),
                    c->bootstrap->bytes, c->bootstrap->len);
        return true;
    }
    return false;
}

static void dump_everything(struct dump *d, const struct admin_config *c, bool include_endpoints)
{
    dump_bootstrap(d, c);
    dump_clusters(d, c);
    if (include_endpoints) {
        dump_endpoints(d, c);
    }
    dump_listeners(d, c);
    dump_routes(d, c);
    dump_secrets(d, c);
}

static void config_dump_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    const struct admin_config *c = context;
    const struct str *regex = admin_param(rq, STR("name_regex"));
    const struct str *resource = admin_param(rq, STR("resource"));
    bool is_found;
    struct dump d = {.name_regex = NULL};
    struct error err;

    error_init(&err);
    if (regex != NULL && regex->len > 0 && regex_new(*regex, 0, &d.name_regex, &err) != 0) {
        rs->status = 400;
        strbuf_addf(&rs->body, "Error while parsing name_regex from %.*s", STR_ARG(*regex));
        error_done(&err);
        return;
    }
    rs->content_type = "application/json";
    json_init(&d.w, &rs->body, true);
    json_object_begin(&d.w);
    json_key(&d.w, STR("configs"));
    json_array_begin(&d.w);
    if (resource == NULL || resource->len == 0) {
        dump_everything(&d, c, admin_param(rq, STR("include_eds")) != NULL);
        is_found = true;
    } else {
        is_found = dump_one_list(&d, c, *resource);
    }
    json_array_end(&d.w);
    json_object_end(&d.w);
    strbuf_add_char(&rs->body, '\n');
    if (!is_found) {
        rs->status = 404;
        rs->content_type = "text/plain; charset=UTF-8";
        strbuf_reset(&rs->body);
        strbuf_addf(&rs->body, "%.*s not found in config dump", STR_ARG(*resource));
    }
    regex_free(d.name_regex);
    error_done(&err);
}

const struct admin_endpoint admin_config_dump_endpoint = {
    .path = "/config_dump",
    .help = "dump current Envoy configs",
    .render = config_dump_render,
};

/* --- /xds --------------------------------------------------------------------------------- */

static void xds_stream_row(void *user, const struct xds_stream_status *s)
{
    struct json_writer *w = user;

    json_object_begin(w);
    member_str(w, "cluster", s->cluster);
    json_key(w, STR("aggregated"));
    json_bool(w, s->is_aggregated);
    member_str(w, "protocol", s->is_delta ? STR("delta") : STR("sotw"));
    json_key(w, STR("connected"));
    json_bool(w, s->is_connected);
    json_key(w, STR("reconnects"));
    json_u64(w, s->reconnects);
    json_key(w, STR("requests_sent"));
    json_u64(w, s->requests_sent);
    json_key(w, STR("responses_received"));
    json_u64(w, s->responses_received);
    json_key(w, STR("too_large_messages"));
    json_u64(w, s->too_large_messages);
    member_str(w, "control_plane", s->control_plane);
    member_str(w, "last_error", s->last_error);
    json_object_end(w);
}

static const char *state_name(enum resource_state s)
{
    static const char *const NAMES[] = {"live", "warming", "removing", "refused"};

    return NAMES[s];
}

struct xds_page {
    struct json_writer w;
    bool show_all;
    uint64_t now_ms;
};

/* Only what is not simply live, unless ?all. */
static void xds_resource_row(void *user, const struct resource *r)
{
    struct xds_page *p = user;
    enum resource_state state = resource_state_of(r);
    struct strbuf waits;

    if (!p->show_all && state == RESOURCE_LIVE && r->rejection == NULL) {
        return;
    }
    strbuf_init(&waits);
    resource_waits_for(r, &waits);
    json_object_begin(&p->w);
    member_str(&p->w, "type", str_c(part_kind_name(r->slot->kind)));
    member_str(&p->w, "name", r->slot->name);
    member_str(&p->w, "state", str_c(state_name(state)));
    member_str(&p->w, "version", str_c(r->version));
    if (waits.len > 0) {
        member_str(&p->w, "waits_for", strbuf_str(&waits));
        json_key(&p->w, STR("since_ms"));
        json_u64(&p->w, p->now_ms - r->held_since_ms);
    }
    if (r->rejection != NULL) {
        json_key(&p->w, STR("rejected"));
        json_object_begin(&p->w);
        member_str(&p->w, "version", str_c(r->rejection->version));
        member_str(&p->w, "details", str_c(r->rejection->details));
        member_time(&p->w, "at", r->rejection->wall_ns);
        json_object_end(&p->w);
    }
    json_object_end(&p->w);
    strbuf_done(&waits);
}

static void xds_counters(struct json_writer *w, const struct config_store *s)
{
    json_object_begin(w);
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        const struct discovery_counters *n = config_store_counters(s, (enum part_kind)k);

        if (k == PART_FILTER_CHAIN) {
            continue;
        }
        json_key(w, str_c(part_kind_name((enum part_kind)k)));
        json_object_begin(w);
        json_key(w, STR("update_success"));
        json_u64(w, n->update_success);
        json_key(w, STR("update_rejected"));
        json_u64(w, n->update_rejected);
        json_key(w, STR("update_failure"));
        json_u64(w, n->update_failure);
        json_key(w, STR("init_fetch_timeout"));
        json_u64(w, n->init_fetch_timeout);
        json_key(w, STR("ignored_removals"));
        json_u64(w, n->ignored_removals);
        json_object_end(w);
    }
    json_object_end(w);
}

static void xds_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    const struct admin_config *c = context;
    struct xds_page p = {.show_all = admin_param(rq, STR("all")) != NULL,
                         .now_ms = loop_now_ms(c->store->params.loop)};

    rs->content_type = "application/json";
    json_init(&p.w, &rs->body, true);
    json_object_begin(&p.w);
    json_key(&p.w, STR("version"));
    json_u64(&p.w, config_store_version(c->store));
    json_key(&p.w, STR("streams"));
    json_array_begin(&p.w);
    if (c->xds != NULL) {
        xds_client_visit(c->xds, xds_stream_row, &p.w);
    }
    json_array_end(&p.w);
    json_key(&p.w, STR("counters"));
    xds_counters(&p.w, c->store);
    json_key(&p.w, STR("resources"));
    json_array_begin(&p.w);
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        config_store_visit(c->store, (enum part_kind)k, xds_resource_row, &p);
    }
    json_array_end(&p.w);
    json_object_end(&p.w);
    strbuf_add_char(&rs->body, '\n');
}

const struct admin_endpoint admin_xds_endpoint = {
    .path = "/xds",
    .help = "print discovery streams, and resources that are held, refused or being removed "
            "(?all: every one)",
    .render = xds_render,
};

/* --- /unsupported ------------------------------------------------------------------------- */

static void unsupported_row(void *user, const struct resource *r)
{
    struct json_writer *w = user;

    for (size_t i = 0; r->unsupported != NULL && i < r->unsupported->count; i++) {
        json_object_begin(w);
        member_str(w, "type", str_c(part_kind_name(r->slot->kind)));
        member_str(w, "name", r->slot->name);
        member_str(w, "field", str_c(r->unsupported->paths[i]));
        json_object_end(w);
    }
}

static void unsupported_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    const struct admin_config *c = context;
    struct json_writer w;

    (void)rq;
    rs->content_type = "application/json";
    json_init(&w, &rs->body, true);
    json_object_begin(&w);
    json_key(&w, STR("unsupported"));
    json_array_begin(&w);
    for (size_t i = 0; i < c->bootstrap->unsupported_count; i++) {
        json_object_begin(&w);
        member_str(&w, "type", STR("bootstrap"));
        member_str(&w, "field", str_c(c->bootstrap->unsupported[i]));
        json_object_end(&w);
    }
    for (int k = 0; k < PART_KIND_COUNT; k++) {
        config_store_visit(c->store, (enum part_kind)k, unsupported_row, &w);
    }
    json_array_end(&w);
    json_object_end(&w);
    strbuf_add_char(&rs->body, '\n');
}

const struct admin_endpoint admin_unsupported_endpoint = {
    .path = "/unsupported",
    .help = "print configured fields that this build ignores",
    .render = unsupported_render,
};
