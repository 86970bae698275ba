/* /ready, /server_info, /listeners, /logging and what stops or drains. Main thread. */

#include "dataplane/server/admin_endpoints.h"

#include <malloc.h>
#include <unistd.h>

#include "config/store.h"
#include "dataplane/admin/admin.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/json.h"
#include "dataplane/base/log.h"
#include "dataplane/server/listener_manager.h"
#include "dataplane/server/server.h"

/* --- /ready ------------------------------------------------------------------------------- */

static void ready_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    enum server_state state = server_visible_state(context);

    (void)rq;
    rs->status = state == SERVER_LIVE ? 200 : 503;
    strbuf_addf(&rs->body, "%s\n", server_state_name(state));
}

static const struct admin_endpoint ready_endpoint = {
    .path = "/ready",
    .help = "print server state, return 200 if LIVE, otherwise return 503",
    .render = ready_render,
};

/* --- /server_info ------------------------------------------------------------------------- */

static void member_str(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, str_c(key));
    json_str(w, str_c(value));
}

static void member_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, str_c(key));
    json_bool(w, value);
}

static void member_u64(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, str_c(key));
    json_u64(w, value);
}

static void member_seconds(struct json_writer *w, const char *key, uint64_t seconds)
{
    struct strbuf text;

    strbuf_init(&text);
    strbuf_addf(&text, "%llus", (unsigned long long)seconds);
    json_key(w, str_c(key));
    json_str(w, strbuf_str(&text));
    strbuf_done(&text);
}

static void render_options(struct json_writer *w, const struct server *s)
{
    const struct options *o = &s->options;
    struct strbuf base_id;

    strbuf_init(&base_id);
    strbuf_add_u64(&base_id, o->base_id);
    json_object_begin(w);
    json_key(w, STR("base_id"));
    json_str(w, strbuf_str(&base_id));
    member_u64(w, "concurrency", s->worker_count);
    member_str(w, "config_path", o->config_path);
    member_str(w, "config_yaml", o->config_yaml);
    member_bool(w, "allow_unknown_static_fields", o->allow_unknown_static_fields);
    member_str(w, "admin_address_path", o->admin_address_path);
    member_str(w, "local_address_ip_version",
               o->local_address_ip_version != NULL ? o->local_address_ip_version : "v4");
    member_str(w, "log_level", log_level_name(o->log_level));
    member_str(w, "component_log_level", o->component_log_level);
    member_str(w, "log_path", o->log_path);
    member_str(w, "service_cluster", o->service_cluster);
    member_str(w, "service_node", o->service_node);
    member_str(w, "service_zone", o->service_zone);
    member_seconds(w, "drain_time", o->drain_time_s);
    member_seconds(w, "parent_shutdown_time", o->parent_shutdown_time_s);
    member_str(w, "mode", o->mode == MODE_SERVE ? "Serve" : "Validate");
    member_u64(w, "restart_epoch", o->restart_epoch);
    member_bool(w, "reject_unknown_dynamic_fields", o->reject_unknown_dynamic_fields);
    member_bool(w, "ignore_unknown_dynamic_fields", o->ignore_unknown_dynamic_fields);
    member_str(w, "drain_strategy", o->drain_strategy == DRAIN_GRADUAL ? "Gradual" : "Immediate");
    json_object_end(w);
    strbuf_done(&base_id);
}

static void render_node(struct json_writer *w, const struct server *s)
{
    const Envoy__Config__Core__V3__Node *n = s->node.message;

    json_object_begin(w);
    member_str(w, "id", n->id);
    member_str(w, "cluster", n->cluster);
    if (n->locality != NULL) {
        json_key(w, STR("locality"));
        json_object_begin(w);
        member_str(w, "region", n->locality->region);
        member_str(w, "zone", n->locality->zone);
        member_str(w, "sub_zone", n->locality->sub_zone);
        json_object_end(w);
    }
    member_str(w, "user_agent_name", n->user_agent_name);
    json_object_end(w);
}

