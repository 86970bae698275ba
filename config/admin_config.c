/* /config_dump in Envoy's shape, /xds and /unsupported. Rendered from the stored bytes on demand.
 * Main thread. */

#include "config/admin_config.h"

#include <string.h>

#include "config/pb_json.h"
#include "config/store_internal.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/regex.h"

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
    if (d->count++ == 0) {
        json_key(&d->w, str_c(d->section_key));
        json_array_begin(&d->w);
    }
}

static void dump_close_section(struct dump *d)
{
    if (d->count > 0) {
        json_array_end(&d->w);
    }
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

static void dump_routes(struct dump *d, const struct admin_config *c)
{
    dump_begin(d, "RoutesConfigDump");
    d->resource_key = "route_config";
    dump_section(d, c->store, PART_ROUTE_TABLE, DUMP_ACTIVE, "dynamic_route_configs",
                 dump_resource);
    json_object_end(&d->w);
}

static bool wants_part(const struct admin_request *rq, const char *resource)
{
    const struct str *r = admin_param(rq, STR("resource"));

    return r == NULL || r->len == 0 || str_starts(*r, str_c(resource)) ||
           (strcmp(resource, "static_clusters") == 0 &&
            str_find(*r, STR("_clusters")) != STR_NPOS) ||
           (strcmp(resource, "static_listeners") == 0 &&
            str_find(*r, STR("_listeners")) != STR_NPOS) ||
           (strcmp(resource, "static_route") == 0 && str_find(*r, STR("_route_")) != STR_NPOS);
}

static void config_dump_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    const struct admin_config *c = context;
    const struct str *regex = admin_param(rq, STR("name_regex"));
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
    if (wants_part(rq, "bootstrap")) {
        dump_bootstrap(&d, c);
    }
    if (wants_part(rq, "static_clusters")) {
        dump_clusters(&d, c);
    }
    if (admin_param(rq, STR("include_eds")) != NULL) {
        dump_endpoints(&d, c);
    }
    if (wants_part(rq, "static_listeners")) {
        dump_listeners(&d, c);
    }
    if (wants_part(rq, "static_route")) {
        dump_routes(&d, c);
    }
    json_array_end(&d.w);
    json_object_end(&d.w);
    strbuf_add_char(&rs->body, '\n');
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
