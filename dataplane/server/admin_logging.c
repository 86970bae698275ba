/* /logging: levels of the process log. Main thread. */

#include <stdlib.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/server/admin_endpoints.h"

/* NULL, or what Envoy calls the mistake. */
static const char *parse_pair(struct str name, struct str value, enum log_component *ret_component,
                              enum log_level *ret_level)
{
    char *name_text = xstrndup(name.ptr, name.len);
    char *value_text = xstrndup(value.ptr, value.len);
    const char *mistake = NULL;

    if (!log_level_parse(value_text, ret_level)) {
        mistake = "unknown logger level";
    } else if (!log_component_parse(name_text, ret_component)) {
        mistake = "unknown logger name";
    }
    free(name_text);
    free(value_text);
    return mistake;
}

/* "name:level,name:level". Nothing is changed when one of them is wrong. */
static const char *set_paths(struct str paths, bool is_check)
{
    struct str rest = paths;
    struct str pair;

    while (rest.len > 0 && str_split(&rest, ',', &pair)) {
        size_t colon = str_find_char(pair, ':');
        enum log_component component;
        enum log_level level;
        const char *mistake;

        if (colon == STR_NPOS || colon == 0 || colon + 1 == pair.len) {
            return "empty logger name or empty logger level";
        }
        mistake = parse_pair(str_sub(pair, 0, colon), str_sub(pair, colon + 1, pair.len),
                             &component, &level);
        if (mistake != NULL) {
            return mistake;
        }
        if (!is_check) {
            log_set_level(component, level);
        }
    }
    return NULL;
}

static const char *apply(const struct admin_request *rq)
{
    const struct admin_param *p = &rq->params[0];
    enum log_component component;
    enum log_level level;
    const char *mistake;

    if (rq->param_count > 1) {
        return "invalid number of parameters";
    }
    if (rq->param_count == 0 || p->value.len == 0) {
        return NULL; /* as Envoy: lists */
    }
    if (str_eq(p->name, STR("paths"))) {
        mistake = set_paths(p->value, true);
        return mistake != NULL ? mistake : set_paths(p->value, false);
    }
    if (str_eq(p->name, STR("group"))) {
        return "group parameter requires fine-grain logging to be enabled";
    }
    if (str_eq(p->name, STR("level"))) {
        mistake = parse_pair(STR("main"), p->value, &component, &level);
        if (mistake == NULL) {
            log_set_all(level);
        }
        return mistake;
    }
    mistake = parse_pair(p->name, p->value, &component, &level);
    if (mistake == NULL) {
        log_set_level(component, level);
    }
    return mistake;
}

static void logging_render(void *context, const struct admin_request *rq, struct admin_response *rs)
{
    const char *mistake = apply(rq);

    (void)context;
    if (mistake != NULL) {
        rs->status = 400;
        strbuf_addf(&rs->body, "error: %s\n\n", mistake);
        strbuf_add_c(&rs->body,
                     "usage: /logging?<name>=<level> (change single level)\n"
                     "usage: /logging?paths=name1:level1,name2:level2,... (change multiple "
                     "levels)\n"
                     "usage: /logging?level=<level> (change all levels)\n"
                     "usage: /logging?group=<group_name>:<level> (change group of loggers)\n"
                     "levels: ");
        for (int l = LOG_TRACE; l <= LOG_OFF; l++) {
            strbuf_addf(&rs->body, "%s ", log_level_name((enum log_level)l));
        }
        strbuf_add_char(&rs->body, '\n');
    }
    strbuf_add_c(&rs->body, "active loggers:\n");
    for (int c = 0; c < LOG_COMPONENT_COUNT; c++) {
        strbuf_addf(&rs->body, "  %s: %s\n", log_component_name((enum log_component)c),
                    log_level_name((enum log_level)log_levels[c]));
    }
    strbuf_add_char(&rs->body, '\n');
}

static const char *const LEVELS[] = {"",      "trace",    "debug", "info", "warning",
                                     "error", "critical", "off",   NULL};

static const struct admin_param_doc logging_params[] = {
    {.name = "paths",
     .help = "Change multiple logging levels by setting to "
             "<logger_name1>:<desired_level1>,<logger_name2>:<desired_level2>. If fine grain "
             "logging is enabled, use __FILE__ or a glob experision as the logger name. For "
             "example, source/common*:warning"},
    {.name = "group",
     .help = "Change given logger group to desired level, set to "
             "<logger_group_name>:<desired_level>. logger_group_name must be a logger name."},
    {.name = "level",
     .help = "desired logging level, this will change all loggers's level",
     .choices = LEVELS},
};

const struct admin_endpoint admin_logging_endpoint = {
    .path = "/logging",
    .help = "query/change logging levels",
    .params = logging_params,
    .param_count = ARRAY_LEN(logging_params),
    .needs_post = true,
    .render = logging_render,
};