static void server_info_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    const struct server *s = context;
    uint64_t uptime = (clock_wall_ns() - s->start_wall_ns) / 1000000000;
    struct json_writer w;

    (void)rq;
    rs->content_type = "application/json";
    json_init(&w, &rs->body, true);
    json_object_begin(&w);
    member_str(&w, "version", options_version());
    member_str(&w, "state", server_state_name(server_visible_state(s)));
    member_seconds(&w, "uptime_current_epoch", uptime);
    member_seconds(&w, "uptime_all_epochs", uptime);
    member_str(&w, "hot_restart_version", "disabled");
    json_key(&w, STR("command_line_options"));
    render_options(&w, s);
    json_key(&w, STR("node"));
    render_node(&w, s);
    json_object_end(&w);
    strbuf_add_char(&rs->body, '\n');
}

static const struct admin_endpoint server_info_endpoint = {
    .path = "/server_info",
    .help = "print server version/status information",
    .render = server_info_render,
};

/* --- /listeners --------------------------------------------------------------------------- */

static const struct address *version_address(const struct listener_version *v, size_t i)
{
    return i < v->socket_count ? &v->sockets[i]->bound : &v->config->addresses[i];
}

static void listener_text(void *user, const struct listener_version *v)
{
    struct strbuf *out = user;
    char text[ADDRESS_TEXT_MAX];

    for (size_t i = 0; i < v->config->address_count; i++) {
        address_format(version_address(v, i), text);
        strbuf_addf(out, "%.*s::%s\n", STR_ARG(v->config->name), text);
    }
}

static void json_address(struct json_writer *w, const struct address *a)
{
    char text[ADDRESS_TEXT_MAX];
    size_t len = address_format_ip(a, text);

    json_object_begin(w);
    json_key(w, address_is_ip(a) ? STR("socket_address") : STR("pipe"));
    json_object_begin(w);
    json_key(w, address_is_ip(a) ? STR("address") : STR("path"));
    json_str(w, str_n(text, len));
    if (address_is_ip(a)) {
        member_u64(w, "port_value", address_port(a));
    }
    json_object_end(w);
    json_object_end(w);
}

static void listener_json(void *user, const struct listener_version *v)
{
    struct json_writer *w = user;

    json_object_begin(w);
    json_key(w, STR("name"));
    json_str(w, v->config->name);
    json_key(w, STR("local_address"));
    json_address(w, version_address(v, 0));
    if (v->config->address_count > 1) {
        json_key(w, STR("additional_local_addresses"));
        json_array_begin(w);
        for (size_t i = 1; i < v->config->address_count; i++) {
            json_address(w, version_address(v, i));
        }
        json_array_end(w);
    }
    json_object_end(w);
}

static void listeners_render(void *context, const struct admin_request *rq,
                             struct admin_response *rs)
{
    const struct server *s = context;
    const struct str *format = admin_param(rq, STR("format"));
    struct json_writer w;

    if (format == NULL || !str_eq(*format, STR("json"))) {
        listener_manager_visit(s->listeners, listener_text, &rs->body);
        return;
    }
    rs->content_type = "application/json";
    json_init(&w, &rs->body, true);
    json_object_begin(&w);
    json_key(&w, STR("listener_statuses"));
    json_array_begin(&w);
    listener_manager_visit(s->listeners, listener_json, &w);
    json_array_end(&w);
    json_object_end(&w);
    strbuf_add_char(&rs->body, '\n');
}

static const struct admin_endpoint listeners_endpoint = {
    .path = "/listeners",
    .help = "print listener info",
    .render = listeners_render,
};

/* --- /logging ----------------------------------------------------------------------------- */

/* "name:level,name:level". False when one is not known. */
static bool logging_set_paths(struct str paths)
{
    struct str rest = paths;
    struct str pair;

    while (str_split(&rest, ',', &pair)) {
        size_t colon = str_find_char(pair, ':');
        enum log_component component;
        enum log_level level;
        char name[64];
        char value[64];

        if (colon == STR_NPOS || colon >= sizeof(name) || pair.len - colon - 1 >= sizeof(value)) {
            return false;
        }
        memcpy(name, pair.ptr, colon);
        name[colon] = '\0';
        memcpy(value, pair.ptr + colon + 1, pair.len - colon - 1);
        value[pair.len - colon - 1] = '\0';
        if (!log_component_parse(name, &component) || !log_level_parse(value, &level)) {
            return false;
        }
        log_set_level(component, level);
    }
    return true;
}

