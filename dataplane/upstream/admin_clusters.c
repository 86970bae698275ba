/*
 * The admin page /clusters in Envoy's two shapes, from main's registry: what is published, with
 * the counts that all threads keep per host. Main thread.
 */

#include "dataplane/upstream/admin_clusters.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/json.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/upstream/cluster_registry_internal.h"

struct host_stat_name {
    enum host_stat stat;
    const char *name;
    bool is_gauge;
};

/* In the order of the text form; JSON has counters first. */
static const struct host_stat_name host_stats[] = {
    {HOST_CX_ACTIVE, "cx_active", true},    {HOST_CX_CONNECT_FAIL, "cx_connect_fail", false},
    {HOST_CX_TOTAL, "cx_total", false},     {HOST_RQ_ACTIVE, "rq_active", true},
    {HOST_RQ_ERROR, "rq_error", false},     {HOST_RQ_PENDING_ACTIVE, "rq_pending_active", true},
    {HOST_RQ_SUCCESS, "rq_success", false}, {HOST_RQ_TIMEOUT, "rq_timeout", false},
    {HOST_RQ_TOTAL, "rq_total", false},
};

_Static_assert(ARRAY_LEN(host_stats) == HOST_STAT_COUNT, "every count is shown");

static const char *health_flags(enum health_status s)
{
    switch (s) {
    case HEALTH_UNHEALTHY:
    case HEALTH_TIMEOUT:
        return "/failed_eds_health";
    case HEALTH_DRAINING:
        return "/eds_status_draining";
    case HEALTH_DEGRADED:
        return "/degraded_eds_health";
    case HEALTH_UNKNOWN:
    case HEALTH_HEALTHY:
        break;
    }
    return "healthy";
}

static const char *eds_health_name(enum health_status s)
{
    switch (s) {
    case HEALTH_UNHEALTHY:
    case HEALTH_TIMEOUT: /* as Envoy */
        return "UNHEALTHY";
    case HEALTH_DRAINING:
        return "DRAINING";
    case HEALTH_DEGRADED:
        return "DEGRADED";
    case HEALTH_UNKNOWN:
    case HEALTH_HEALTHY:
        break;
    }
    return "HEALTHY";
}

/* --- text --------------------------------------------------------------------------------- */

static void text_limits(struct strbuf *out, const struct registered_cluster *rc,
                        enum routing_priority p)
{
    const struct cluster_config *c = rc->config;

    for (int i = 0; i < BREAKER_RESOURCE_COUNT; i++) {
        enum breaker_resource resource = (enum breaker_resource)i;

        strbuf_addf(out, "%.*s::%s_priority::%s::%u\n", STR_ARG(c->name),
                    p == PRIORITY_HIGH ? "high" : "default", breaker_limit_name(resource),
                    breaker_limit_now(rc->registry->thread, c, p, resource));
    }
}

static void text_host(struct strbuf *out, const struct registered_cluster *rc,
                      const struct locality_endpoints *le, const struct endpoint *e)
{
    struct str cluster = rc->config->name;
    uint64_t totals[HOST_STAT_COUNT];
    char address[ADDRESS_TEXT_MAX];

    cluster_shared_host_totals(rc->shared, endpoint_key(e), totals);
    (void)address_format(&e->address, address);
    for (size_t i = 0; i < ARRAY_LEN(host_stats); i++) {
        strbuf_addf(out, "%.*s::%s::%s::%llu\n", STR_ARG(cluster), address, host_stats[i].name,
                    (unsigned long long)totals[host_stats[i].stat]);
    }
    strbuf_addf(out, "%.*s::%s::hostname::%.*s\n", STR_ARG(cluster), address, STR_ARG(e->hostname));
    strbuf_addf(out, "%.*s::%s::health_flags::%s\n", STR_ARG(cluster), address,
                health_flags(e->health));
    strbuf_addf(out, "%.*s::%s::weight::%u\n", STR_ARG(cluster), address, e->weight);
    strbuf_addf(out, "%.*s::%s::region::%.*s\n", STR_ARG(cluster), address,
                STR_ARG(le->locality.region));
    strbuf_addf(out, "%.*s::%s::zone::%.*s\n", STR_ARG(cluster), address,
                STR_ARG(le->locality.zone));
    strbuf_addf(out, "%.*s::%s::sub_zone::%.*s\n", STR_ARG(cluster), address,
                STR_ARG(le->locality.sub_zone));
    strbuf_addf(out, "%.*s::%s::canary::%s\n", STR_ARG(cluster), address,
                endpoint_is_canary(e) ? "true" : "false");
    strbuf_addf(out, "%.*s::%s::priority::%u\n", STR_ARG(cluster), address, le->priority);
    strbuf_addf(out, "%.*s::%s::success_rate::-1\n", STR_ARG(cluster), address);
    strbuf_addf(out, "%.*s::%s::local_origin_success_rate::-1\n", STR_ARG(cluster), address);
}

