/*
 * One connection's way through the listener filters: whose turn it is, the bytes they look at, how
 * long it may take. Worker thread. What the outcome means is listener.c's.
 */

#include "dataplane/net/listener_filter.h"

#include <stdlib.h>
#include <string.h>

#include "dataplane/base/log.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"

/* --- predicates --------------------------------------------------------------------------- */

static bool predicate_holds(const struct listener_predicate *p, const struct conn *c)
{
    bool is_and = p->kind == LISTENER_PREDICATE_AND;

    switch (p->kind) {
    case LISTENER_PREDICATE_ANY:
        return true;
    case LISTENER_PREDICATE_NOT:
        return !predicate_holds(&p->rules[0], c);
    case LISTENER_PREDICATE_DESTINATION_PORT:
        return address_is_ip(&c->local) && address_port(&c->local) >= p->port_from &&
               address_port(&c->local) < p->port_to;
    case LISTENER_PREDICATE_AND:
    case LISTENER_PREDICATE_OR:
        break;
    }
    for (size_t i = 0; i < p->rule_count; i++) {
        if (predicate_holds(&p->rules[i], c) != is_and) {
            return !is_and;
        }
    }
    return is_and;
}

/* --- bytes -------------------------------------------------------------------------------- */

/* What has come, in one piece. What trickles in is put together once, not anew with each piece. */
static struct str inspection_bytes(struct inspection *i)
{
    const struct buf *in = &i->conn->in;

    if (in->head == NULL || in->head->next == NULL) {
        return buf_front(in);
    }
    if (i->gathered_cap < in->len) {
        i->gathered_cap = 2 * in->len;
        i->gathered = xreallocarray(i->gathered, i->gathered_cap, 1);
    }
    i->gathered_len +=
        buf_copy_out(in, i->gathered_len, i->gathered + i->gathered_len, in->len - i->gathered_len);
    return str_n(i->gathered, i->gathered_len);
}

void inspection_drain(struct inspection *i, size_t len)
{
    buf_drain(&i->conn->in, len);
    i->conn->bytes_read -= len; /* they are no part of what the connection carries */
    if (i->gathered_len > len) {
        memmove(i->gathered, i->gathered + len, i->gathered_len - len);
    }
    i->gathered_len -= len < i->gathered_len ? len : i->gathered_len;
}

/* --- the way through ---------------------------------------------------------------------- */

static void inspection_end(struct inspection *i, enum inspection_outcome o)
{
    timer_cancel(i->thread->loop, &i->timer);
    i->conn->ops = NULL;
    i->conn->user = NULL;
    i->on_outcome(i, o); /* frees it */
}

static enum listener_filter_status inspection_begin_filter(struct inspection *i)
{
    struct listener_filter *f = &i->filters[i->at];
    const struct listener_predicate *disabled = i->config->listener_filters[i->at].disabled;
    enum listener_filter_status status;

    if (disabled != NULL && predicate_holds(disabled, i->conn)) {
        return LISTENER_FILTER_CONTINUE;
    }
    status = f->type->on_accept(f);
    if (status == LISTENER_FILTER_WAIT && i->conn->in.len > 0) {
        status = f->type->on_data(f, inspection_bytes(i));
    }
    return status;
}

/* Takes what the filter at `at` said and goes on until one waits or there is an outcome. False: the
 * inspection is gone. */
static bool inspection_advance(struct inspection *i, enum listener_filter_status status)
{
    while (status == LISTENER_FILTER_CONTINUE) {
        if (++i->at == i->filter_count) {
            inspection_end(i, INSPECTION_DONE);
            return false;
        }
        status = inspection_begin_filter(i);
    }
    if (status == LISTENER_FILTER_CLOSE || i->conn->in.len >= LISTENER_FILTER_MAX_BYTES) {
        inspection_end(i, INSPECTION_REFUSED);
        return false;
    }
    return true;
}

static void inspection_on_data(struct conn *c, struct buf *in, bool end_stream)
{
    struct inspection *i = c->user;
    struct listener_filter *f = &i->filters[i->at];

    (void)end_stream; /* half-close is not enabled yet */
    if (in != &c->in) {
        buf_move(&c->in, in);
    }
    (void)inspection_advance(i, f->type->on_data(f, inspection_bytes(i)));
}

