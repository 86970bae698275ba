/* /ready, /listeners and what stops or drains. Main thread. */

#include "dataplane/server/admin_endpoints.h"

#include <unistd.h>

#include "config/store.h"
#include "dataplane/admin/admin.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/json.h"
#include "dataplane/base/log.h"
#include "dataplane/server/hot_restart_wire.h"
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

static void listener_json(void *user, const struct listener_version *v)
{
    struct json_writer *w = user;

    json_object_begin(w);
    json_key(w, STR("name"));
    json_str(w, v->config->name);
    json_key(w, STR("local_address"));
    address_json(w, version_address(v, 0));
    if (v->config->address_count > 1) {
        json_key(w, STR("additional_local_addresses"));
        json_array_begin(w);
        for (size_t i = 1; i < v->config->address_count; i++) {
            address_json(w, version_address(v, i));
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

static const char *const LISTENER_FORMATS[] = {"text", "json", NULL};

static const struct admin_param_doc listeners_params[] = {
    {.name = "format", .help = "File format to use", .choices = LISTENER_FORMATS},
};

static const struct admin_endpoint listeners_endpoint = {
    .path = "/listeners",
    .help = "print listener info",
    .params = listeners_params,
    .param_count = ARRAY_LEN(listeners_params),
    .render = listeners_render,
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

static void hot_restart_version_render(void *context, const struct admin_request *rq,
                                       struct admin_response *rs)
{
    const struct server *s = context;

    (void)rq;
    strbuf_add_c(&rs->body, s->hot_restart != NULL ? hot_restart_version() : "disabled");
}

static const struct admin_endpoint hot_restart_version_endpoint = {
    .path = "/hot_restart_version",
    .help = "print the hot restart compatibility version",
    .render = hot_restart_version_render,
};

void server_admin_register(struct admin *a, struct server *s)
{
    admin_add(a, &ready_endpoint, s);
    admin_add(a, &admin_server_info_endpoint, s);
    admin_add(a, &listeners_endpoint, s);
    admin_add(a, &admin_logging_endpoint, NULL);
    admin_add(a, &quit_endpoint, s);
    admin_add(a, &admin_memory_endpoint, NULL);
    admin_add(a, &reopen_logs_endpoint, s);
    admin_add(a, &hot_restart_version_endpoint, s);
    drain_manager_register(&s->drain, a);
}