static void text_cluster(struct strbuf *out, const struct registered_cluster *rc)
{
    const struct cluster_config *c = rc->config;
    const struct endpoint_set *s = rc->endpoints;

    strbuf_addf(out, "%.*s::observability_name::%.*s\n", STR_ARG(c->name), STR_ARG(c->stat_name));
    text_limits(out, rc, PRIORITY_DEFAULT);
    text_limits(out, rc, PRIORITY_HIGH);
    strbuf_addf(out, "%.*s::added_via_api::%s\n", STR_ARG(c->name),
                c->added_via_api ? "true" : "false");
    if (c->eds_service_name.len > 0) {
        strbuf_addf(out, "%.*s::eds_service_name::%.*s\n", STR_ARG(c->name),
                    STR_ARG(c->eds_service_name));
    }
    for (size_t i = 0; s != NULL && i < s->locality_count; i++) {
        for (size_t j = 0; j < s->localities[i].endpoint_count; j++) {
            text_host(out, rc, &s->localities[i], &s->localities[i].endpoints[j]);
        }
    }
}

/* --- JSON: envoy.admin.v3.Clusters, default values left out ------------------------------- */

static void json_field(struct json_writer *w, const char *key, struct str value)
{
    if (value.len > 0) {
        json_key(w, str_c(key));
        json_str(w, value);
    }
}

static void json_count(struct json_writer *w, const char *key, uint64_t value)
{
    if (value > 0) {
        json_key(w, str_c(key));
        json_u64(w, value);
    }
}

/* 64-bit numbers are strings in proto3 JSON. */
static void json_host_stats(struct json_writer *w, const uint64_t totals[HOST_STAT_COUNT],
                            bool gauges)
{
    for (size_t i = 0; i < ARRAY_LEN(host_stats); i++) {
        char digits[U64_DIGITS];
        uint64_t value = totals[host_stats[i].stat];

        if (host_stats[i].is_gauge != gauges) {
            continue;
        }
        json_object_begin(w);
        json_field(w, "type", gauges ? STR("GAUGE") : STR_NONE);
        json_field(w, "value", value > 0 ? str_n(digits, format_u64(value, digits)) : STR_NONE);
        json_field(w, "name", str_c(host_stats[i].name));
        json_object_end(w);
    }
}

static void json_host(struct json_writer *w, const struct registered_cluster *rc,
                      const struct locality_endpoints *le, const struct endpoint *e)
{
    uint64_t totals[HOST_STAT_COUNT];

    cluster_shared_host_totals(rc->shared, endpoint_key(e), totals);
    json_object_begin(w);
    json_key(w, STR("address"));
    address_json(w, &e->address);
    json_key(w, STR("stats"));
    json_array_begin(w);
    json_host_stats(w, totals, false);
    json_host_stats(w, totals, true);
    json_array_end(w);
    json_key(w, STR("health_status"));
    json_object_begin(w);
    json_field(w, "eds_health_status", str_c(eds_health_name(e->health)));
    json_object_end(w);
    json_count(w, "weight", e->weight);
    json_field(w, "hostname", e->hostname);
    json_count(w, "priority", le->priority);
    json_key(w, STR("locality"));
    json_object_begin(w);
    json_field(w, "region", le->locality.region);
    json_field(w, "zone", le->locality.zone);
    json_field(w, "sub_zone", le->locality.sub_zone);
    json_object_end(w);
    json_object_end(w);
}

static void json_limit(struct json_writer *w, const char *key, uint32_t value)
{
    json_key(w, str_c(key)); /* a wrapper: 0 is shown */
    json_u64(w, value);
}

static void json_limits(struct json_writer *w, const struct registered_cluster *rc)
{
    json_key(w, STR("circuit_breakers"));
    json_object_begin(w);
    json_key(w, STR("thresholds"));
    json_array_begin(w);
    for (int p = 0; p < PRIORITY_COUNT; p++) {
        json_object_begin(w);
        json_field(w, "priority", p == PRIORITY_HIGH ? STR("HIGH") : STR_NONE);
        for (int i = 0; i < BREAKER_RESOURCE_COUNT; i++) {
            enum breaker_resource resource = (enum breaker_resource)i;

            json_limit(w, breaker_limit_name(resource),
                       breaker_limit_now(rc->registry->thread, rc->config, (enum routing_priority)p,
                                         resource));
        }
        json_object_end(w);
    }
    json_array_end(w);
    json_object_end(w);
}

