/* Paths, errors, names and unsupported fields of one resource being parsed. Main thread. */

#include "config/parse/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/pb_field.h"
#include "config/pb_text.h"
#include "dataplane/base/xalloc.h"
#include "proto/known_fields.h"

void parse_context_init(struct parse_context *ctx, struct part *part,
                        const struct extension_registry *registry, struct slot_resolver *slots,
                        struct error *err)
{
    memset(ctx, 0, sizeof(*ctx));
    ctx->part = part;
    ctx->registry = registry;
    ctx->slots = slots;
    ctx->err = err;
}

void parse_context_finish(struct parse_context *ctx)
{
    if (ctx->dep_count > 0) {
        ctx->part->deps =
            arena_memdup(&ctx->part->arena, ctx->deps, ctx->dep_count * sizeof(*ctx->deps));
        ctx->part->dep_count = ctx->dep_count;
    }
    free(ctx->deps);
    free(ctx->subscriptions);
    ctx->deps = NULL;
    ctx->subscriptions = NULL;
    ctx->dep_count = 0;
    ctx->subscription_count = 0;
}

/* --- path --------------------------------------------------------------------------------- */

static void path_add(struct field_path *p, const char *text, size_t len)
{
    size_t room = sizeof(p->text) - 1 - p->len;

    len = len < room ? len : room;
    memcpy(p->text + p->len, text, len);
    p->len += len;
    p->text[p->len] = '\0';
}

size_t path_push(struct parse_context *ctx, const char *field)
{
    size_t at = ctx->path.len;

    if (at > 0) {
        path_add(&ctx->path, ".", 1);
    }
    path_add(&ctx->path, field, strlen(field));
    return at;
}

size_t path_push_index(struct parse_context *ctx, const char *field, size_t index)
{
    size_t at = path_push(ctx, field);
    char digits[U64_DIGITS];

    path_add(&ctx->path, "[", 1);
    path_add(&ctx->path, digits, format_u64(index, digits));
    path_add(&ctx->path, "]", 1);
    return at;
}

size_t path_push_key(struct parse_context *ctx, const char *field, const char *key)
{
    size_t at = path_push(ctx, field);

    path_add(&ctx->path, "[\"", 2);
    path_add(&ctx->path, key, strlen(key));
    path_add(&ctx->path, "\"]", 2);
    return at;
}

void path_pop(struct parse_context *ctx, size_t at)
{
    ctx->path.len = at;
    ctx->path.text[at] = '\0';
}