/* One parameter: level=L for all, paths=..., or component=L. */
static bool logging_apply(const struct admin_param *p)
{
    enum log_component component;
    enum log_level level;
    bool is_level = log_level_parse(p->value.ptr, &level);

    if (str_eq(p->name, STR("paths"))) {
        return logging_set_paths(p->value);
    }
    if (!is_level) {
        return false;
    }
    if (str_eq(p->name, STR("level"))) {
        log_set_all(level);
        return true;
    }
    if (!log_component_parse(p->name.ptr, &component)) {
        return false;
    }
    log_set_level(component, level);
    return true;
}

static void logging_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    bool ok = rq->param_count <= 1;

    (void)context;
    if (ok && rq->param_count == 1) {
        ok = logging_apply(&rq->params[0]);
    }
    if (!ok) {
        rs->status = 400;
        strbuf_add_c(&rs->body, "usage: /logging?<name>=<level> (change single level)\n"
                                "usage: /logging?paths=name1:level1,name2:level2,... (change "
                                "multiple levels)\n"
                                "usage: /logging?level=<level> (change all levels)\n");
        return;
    }
    strbuf_add_c(&rs->body, "active loggers:\n");
    for (int c = 0; c < LOG_COMPONENT_COUNT; c++) {
        strbuf_addf(&rs->body, "  %s: %s\n", log_component_name((enum log_component)c),
                    log_level_name((enum log_level)log_levels[c]));
    }
}

static const struct admin_endpoint logging_endpoint = {
    .path = "/logging",
    .help = "query/change logging levels",
    .needs_post = true,
    .render = logging_render,
};

/* --- stopping ----------------------------------------------------------------------------- */

static void quit_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    (void)rq;
    strbuf_add_c(&rs->body, "OK\n");
    server_stop_soon(context); /* once the answer is out */
}

static const struct admin_endpoint quit_endpoint = {
    .path = "/quitquitquit",
    .help = "exit the server",
    .needs_post = true,
    .render = quit_render,
};

static void reopen_logs_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    (void)rq;
    server_reopen_logs(context);
    strbuf_add_c(&rs->body, "OK\n");
}

static const struct admin_endpoint reopen_logs_endpoint = {
    .path = "/reopen_logs",
    .help = "reopen access logs",
    .needs_post = true,
    .render = reopen_logs_render,
};

static void memory_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    struct mallinfo2 heap = mallinfo2();
    struct json_writer w;

    (void)context;
    (void)rq;
    rs->content_type = "application/json";
    json_init(&w, &rs->body, true);
    json_object_begin(&w);
    member_u64(&w, "allocated", heap.uordblks + heap.hblkhd);
    member_u64(&w, "heap_size", heap.arena + heap.hblkhd);
    member_u64(&w, "pageheap_free", heap.fordblks);
    json_object_end(&w);
    strbuf_add_char(&rs->body, '\n');
}

static const struct admin_endpoint memory_endpoint = {
    .path = "/memory",
    .help = "print current allocation/heap usage",
    .render = memory_render,
};

static void hot_restart_version_render(void *context, const struct admin_request *rq,
                                       struct admin_response *rs)
{
    (void)context;
    (void)rq;
    strbuf_add_c(&rs->body, "disabled");
}

static const struct admin_endpoint hot_restart_version_endpoint = {
    .path = "/hot_restart_version",
    .help = "print the hot restart compatibility version",
    .render = hot_restart_version_render,
};

void server_admin_register(struct admin *a, struct server *s)
{
    admin_add(a, &ready_endpoint, s);
    admin_add(a, &server_info_endpoint, s);
    admin_add(a, &listeners_endpoint, s);
    admin_add(a, &logging_endpoint, s);
    admin_add(a, &quit_endpoint, s);
    admin_add(a, &memory_endpoint, s);
    admin_add(a, &reopen_logs_endpoint, s);
    admin_add(a, &hot_restart_version_endpoint, s);
    drain_manager_register(&s->drain, a);
}