static void json_cluster(struct json_writer *w, const struct registered_cluster *rc)
{
    const struct cluster_config *c = rc->config;
    const struct endpoint_set *s = rc->endpoints;
    bool has_hosts = false;

    json_object_begin(w);
    json_field(w, "name", c->name);
    if (c->added_via_api) {
        json_key(w, STR("added_via_api"));
        json_bool(w, true);
    }
    for (size_t i = 0; s != NULL && i < s->locality_count; i++) {
        for (size_t j = 0; j < s->localities[i].endpoint_count; j++) {
            if (!has_hosts) {
                json_key(w, STR("host_statuses"));
                json_array_begin(w);
                has_hosts = true;
            }
            json_host(w, rc, &s->localities[i], &s->localities[i].endpoints[j]);
        }
    }
    if (has_hosts) {
        json_array_end(w);
    }
    json_limits(w, rc);
    json_field(w, "observability_name", c->stat_name);
    json_field(w, "eds_service_name", c->eds_service_name);
    json_object_end(w);
}

/* --- the page ----------------------------------------------------------------------------- */

/* An answer under way. A cluster that has gone meanwhile is left out. */
struct clusters_page {
    const struct cluster_registry *registry;
    char **names; /* sorted, heap */
    size_t count;
    size_t next;
    bool is_json;
    struct json_writer w;
};

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void page_free(void *state)
{
    struct clusters_page *p = state;

    for (size_t i = 0; i < p->count; i++) {
        free(p->names[i]);
    }
    free(p->names);
    free(p);
}

static struct clusters_page *page_new(const struct cluster_registry *r, const struct regex *filter)
{
    struct clusters_page *p = xcalloc(1, sizeof(*p));

    p->registry = r;
    p->names = xcalloc(r->clusters.count + 1, sizeof(*p->names));
    map_for_each (e, &r->clusters) {
        if (filter == NULL || regex_partial_match(filter, e->key)) {
            p->names[p->count++] = xstrndup(e->key.ptr, e->key.len);
        }
    }
    qsort(p->names, p->count, sizeof(*p->names), name_cmp);
    return p;
}

static void page_json_begin(struct clusters_page *p, struct strbuf *out)
{
    json_init(&p->w, out, true);
    json_object_begin(&p->w);
    if (p->count > 0) {
        json_key(&p->w, STR("cluster_statuses"));
        json_array_begin(&p->w);
    }
}

static void page_json_end(struct clusters_page *p)
{
    if (p->count > 0) {
        json_array_end(&p->w);
    }
    json_object_end(&p->w);
    strbuf_add_char(p->w.out, '\n');
}

static bool page_next(void *state, struct strbuf *out)
{
    struct clusters_page *p = state;

    p->w.out = out;
    while (p->next < p->count && out->len < ADMIN_PIECE_BYTES) {
        const struct registered_cluster *rc =
            map_get(&p->registry->clusters, str_c(p->names[p->next++]));

        if (rc == NULL) {
            continue;
        }
        if (p->is_json) {
            json_cluster(&p->w, rc);
        } else {
            text_cluster(out, rc);
        }
    }
    if (p->next < p->count) {
        return true;
    }
    if (p->is_json) {
        page_json_end(p);
    }
    return false;
}

static const struct admin_pieces clusters_pieces = {.next = page_next, .free = page_free};

static void admin_clusters_render(void *context, const struct admin_request *rq,
                                  struct admin_response *rs)
{
    const struct str *format = admin_param(rq, STR("format"));
    const struct str *pattern = admin_param(rq, STR("filter"));
    struct regex *filter = NULL;
    struct clusters_page *p;
    struct error err;

    error_init(&err);
    if (pattern != NULL && pattern->len > 0 && regex_new(*pattern, 0, &filter, &err) != 0) {
        rs->status = 400;
        strbuf_add_c(&rs->body, "Invalid re2 regex");
        error_done(&err);
        return;
    }
    p = page_new(context, filter);
    regex_free(filter);
    p->is_json = format != NULL && str_eq(*format, STR("json"));
    if (p->is_json) {
        rs->content_type = "application/json";
        page_json_begin(p, &rs->body);
    }
    rs->pieces = &clusters_pieces;
    rs->pieces_state = p;
}

static const struct admin_param_doc clusters_params[] = {
    {.name = "filter", .help = "Regular expression (Google re2) for filtering clusters by name"},
};

const struct admin_endpoint admin_clusters_endpoint = {
    .path = "/clusters",
    .help = "upstream cluster status",
    .params = clusters_params,
    .param_count = ARRAY_LEN(clusters_params),
    .render = admin_clusters_render,
};