static void inspection_on_closed(struct conn *c, enum conn_close_cause cause)
{
    inspection_end(c->user,
                   cause == CONN_CLOSED_REMOTE ? INSPECTION_REMOTE_CLOSE : INSPECTION_ERROR);
}

static void inspection_on_timer(struct timer *t)
{
    struct inspection *i = container_of(t, struct inspection, timer);

    i->is_timed_out = true;
    inspection_end(i, i->config->continue_on_listener_filters_timeout ? INSPECTION_DONE
                                                                      : INSPECTION_TIMEOUT);
}

static const struct conn_ops inspection_conn_ops = {
    .on_data = inspection_on_data,
    .on_closed = inspection_on_closed,
};

/* The states lie behind the filters, each as aligned as malloc's memory. */
static size_t state_room(const struct listener_filter_type *type)
{
    return (type->state_bytes + 15) & ~(size_t)15;
}

struct inspection *inspection_new(struct thread_context *t, const struct listener_config *config,
                                  struct conn *c)
{
    size_t count = config->listener_filter_count;
    size_t head =
        (sizeof(struct inspection) + count * sizeof(struct listener_filter) + 15) & ~(size_t)15;
    size_t bytes = head;
    struct inspection *i;
    char *state;

    for (size_t k = 0; k < count; k++) {
        bytes +=
            state_room((const struct listener_filter_type *)config->listener_filters[k].filter.ext);
    }
    i = xcalloc(1, bytes);
    state = (char *)i + head;
    for (size_t k = 0; k < count; k++) {
        struct listener_filter *f = &i->filters[k];

        f->type = (const struct listener_filter_type *)config->listener_filters[k].filter.ext;
        f->config = config->listener_filters[k].filter.config;
        f->state = state;
        f->inspection = i;
        state += state_room(f->type);
    }
    i->conn = c;
    i->thread = t;
    i->config = config;
    i->filter_count = count;
    arena_init(&i->arena, &t->loop->arenas);
    timer_init(&i->timer, inspection_on_timer);
    return i;
}

void inspection_start(struct inspection *i)
{
    struct conn *c = i->conn;

    c->ops = &inspection_conn_ops;
    c->user = i;
    conn_set_watermark(c, LISTENER_FILTER_MAX_BYTES);
    i->at = SIZE_MAX; /* before the first one */
    if (!inspection_advance(i, LISTENER_FILTER_CONTINUE)) {
        return;
    }
    if (i->config->listener_filters_timeout_ms > 0) {
        timer_arm(i->thread->loop, &i->timer, i->config->listener_filters_timeout_ms);
    }
    conn_read_start(c);
}

void inspection_free(struct inspection *i)
{
    if (i == NULL) {
        return;
    }
    timer_cancel(i->thread->loop, &i->timer);
    arena_done(&i->arena);
    free(i->gathered);
    free(i);
}

void inspection_move_info(struct inspection *to, struct inspection *from)
{
    arena_done(&to->arena);
    to->arena = from->arena;
    to->info = from->info;
    arena_init(&from->arena, &from->thread->loop->arenas);
    from->info = (struct connection_info){.has_proxy_header = false};
}

/* --- what filters found ------------------------------------------------------------------- */

void inspection_restore_local(struct inspection *i, const struct address *local)
{
    if (i->info.direct_local == NULL) {
        i->info.direct_local = arena_memdup(&i->arena, &i->conn->local, sizeof(i->conn->local));
    }
    i->conn->local = *local;
}

void inspection_set_remote(struct inspection *i, const struct address *remote)
{
    struct conn *c = i->conn;

    if (c->direct_remote == NULL) {
        c->direct_remote = xmalloc(sizeof(*c->direct_remote));
        *c->direct_remote = c->remote;
    }
    c->remote = *remote;
}

void inspection_set_protocols(struct inspection *i, const struct str *protocols, size_t count)
{
    struct str *copy = ARENA_ARRAY(&i->arena, struct str, count);

    for (size_t k = 0; k < count; k++) {
        copy[k] = arena_str(&i->arena, protocols[k]);
    }
    i->info.application_protocols = copy;
    i->info.application_protocol_count = count;
}

