/* Paths, errors, names and unsupported fields of one resource being parsed. Main thread. */

#include "config/parse/context.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void parse_subscribe(struct parse_context *ctx, enum part_kind kind, struct str name,
                     const struct config_source *source)
{
    if (ctx->subscription_count == ctx->subscription_cap) {
        ctx->subscription_cap = ctx->subscription_cap == 0 ? 4 : ctx->subscription_cap * 2;
        ctx->subscriptions =
            xreallocarray(ctx->subscriptions, ctx->subscription_cap, sizeof(*ctx->subscriptions));
    }
    ctx->subscriptions[ctx->subscription_count++] = (struct subscription_ref){kind, name, source};
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
    const char *field;
    size_t index; /* SIZE_MAX: not repeated */
};

static void walk_path(const struct walk *w, struct strbuf *out)
{
    if (w == NULL) {
        return;
    }
    walk_path(w->up, out);
    strbuf_addf(out, "%s%s", out->len > 0 ? "." : "", w->field);
    if (w->index != SIZE_MAX) {
        strbuf_addf(out, "[%zu]", w->index);
    }
}

static int report_field(struct parse_context *ctx, const struct walk *w,
                        const struct known_message *message, const struct known_field *f)
{
    struct unsupported_field *u;
    struct strbuf path;
    bool is_refused = ctx->is_strict || known_field_is_narrowing(f);
    int r = 0;

    strbuf_init(&path);
    strbuf_add(&path, ctx->path.text, ctx->path.len);
    walk_path(w, &path);
    strbuf_addf(&path, "%s%s", path.len > 0 ? "." : "", known_field_name(f));
    if (is_refused) {
        r = error_set(ctx->err, E_UNSUPPORTED, "%.*s: %s", STR_ARG(strbuf_str(&path)),
                      ctx->is_strict ? "not supported by this build (--strict)"
                                     : "not supported by this build, and not safe to ignore");
    } else {
        u = ARENA_NEW(parse_arena(ctx), struct unsupported_field);
        u->path = arena_str(parse_arena(ctx), strbuf_str(&path));
        u->message = str_c(known_message_name(message)); /* static */
        u->next = ctx->unsupported;
        ctx->unsupported = u;
        ctx->unsupported_count++;
    }
    strbuf_done(&path);
    return r;
}

static int check_unknown(struct parse_context *ctx, const struct walk *w, const ProtobufCMessage *m)
{
    const struct known_message *known = known_message_find(m->descriptor->name);

    for (size_t i = 0; known != NULL && i < m->n_unknown_fields; i++) {
        const struct known_field *f = known_field_by_number(known, m->unknown_fields[i].tag);
        /* What Envoy does not know either is ignored, as it does. */
        int r = f != NULL ? report_field(ctx, w, known, f) : 0;

        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int check_message(struct parse_context *ctx, const struct walk *w,
                         const ProtobufCMessage *m);

static int check_repeated(struct parse_context *ctx, const struct walk *w,
                          const ProtobufCFieldDescriptor *f, const ProtobufCMessage *m)
{
    size_t n = *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
    ProtobufCMessage *const *items =
        *(ProtobufCMessage *const *const *)(const void *)((const char *)m + f->offset);

    for (size_t i = 0; i < n; i++) {
        struct walk step = {w, f->name, i};
        int r = check_message(ctx, &step, items[i]);

        if (r != 0) {
            return r;
        }
    }
    return 0;
}

static int check_message(struct parse_context *ctx, const struct walk *w, const ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    int r = m->n_unknown_fields > 0 ? check_unknown(ctx, w, m) : 0;

    if (strncmp(d->name, "google.protobuf.", 16) == 0) {
        return r; /* wrappers, Struct and Any have nothing that could be missing */
    }
    for (unsigned i = 0; r == 0 && i < d->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &d->fields[i];
        const ProtobufCMessage *sub;

        if (f->type != PROTOBUF_C_TYPE_MESSAGE) {
            continue;
        }
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            r = check_repeated(ctx, w, f, m);
            continue;
        }
        if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0 &&
            *(const uint32_t *)(const void *)((const char *)m + f->quantifier_offset) != f->id) {
            continue;
        }
        sub = *(const ProtobufCMessage *const *)(const void *)((const char *)m + f->offset);
        if (sub != NULL) {
            struct walk step = {w, f->name, SIZE_MAX};

            r = check_message(ctx, &step, sub);
        }
    }
    return r;
}

int parse_check_tree(struct parse_context *ctx, const ProtobufCMessage *msg)
{
    return check_message(ctx, NULL, msg);
}