int parse_fail(struct parse_context *ctx, int code, const char *field, const char *fmt, ...)
{
    struct strbuf line;
    char sentence[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(sentence, sizeof(sentence), fmt, ap);
    va_end(ap);
    strbuf_init(&line);
    strbuf_add(&line, ctx->path.text, ctx->path.len);
    if (field != NULL) {
        strbuf_addf(&line, "%s%s", line.len > 0 ? "." : "", field);
    }
    error_set(ctx->err, code, "%.*s%s%s", STR_ARG(strbuf_str(&line)), line.len > 0 ? ": " : "",
              sentence);
    strbuf_done(&line);
    return code;
}

/* --- names -------------------------------------------------------------------------------- */

uint32_t parse_slot(struct parse_context *ctx, enum part_kind kind, struct str name)
{
    uint32_t slot = ctx->slots->slot(ctx->slots, kind, name);

    for (size_t i = ctx->dep_count; i-- > 0 && i + 16 > ctx->dep_count;) {
        if (ctx->deps[i].kind == kind && ctx->deps[i].slot == slot) {
            return slot; /* neighbouring routes mostly name the same few clusters */
        }
    }
    if (ctx->dep_count == ctx->dep_cap) {
        ctx->dep_cap = ctx->dep_cap == 0 ? 8 : ctx->dep_cap * 2;
        ctx->deps = xreallocarray(ctx->deps, ctx->dep_cap, sizeof(*ctx->deps));
    }
    ctx->deps[ctx->dep_count++] = (struct part_dep){kind, slot};
    return slot;
}

bool parse_has(const struct parse_context *ctx, enum part_kind kind, struct str name)
{
    return ctx->slots->has == NULL || ctx->slots->has(ctx->slots, kind, name);
}

const struct part *parse_accepted(const struct parse_context *ctx, enum part_kind kind,
                                  uint32_t slot)
{
    return ctx->slots->accepted != NULL ? ctx->slots->accepted(ctx->slots, kind, slot) : NULL;
}

void parse_subscribe(struct parse_context *ctx, enum part_kind kind, struct str name,
                     const struct config_source *source, struct str owner)
{
    if (ctx->subscription_count == ctx->subscription_cap) {
        ctx->subscription_cap = ctx->subscription_cap == 0 ? 4 : ctx->subscription_cap * 2;
        ctx->subscriptions =
            xreallocarray(ctx->subscriptions, ctx->subscription_cap, sizeof(*ctx->subscriptions));
    }
    ctx->subscriptions[ctx->subscription_count++] =
        (struct subscription_ref){kind, name, source, owner};
}

void parse_watch(struct parse_context *ctx, struct str directory)
{
    for (size_t i = 0; i < ctx->watched_count; i++) {
        if (str_eq(ctx->watched[i], directory)) {
            return;
        }
    }
    if (ctx->watched_count == ctx->watched_cap) {
        struct str *grown;

        ctx->watched_cap = ctx->watched_cap == 0 ? 4 : ctx->watched_cap * 2;
        grown = ARENA_ARRAY(parse_arena(ctx), struct str, ctx->watched_cap);
        for (size_t i = 0; i < ctx->watched_count; i++) {
            grown[i] = ctx->watched[i];
        }
        ctx->watched = grown;
    }
    ctx->watched[ctx->watched_count++] = directory;
}

struct str parse_str(struct parse_context *ctx, const char *s)
{
    return s == NULL || s[0] == '\0' ? STR("") : arena_str(parse_arena(ctx), str_c(s));
}

struct str parse_bytes(struct parse_context *ctx, ProtobufCBinaryData b)
{
    return arena_str(parse_arena(ctx), str_n((const char *)b.data, b.len));
}

/* --- fields that are not implemented ------------------------------------------------------ */

/* Where the walk is, as a chain on the C stack: text is made only when there is something to
 * say. Depth was bounded when the message was unpacked. */
struct walk {
    const struct walk *up;
    const ProtobufCFieldDescriptor *field;
    const ProtobufCMessage *message; /* its value */
    size_t index;                    /* SIZE_MAX: not repeated */
};

static void walk_path(const struct walk *w, struct strbuf *out)
{
    if (w == NULL) {
        return;
    }
    walk_path(w->up, out);
    if (w->up != NULL && pb_field_is_map(w->up->field)) {
        return; /* the value of a map entry: its key says it */
    }
    strbuf_addf(out, "%s%s", out->len > 0 ? "." : "", w->field->name);
    if (pb_field_is_map(w->field)) {
        const ProtobufCFieldDescriptor *key = &w->message->descriptor->fields[0];

        if (key->type == PROTOBUF_C_TYPE_STRING) {
            strbuf_addf(out, "[\"%s\"]", *(char **)pb_at(w->message, key));
        }
    } else if (w->index != SIZE_MAX) {
        strbuf_addf(out, "[%zu]", w->index);
    }
}

/* `name` is the field's, or what stands for one that has none. */
static int report_field(struct parse_context *ctx, const struct walk *w, const char *message_name,
                        struct str name, const char *refusal)
{
    struct unsupported_field *u;
    struct strbuf path;
    int r = 0;

    strbuf_init(&path);
    strbuf_add(&path, ctx->path.text, ctx->path.len);
    walk_path(w, &path);
    strbuf_addf(&path, "%s%.*s", path.len > 0 ? "." : "", STR_ARG(name));
    if (refusal != NULL) {
        r = error_set(ctx->err, E_UNSUPPORTED, "%.*s: %s", STR_ARG(strbuf_str(&path)), refusal);
    } else {
        u = ARENA_NEW(parse_arena(ctx), struct unsupported_field);
        u->path = arena_str(parse_arena(ctx), strbuf_str(&path));
        u->message = str_c(message_name); /* static */
        u->next = ctx->unsupported;
        ctx->unsupported = u;
        ctx->unsupported_count++;
    }
    strbuf_done(&path);
    return r;
}

/* The key that text was given under, when it is one. */
static bool unknown_key(const ProtobufCMessageUnknownField *f, struct str *ret)
{
    if (f->tag != PB_UNKNOWN_KEY || f->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED ||
        f->len < 2 || f->data[0] != f->len - 1) {
        return false;
    }
    *ret = str_n((const char *)f->data + 1, f->len - 1);
    return str_is_utf8(*ret);
}

static int check_unknown(struct parse_context *ctx, const struct walk *w, const ProtobufCMessage *m)
{
    const char *message_name = m->descriptor->name;
    const struct known_message *known = known_message_find(message_name);
    int r = 0;

    for (size_t i = 0; r == 0 && i < m->n_unknown_fields; i++) {
        const struct known_field *f =
            known != NULL ? known_field_by_number(known, m->unknown_fields[i].tag) : NULL;
        char number[32];
        struct str name;

        if (f != NULL) {
            r = report_field(ctx, w, message_name, str_c(known_field_name(f)),
                             ctx->is_strict ? "not supported by this build (--strict)"
                             : known_field_is_narrowing(f)
                                 ? "not supported by this build, and not safe to ignore"
                                 : NULL);
            continue;
        }
        if (!unknown_key(&m->unknown_fields[i], &name)) {
            int n = snprintf(number, sizeof(number), "<field %u>", m->unknown_fields[i].tag);

            name = str_n(number, (size_t)n);
        }
        r = report_field(ctx, w, message_name, name, ctx->rejects_unknown ? "no such field" : NULL);
    }
    return r;
}

static int check_message(struct parse_context *ctx, const struct walk *w,
                         const ProtobufCMessage *m);

static int check_field(struct parse_context *ctx, const struct walk *w,
                       const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
    struct walk step = {.up = w, .field = f, .index = SIZE_MAX};
    ProtobufCMessage *const *items;
    int r = 0;

    if (f->label != PROTOBUF_C_LABEL_REPEATED) {
        if (pb_is_oneof(f) && *pb_oneof_case(m, f) != f->id) {
            return 0;
        }
        step.message = *(ProtobufCMessage *const *)pb_at(m, f);
        return step.message != NULL ? check_message(ctx, &step, step.message) : 0;
    }
    items = *(ProtobufCMessage *const *const *)pb_at(m, f);
    for (size_t i = 0; r == 0 && i < *pb_count(m, f); i++) {
        step.index = i;
        step.message = items[i];
        r = check_message(ctx, &step, items[i]);
    }
    return r;
}

static int check_message(struct parse_context *ctx, const struct walk *w, const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    int r = m->n_unknown_fields > 0 ? check_unknown(ctx, w, m) : 0;

    if (strncmp(d->name, "google.protobuf.", 16) == 0) {
        return r; /* wrappers, Struct and Any have nothing that could be missing */
    }
    for (unsigned i = 0; r == 0 && i < d->n_fields; i++) {
        if (d->fields[i].type == PROTOBUF_C_TYPE_MESSAGE) {
            r = check_field(ctx, w, &d->fields[i], m);
        }
    }
    return r;
}

int parse_check_tree(struct parse_context *ctx, const ProtobufCMessage *msg)
{
    return check_message(ctx, NULL, msg);
}

int parse_report_unsupported(struct parse_context *ctx, const ProtobufCMessage *m,
                             const char *field)
{
    return report_field(ctx, NULL, m->descriptor->name, str_c(field),
                        ctx->is_strict ? "this value is not supported by this build (--strict)"
                                       : NULL);
}
