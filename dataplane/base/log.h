#ifndef DATAPLANE_BASE_LOG_H
#define DATAPLANE_BASE_LOG_H

/*
 * The process log (stderr or --log-path), one write per line, in Envoy's default format:
 *   [2026-08-01 12:00:00.000][pid][info][main] [file:line] text
 * Levels are per component and can be changed while running (admin /logging). Peer-caused events
 * are never above debug; header values, bodies and secrets are never logged.
 */

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/base/check.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRITICAL, LOG_OFF };

/* Envoy's logger names, for those subsystems that exist here. */
enum log_component {
    LOG_C_ADMIN,
    LOG_C_CLIENT,
    LOG_C_CONFIG,
    LOG_C_CONNECTION,
    LOG_C_DNS,
    LOG_C_FILTER,
    LOG_C_HTTP,
    LOG_C_MAIN,
    LOG_C_POOL,
    LOG_C_ROUTER,
    LOG_C_RUNTIME,
    LOG_C_UPSTREAM,
    LOG_COMPONENT_COUNT
};

extern _Atomic unsigned char log_levels[LOG_COMPONENT_COUNT];

const char *log_level_name(enum log_level l);
/* Accepts Envoy's names ("trace" ... "critical", "off", also "warn"); false when unknown. */
bool log_level_parse(const char *name, enum log_level *ret_level);
const char *log_component_name(enum log_component c);
bool log_component_parse(const char *name, enum log_component *ret_component);
void log_set_level(enum log_component c, enum log_level l);
void log_set_all(enum log_level l);
/* --log-format (NULL: Envoy's default) and --log-format-escaped. Borrowed; before other threads
 * run. */
void log_set_format(const char *pattern, bool is_escaped);
/* Redirects from stderr; appends; E_SYS with errno. */
int log_open(const char *path) MUST_CHECK;
void log_reopen(void);
/* As it stands, whatever the levels; async-signal-safe: for crash handlers. */
void log_write_raw(const char *text, size_t len);
void log_write(enum log_component c, enum log_level l, const char *file, int line, const char *fmt,
               ...) PRINTF_LIKE(5, 6);

#define LOG_AT(component, level, ...)                                                              \
    do {                                                                                           \
        if (NUNCIO_UNLIKELY((level) >= log_levels[component])) {                                   \
            log_write((component), (level), __FILE__, __LINE__, __VA_ARGS__);                      \
        }                                                                                          \
    } while (0)
#define log_debug(component, ...) LOG_AT(component, LOG_DEBUG, __VA_ARGS__)
#define log_info(component, ...) LOG_AT(component, LOG_INFO, __VA_ARGS__)
#define log_warn(component, ...) LOG_AT(component, LOG_WARN, __VA_ARGS__)
#define log_error(component, ...) LOG_AT(component, LOG_ERROR, __VA_ARGS__)
#define log_critical(component, ...) LOG_AT(component, LOG_CRITICAL, __VA_ARGS__)

#endif
