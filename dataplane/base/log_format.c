/* Patterns of log lines. Any thread. */

#include "dataplane/base/log_format.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dataplane/base/json.h"

#define PAD_MAX 64

/* "%-8!l": what stands between '%' and the flag. */
struct padding {
    size_t width; /* 0: none */
    char align;   /* ' ' to the right, '-' to the left, '=' in the middle */
    bool cuts;    /* what is longer is cut */
};

static const struct tm *calendar(uint64_t wall_ns)
{
    static _Thread_local time_t cached_second = -1;
    static _Thread_local struct tm cached;
    time_t second = (time_t)(wall_ns / 1000000000);

    if (second != cached_second && localtime_r(&second, &cached) != NULL) {
        cached_second = second;
    }
    return &cached;
}

/* A flag that strftime knows under a name of its own; NULL: none. */
static const char *time_flag(char flag)
{
    switch (flag) {
    case 'a':
        return "%a";
    case 'A':
        return "%A";
    case 'b':
    case 'h':
        return "%b";
    case 'B':
        return "%B";
    case 'c':
        return "%a %b %-d %T %Y";
    case 'C':
        return "%y";
    case 'Y':
        return "%Y";
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'm':
        return "%m";
    case 'd':
        return "%d";
    case 'H':
        return "%H";
    case 'I':
        return "%I";
    case 'M':
        return "%M";
    case 'S':
        return "%S";
    case 'p':
        return "%p";
    case 'r':
        return "%I:%M:%S %p";
    case 'R':
        return "%H:%M";
    case 'T':
    case 'X':
        return "%T";
    default:
        return NULL;
    }
}

static void add_time(struct strbuf *out, const char *format, const struct log_record *r)
{
    char text[64];

/* The formats are those of time_flag. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof(text), format, calendar(r->wall_ns));
#pragma GCC diagnostic pop

    strbuf_add_str(out, str_n(text, n));
}

static void add_zone(struct strbuf *out, const struct log_record *r)
{
    long offset = calendar(r->wall_ns)->tm_gmtoff / 60;

    strbuf_addf(out, "%c%02ld:%02ld", offset < 0 ? '-' : '+', (offset < 0 ? -offset : offset) / 60,
                (offset < 0 ? -offset : offset) % 60);
}

static const char *base_name(const char *file)
{
    const char *slash = strrchr(file, '/');

    return slash != NULL ? slash + 1 : file;
}

void log_escape(struct strbuf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        const char *short_form = c == '\n'   ? "\\n"
                                 : c == '\r' ? "\\r"
                                 : c == '\t' ? "\\t"
                                 : c == '"'  ? "\\\""
                                 : c == '\'' ? "\\'"
                                 : c == '\\' ? "\\\\"
                                             : NULL;

        if (short_form != NULL) {
            strbuf_add_c(out, short_form);
        } else if (c < 0x20 || c >= 0x7f) {
            strbuf_addf(out, "\\%03o", c);
        } else {
            strbuf_add_char(out, (char)c);
        }
    }
}

/* JSON escapes without the quotes around them. */
static void add_json(struct strbuf *out, struct str text)
{
    struct strbuf quoted;

    strbuf_init(&quoted);
    json_escape(&quoted, text);
    strbuf_add_str(out, str_sub(strbuf_str(&quoted), 1, quoted.len - 1));
    strbuf_done(&quoted);
}

static bool add_number_flag(struct strbuf *out, char flag, const struct log_record *r)
{
    uint64_t ns = r->wall_ns % 1000000000;

    switch (flag) {
    case 'e':
        strbuf_addf(out, "%03u", (unsigned)(ns / 1000000));
        return true;
    case 'f':
        strbuf_addf(out, "%06u", (unsigned)(ns / 1000));
        return true;
    case 'F':
        strbuf_addf(out, "%09u", (unsigned)ns);
        return true;
    case 'E':
        strbuf_add_u64(out, r->wall_ns / 1000000000);
        return true;
    case 't':
        strbuf_addf(out, "%d", r->thread_id);
        return true;
    case 'P':
        strbuf_addf(out, "%d", (int)getpid());
        return true;
    case '#':
        strbuf_addf(out, "%d", r->line);
        return true;
    default:
        return false;
    }
}

static bool add_text_flag(struct strbuf *out, char flag, const struct log_record *r)
{
    static const char LETTERS[] = "TDIWECO";

    switch (flag) {
    case 'v':
        strbuf_add_str(out, r->message);
        return true;
    case '_':
        log_escape(out, r->message);
        return true;
    case 'j':
        add_json(out, r->message);
        return true;
    case 'l':
        strbuf_add_c(out, log_level_name(r->level));
        return true;
    case 'L':
        strbuf_add_char(out, LETTERS[r->level]);
        return true;
    case 'n':
        strbuf_add_c(out, r->logger);
        return true;
    case 'g':
        strbuf_add_c(out, r->file);
        return true;
    case 's':
        strbuf_add_c(out, base_name(r->file));
        return true;
    case '@':
        strbuf_addf(out, "%s:%d", r->file, r->line);
        return true;
    case 'z':
        add_zone(out, r);
        return true;
    case '+':
        log_format_line(out, "[%Y-%m-%d %T.%e] [%n] [%l] [%s:%#] %v", r);
        return true;
    case '^': /* colours */
    case '$':
    case '!': /* the function, which nobody says */
        return true;
    default:
        return false;
    }
}

static bool add_flag(struct strbuf *out, char flag, const struct log_record *r)
{
    const char *format = time_flag(flag);

    if (format != NULL) {
        add_time(out, format, r);
        return true;
    }
    return add_number_flag(out, flag, r) || add_text_flag(out, flag, r);
}

static const char *read_padding(const char *p, struct padding *ret)
{
    *ret = (struct padding){.align = ' '};
    if (*p == '-' || *p == '=') {
        ret->align = *p++;
    }
    while (*p >= '0' && *p <= '9') {
        ret->width = ret->width * 10 + (size_t)(*p++ - '0');
        ret->width = ret->width < PAD_MAX ? ret->width : PAD_MAX;
    }
    if (ret->width > 0 && *p == '!') {
        ret->cuts = true;
        p++;
    }
    return p;
}

static void add_spaces(struct strbuf *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        strbuf_add_char(out, ' ');
    }
}

static void add_padded(struct strbuf *out, const struct padding *p, char flag,
                       const struct log_record *r)
{
    struct strbuf value;
    size_t missing;
    size_t before;

    strbuf_init(&value);
    (void)add_flag(&value, flag, r);
    missing = value.len < p->width ? p->width - value.len : 0;
    before = p->align == ' ' ? missing : p->align == '=' ? missing / 2 : 0;
    add_spaces(out, before);
    strbuf_add_str(out, str_n(value.ptr, p->cuts && value.len > p->width ? p->width : value.len));
    add_spaces(out, missing - before);
    strbuf_done(&value);
}

void log_format_line(struct strbuf *out, const char *pattern, const struct log_record *r)
{
    const char *p = pattern;

    while (*p != '\0') {
        const char *percent = p;
        struct padding padding;

        if (*p != '%' || p[1] == '\0') {
            strbuf_add_char(out, *p++);
            continue;
        }
        p = read_padding(p + 1, &padding);
        if (*p == '%') {
            strbuf_add_char(out, '%');
        } else if (padding.width > 0 && *p != '\0') {
            add_padded(out, &padding, *p, r);
        } else if (*p == '\0' || !add_flag(out, *p, r)) {
            strbuf_add_str(out, str_n(percent, (size_t)(p - percent) + (*p != '\0')));
        }
        p += *p != '\0';
    }
}