/* `old` (NULL: an empty one) with one field set. Values are immutable: a new array each time. */
static struct value struct_with(struct arena *a, const struct value *old, struct str name,
                                struct value value)
{
    size_t count = old != NULL ? old->count : 0;
    struct value_field *fields = ARENA_ARRAY(a, struct value_field, count + 1);
    struct value v = {.kind = VALUE_STRUCT, .fields = fields};
    bool is_placed = false;

    for (size_t i = 0; i < count; i++) {
        const struct value_field *f = &old->fields[i];
        int order = is_placed ? -1 : str_cmp(f->name, name);

        if (order >= 0) {
            fields[v.count++] = (struct value_field){arena_str(a, name), value};
            is_placed = true;
        }
        if (order != 0) {
            fields[v.count++] = *f;
        }
    }
    if (!is_placed) {
        fields[v.count++] = (struct value_field){arena_str(a, name), value};
    }
    return v;
}

void inspection_set_metadata(struct inspection *i, struct str name_space, struct str key,
                             struct str text)
{
    struct arena *a = &i->arena;
    const struct value *all = i->info.metadata;
    struct value leaf = {.kind = VALUE_STRING, .string = arena_str(a, text)};
    struct value inner = struct_with(a, value_get(all, name_space), key, leaf);
    struct value outer = struct_with(a, all, name_space, inner);

    i->info.metadata = arena_memdup(a, &outer, sizeof(outer));
}

/* --- what stays --------------------------------------------------------------------------- */

/* Copies into one piece of memory; the first time, without any, it only measures. */
struct packer {
    char *memory;
    size_t at;
};

static void *pack(struct packer *p, const void *from, size_t len)
{
    char *to = NULL;

    if (p->memory != NULL) {
        to = p->memory + p->at;
        if (len > 0) {
            memcpy(to, from, len);
        }
    }
    p->at += (len + 7) & ~(size_t)7;
    return to;
}

static struct str pack_str(struct packer *p, struct str s)
{
    return s.len > 0 ? str_n(pack(p, s.ptr, s.len), s.len) : STR_NONE;
}

/* Of what inspection_set_metadata makes: structs and strings. */
static void pack_value(struct packer *p, const struct value *from, struct value *to)
{
    struct value_field *fields;

    to->string = pack_str(p, from->string);
    fields = pack(p, from->fields, from->count * sizeof(*from->fields));
    to->fields = fields;
    for (size_t i = 0; i < from->count; i++) {
        struct value_field scratch = from->fields[i];
        struct value_field *f = fields != NULL ? &fields[i] : &scratch;

        f->name = pack_str(p, from->fields[i].name);
        pack_value(p, &from->fields[i].value, &f->value);
    }
}

static struct connection_info *pack_info(struct packer *p, const struct connection_info *from)
{
    struct connection_info scratch = *from;
    struct connection_info *memory = pack(p, from, sizeof(*from));
    struct connection_info *to = memory != NULL ? memory : &scratch;

    to->server_name = pack_str(p, from->server_name);
    to->transport_protocol = pack_str(p, from->transport_protocol);
    to->ja3 = pack_str(p, from->ja3);
    to->ja4 = pack_str(p, from->ja4);
    to->proxy_tlvs = pack_str(p, from->proxy_tlvs);
    to->application_protocols = NULL;
    to->application_protocol_count = 0;
    if (from->direct_local != NULL) {
        to->direct_local = pack(p, from->direct_local, sizeof(*from->direct_local));
    }
    if (from->metadata != NULL) {
        struct value root = *from->metadata;
        struct value *v = pack(p, from->metadata, sizeof(*v));

        pack_value(p, from->metadata, v != NULL ? v : &root);
        to->metadata = v;
    }
    return memory;
}

static bool info_is_empty(const struct connection_info *info)
{
    return info->server_name.len == 0 && info->transport_protocol.len == 0 && info->ja3.len == 0 &&
           info->ja4.len == 0 && info->metadata == NULL && !info->has_proxy_header &&
           info->direct_local == NULL;
}

struct connection_info *inspection_take_info(struct inspection *i)
{
    struct packer p = {0};

    if (info_is_empty(&i->info)) {
        return NULL;
    }
    (void)pack_info(&p, &i->info);
    p = (struct packer){.memory = xmalloc(p.at)};
    return pack_info(&p, &i->info);
}
