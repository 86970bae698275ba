/* Error names and the one-sentence error of configuration code. One thread per struct error. */

#include "dataplane/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/base/xalloc.h"

const char *error_name(int code)
{
    switch (code) {
    case E_OK:
        return "ok";
    case E_INVALID:
        return "invalid";
    case E_UNSUPPORTED:
        return "unsupported";
    case E_LIMIT:
        return "limit reached";
    case E_NOT_FOUND:
        return "not found";
    case E_EXISTS:
        return "exists already";
    case E_AGAIN:
        return "not now";
    case E_SYS:
        return "system call failed";
    case E_CLOSED:
        return "closed";
    case E_TIMEOUT:
        return "timeout";
    case E_TLS:
        return "TLS failure";
    case E_PROTOCOL:
        return "protocol violation";
    default:
        return "unknown error";
    }
}

/* Heap text of the formatted message. */
static PRINTF_LIKE(1, 0) char *error_vformat(const char *fmt, va_list args)
{
    char *text;

    return vasprintf(&text, fmt, args) >= 0 ? text : xstrdup("message cannot be formatted");
}

void error_init(struct error *e)
{
    e->message = NULL;
}

void error_done(struct error *e)
{
    if (e != NULL) {
        free(e->message);
        e->message = NULL;
    }
}

bool error_is_set(const struct error *e)
{
    return e->message != NULL;
}

const char *error_message(const struct error *e)
{
    return e->message != NULL ? e->message : "";
}

int error_set(struct error *e, int code, const char *fmt, ...)
{
    va_list args;

    if (e->message == NULL) {
        va_start(args, fmt);
        e->message = error_vformat(fmt, args);
        va_end(args);
    }
    return code;
}

void error_prefix(struct error *e, const char *fmt, ...)
{
    va_list args;
    char *prefix;
    size_t prefix_len;
    size_t message_len;

    if (e->message == NULL) {
        return;
    }
    va_start(args, fmt);
    prefix = error_vformat(fmt, args);
    va_end(args);

    prefix_len = strlen(prefix);
    message_len = strlen(e->message);
    prefix = xreallocarray(prefix, prefix_len + message_len + 1, 1);
    memcpy(prefix + prefix_len, e->message, message_len + 1);
    free(e->message);
    e->message = prefix;
}
