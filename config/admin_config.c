/* /xds, /unsupported and /init_dump. /config_dump is config_dump.c's. Main thread. */

#include "config/admin_config.h"

#include <string.h>

#include "config/store_internal.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/json.h"

/* --- /xds --------------------------------------------------------------------------------- */

static void xds_stream_row(void *user, const struct xds_stream_status *s)
{
    struct json_writer *w = user;

    json_object_begin(w);
    json_member_str(w, "cluster", s->cluster);
    json_member_bool(w, "aggregated", s->is_aggregated);
    json_member_str(w, "protocol", s->is_delta ? STR("delta") : STR("sotw"));
    json_member_bool(w, "connected", s->is_connected);
    json_member_u64(w, "reconnects", s->reconnects);
    json_member_u64(w, "requests_sent", s->requests_sent);
    json_member_u64(w, "responses_received", s->responses_received);
    json_member_u64(w, "too_large_messages", s->too_large_messages);
    json_member_str(w, "control_plane", s->control_plane);
    json_member_str(w, "last_error", s->last_error);
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
    json_member_str(&p->w, "type", str_c(part_kind_name(r->slot->kind)));
    json_member_str(&p->w, "name", r->slot->name);
    json_member_str(&p->w, "state", str_c(state_name(state)));
    json_member_str(&p->w, "version", str_c(r->version));
    if (waits.len > 0) {
        json_member_str(&p->w, "waits_for", strbuf_str(&waits));
        json_key(&p->w, STR("since_ms"));
        json_u64(&p->w, p->now_ms - r->held_since_ms);
    }
    if (r->rejection != NULL) {
        json_key(&p->w, STR("rejected"));
        json_object_begin(&p->w);
        json_member_str(&p->w, "version", str_c(r->rejection->version));
        json_member_str(&p->w, "details", str_c(r->rejection->details));
        json_member_time(&p->w, "at", r->rejection->wall_ns);
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
        json_member_u64(w, "update_success", n->update_success);
        json_member_u64(w, "update_rejected", n->update_rejected);
        json_member_u64(w, "update_failure", n->update_failure);
        json_member_u64(w, "init_fetch_timeout", n->init_fetch_timeout);
        json_member_u64(w, "ignored_removals", n->ignored_removals);
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
        json_member_str(w, "type", str_c(part_kind_name(r->slot->kind)));
        json_member_str(w, "name", r->slot->name);
        json_member_str(w, "field", str_c(r->unsupported->paths[i]));
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
        json_member_str(&w, "type", STR("bootstrap"));
        json_member_str(&w, "field", str_c(c->bootstrap->unsupported[i]));
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

/* --- /init_dump --------------------------------------------------------------------------- */

struct init_page {
    struct json_writer w;
    size_t count;
};

/* A listener that waits, with what for. */
static void init_row(void *user, const struct resource *r)
{
    struct init_page *p = user;
    struct strbuf text;

    if (resource_state_of(r) != RESOURCE_WARMING) {
        return;
    }
    if (p->count++ == 0) {
        json_key(&p->w, STR("unready_targets_dumps"));
        json_array_begin(&p->w);
    }
    strbuf_init(&text);
    strbuf_addf(&text, "init manager Listener-local-init-manager %.*s", STR_ARG(r->slot->name));
    json_object_begin(&p->w);
    json_member_str(&p->w, "name", strbuf_str(&text));
    strbuf_reset(&text);
    resource_waits_for(r, &text);
    json_key(&p->w, STR("target_names"));
    json_array_begin(&p->w);
    if (text.len > 0) {
        json_str(&p->w, strbuf_str(&text));
    }
    json_array_end(&p->w);
    json_object_end(&p->w);
    strbuf_done(&text);
}

/* As Envoy: listeners are the only component, and `mask` names those that are wanted. */
static void init_dump_render(void *context, const struct admin_request *rq,
                             struct admin_response *rs)
{
    const struct admin_config *c = context;
    const struct str *mask = admin_param(rq, STR("mask"));
    struct init_page p = {.count = 0};

    rs->content_type = "application/json";
    json_init(&p.w, &rs->body, true);
    json_object_begin(&p.w);
    if (mask == NULL || mask->len == 0 || str_eq(*mask, STR("listener"))) {
        config_store_visit(c->store, PART_LISTENER, init_row, &p);
    }
    if (p.count > 0) {
        json_array_end(&p.w);
    }
    json_object_end(&p.w);
    strbuf_add_char(&rs->body, '\n');
}

static const struct admin_param_doc init_dump_params[] = {
    {.name = "mask",
     .help = "The desired component to dump unready targets. The mask is parsed as a "
             "Protobuf::FieldMask. For example, get the unready targets of all listeners with "
             "/init_dump?mask=listener`"},
};

const struct admin_endpoint admin_init_dump_endpoint = {
    .path = "/init_dump",
    .help = "dump current Envoy init manager information (experimental)",
    .params = init_dump_params,
    .param_count = ARRAY_LEN(init_dump_params),
    .render = init_dump_render,
};
