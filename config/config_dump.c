/*
 * /config_dump in Envoy's shape: a dump per kind of resource, each with sections (static, dynamic)
 * of elements. Rendered from the stored bytes on demand, in pieces; a resource that comes or goes
 * between two pieces is or is not among them. Main thread.
 */

#include <stdlib.h>
#include <string.h>

#include "config/admin_config.h"
#include "config/endpoint_json.h"
#include "config/field_mask.h"
#include "config/pb_arena.h"
#include "config/pb_json.h"
#include "config/pb_registry.h"
#include "config/pb_unpack.h"
#include "config/store_internal.h"
#include "dataplane/base/clock.h"
#include "dataplane/base/json.h"
#include "dataplane/base/regex.h"
#include "dataplane/base/xalloc.h"
#include "proto/envoy/config/listener/v3/listener.pb-c.h"
#include "proto/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb-c.h"
#include "proto/envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"
#include "proto/known_fields.h"

#define HCM_DESCRIPTOR                                                                             \
    (&envoy__extensions__filters__network__http_connection_manager__v3__http_connection_manager__descriptor)
#define HCM_ROUTE_CONFIG_CASE                                                                      \
    ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__ROUTE_SPECIFIER_ROUTE_CONFIG

enum dump_state { DUMP_STATIC, DUMP_ACTIVE, DUMP_WARMING };

struct dump;

/* A list of one dump. */
struct dump_section {
    const char *name;    /* "static_clusters" */
    const char *element; /* its message, below the dump's */
    const char *field;   /* of the element, that holds the resource: "cluster" */
    enum part_kind of;   /* what that is */
    enum part_kind kind; /* whose slots are walked */
    enum dump_state state;
    /* Writes the elements that the slot has in this section. */
    void (*visit)(struct dump *d, const struct slot *slot);
};

struct dump_type {
    const char *name; /* "ClustersConfigDump" */
    const struct dump_section *sections;
    size_t section_count;
    enum part_kind versioned; /* whose last version is shown; PART_KIND_COUNT: none */
};

/* An answer under way. */
struct dump {
    struct json_writer w;
    const struct admin_config *config;
    struct regex *name_regex; /* NULL: all */
    char *mask_text;          /* the masks' paths are in it; NULL: no mask */
    struct field_mask mask;
    bool includes_endpoints;
    const struct dump_section *only; /* ?resource=: its elements alone */
    /* Where it is. */
    size_t type;
    size_t section;
    bool is_in_type;
    const struct dump_section *current; /* NULL: between sections */
    uint32_t *order;                    /* slots of the section, by name */
    size_t order_count;
    size_t next;
    size_t written;     /* elements of this section; the list opens with the first */
    size_t top_written; /* members of "configs"; likewise */
};

/* --- elements ----------------------------------------------------------------------------- */

static void member_type(struct json_writer *w, const char *dump, const char *element)
{
    struct strbuf url;

    strbuf_init(&url);
    strbuf_addf(&url, "type.googleapis.com/envoy.admin.v3.%s%s%s", dump,
                element[0] != '\0' ? "." : "", element);
    json_member_str(w, "@type", strbuf_str(&url));
    strbuf_done(&url);
}

/* "configs" itself is left out when there is nothing in it. */
static void top_open(struct dump *d)
{
    if (d->top_written++ == 0) {
        json_key(&d->w, STR("configs"));
        json_array_begin(&d->w);
    }
}

static const struct dump_type *dump_type_of(const struct dump_section *s);

/* With ?resource= each element stands alone and says what it is. */
static void element_begin(struct dump *d)
{
    if (d->only != NULL) {
        top_open(d);
    } else if (d->written == 0) {
        json_key(&d->w, str_c(d->current->name));
        json_array_begin(&d->w);
    }
    d->written++;
    json_object_begin(&d->w);
    if (d->only != NULL) {
        member_type(&d->w, dump_type_of(d->only)->name, d->only->element);
    }
}

static void element_end(struct dump *d)
{
    json_object_end(&d->w);
}

/* The mask of the elements: only ?resource= has one, for lists cannot be cut otherwise. */
static const struct field_mask *element_mask(const struct dump *d)
{
    return d->only != NULL && d->mask.count > 0 ? &d->mask : NULL;
}

static void field_str(struct dump *d, const struct field_mask *m, const char *field,
                      struct str value)
{
    struct field_mask inner;

    if (field_mask_enter(m, field, &inner) && value.len > 0) {
        json_member_str(&d->w, field, value);
    }
}

static void field_time(struct dump *d, const struct field_mask *m, const char *field,
                       uint64_t wall_ns)
{
    struct field_mask inner;

    if (field_mask_enter(m, field, &inner)) {
        json_member_time(&d->w, field, wall_ns);
    }
}

static void field_any(struct dump *d, const struct field_mask *m, const char *field,
                      enum part_kind kind, const uint8_t *bytes, size_t len)
{
    struct field_mask inner;

    if (field_mask_enter(m, field, &inner)) {
        json_key(&d->w, str_c(field));
        pb_json_any(&d->w, str_c(resource_type_of(kind)->type_url), bytes, len,
                    m != NULL ? &inner : NULL);
    }
}

static void field_resource(struct dump *d, const struct field_mask *m, const struct resource *r)
{
    field_any(d, m, d->current->field, d->current->of, r->bytes, r->len);
}

static void field_error(struct dump *d, const struct field_mask *m, const struct resource *r)
{
    const struct resource_rejection *x = r->rejection;
    struct field_mask inner;
    const struct field_mask *in = m != NULL ? &inner : NULL;

    if (x == NULL || !field_mask_enter(m, "error_state", &inner)) {
        return;
    }
    json_key(&d->w, STR("error_state"));
    json_object_begin(&d->w);
    if (x->len > 0) {
        field_any(d, in, "failed_configuration", r->slot->kind, x->bytes, x->len);
    }
    field_time(d, in, "last_update_attempt", x->wall_ns);
    field_str(d, in, "details", str_c(x->details));
    field_str(d, in, "version_info", str_c(x->version));
    json_object_end(&d->w);
}

static bool is_named(const struct dump *d, struct str name)
{
    return d->name_regex == NULL || regex_full_match(d->name_regex, name);
}

static bool is_in_section(const struct dump *d, const struct resource *r)
{
    if (r == NULL || r->bytes == NULL || !is_named(d, r->slot->name)) {
        return false;
    }
    switch (d->current->state) {
    case DUMP_STATIC:
        return r->is_static;
    case DUMP_ACTIVE:
        return !r->is_static && r->published != NULL;
    default:
        return !r->is_static && r->accepted != NULL && r->published == NULL;
    }
}

static void dump_resource(struct dump *d, const struct slot *slot)
{
    const struct field_mask *m = element_mask(d);
    const struct resource *r = slot->resource;

    if (!is_in_section(d, r)) {
        return;
    }
    element_begin(d);
    if (!r->is_static) {
        field_str(d, m, "version_info", str_c(r->version));
    }
    field_resource(d, m, r);
    field_time(d, m, "last_updated", r->updated_wall_ns);
    field_error(d, m, r);
    element_end(d);
}

/* Listeners have a state per version, and an error even without any. */
static void dump_listener(struct dump *d, const struct slot *slot)
{
    const struct field_mask *m = element_mask(d);
    const struct resource *r = slot->resource;
    const char *state;
    struct field_mask inner;

    if (r == NULL || r->is_static || !is_named(d, slot->name)) {
        return;
    }
    state = r->accepted == r->published ? "active_state" : "warming_state";
    element_begin(d);
    field_str(d, m, "name", slot->name);
    if (r->bytes != NULL && field_mask_enter(m, state, &inner)) {
        const struct field_mask *in = m != NULL ? &inner : NULL;

        json_key(&d->w, str_c(state));
        json_object_begin(&d->w);
        field_str(d, in, "version_info", str_c(r->version));
        field_resource(d, in, r);
        field_time(d, in, "last_updated", r->updated_wall_ns);
        json_object_end(&d->w);
    }
    field_error(d, m, r);
    element_end(d);
}

/* --- endpoints: as they are now, whatever they came from ---------------------------------- */

/* As Envoy: what a cluster has now, under the name that it asks EDS for. */
static void dump_endpoints(struct dump *d, const struct slot *slot)
{
    const struct field_mask *m = element_mask(d);
    const struct resource *r = slot->resource;
    const struct cluster_config *c;
    const struct resource *endpoints;
    struct field_mask inner;
    struct str name;

    if (r == NULL || r->published == NULL || r->is_static != (d->current->state == DUMP_STATIC)) {
        return;
    }
    c = (const struct cluster_config *)r->published;
    name = c->eds_service_name.len > 0 ? c->eds_service_name : c->name;
    endpoints = store_slot_at(d->config->store, PART_ENDPOINTS, c->endpoints_slot)->resource;
    if (endpoints == NULL || endpoints->published == NULL || !is_named(d, name)) {
        return;
    }
    element_begin(d);
    if (field_mask_enter(m, "endpoint_config", &inner)) {
        json_key(&d->w, STR("endpoint_config"));
        endpoint_set_write_json(&d->w, name, (const struct endpoint_set *)endpoints->published,
                                m != NULL ? &inner : NULL);
    }
    element_end(d);
}

/* --- inline route tables: inside the connection managers of listeners --- */

typedef Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager
    HttpConnectionManager;

static void dump_inline_route(struct dump *d, const struct resource *r,
                              const Google__Protobuf__Any *any, struct arena *arena)
{
    const ProtobufCMessageDescriptor *type =
        pb_find_message(any != NULL ? pb_type_name(str_c(any->type_url)) : STR(""));
    const HttpConnectionManager *hcm;
    ProtobufCMessage *m = NULL;
    struct error err;

    error_init(&err);
    if (type == HCM_DESCRIPTOR &&
        pb_unpack(type, any->value.data, any->value.len, arena, &m, &err) == 0) {
        hcm = (const HttpConnectionManager *)m;
        if (hcm->route_specifier_case == HCM_ROUTE_CONFIG_CASE &&
            is_named(d, str_c(hcm->route_config->name))) {
            size_t len;
            const uint8_t *bytes = pb_pack(&hcm->route_config->base, arena, &len);

            element_begin(d);
            field_any(d, element_mask(d), d->current->field, PART_ROUTE_TABLE, bytes, len);
            field_time(d, element_mask(d), "last_updated", r->updated_wall_ns);
            element_end(d);
        }
    }
    error_done(&err);
}

static void dump_chain_routes(struct dump *d, const struct resource *r,
                              const Envoy__Config__Listener__V3__FilterChain *chain,
                              struct arena *arena)
{
    for (size_t i = 0; chain != NULL && i < chain->n_filters; i++) {
        if (chain->filters[i]->config_type_case ==
            ENVOY__CONFIG__LISTENER__V3__FILTER__CONFIG_TYPE_TYPED_CONFIG) {
            dump_inline_route(d, r, chain->filters[i]->typed_config, arena);
        }
    }
}

static void dump_listener_routes(struct dump *d, const struct slot *slot)
{
    const struct resource *r = slot->resource;
    const Envoy__Config__Listener__V3__Listener *l;
    ProtobufCMessage *m = NULL;
    struct arena arena;
    struct error err;

    if (r == NULL || r->bytes == NULL) {
        return;
    }
    arena_init(&arena, NULL);
    error_init(&err);
    if (pb_unpack(&envoy__config__listener__v3__listener__descriptor, r->bytes, r->len, &arena, &m,
                  &err) == 0) {
        l = (const Envoy__Config__Listener__V3__Listener *)m;
        for (size_t i = 0; i < l->n_filter_chains; i++) {
            dump_chain_routes(d, r, l->filter_chains[i], &arena);
        }
        dump_chain_routes(d, r, l->default_filter_chain, &arena);
    }
    error_done(&err);
    arena_done(&arena);
}

/* --- secrets ------------------------------------------------------------------------------ */

#define TLS(suffix) Envoy__Extensions__TransportSockets__Tls__V3__##suffix

/* As Envoy, files are shown by what was read of them. */
static void resolve_file(Envoy__Config__Core__V3__DataSource *m, const struct secret_file *files)
{
    if (m == NULL ||
        m->specifier_case != ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME) {
        return;
    }
    for (const struct secret_file *f = files; f != NULL; f = f->next) {
        if (str_eq(f->path, str_c(m->filename))) {
            m->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
            m->inline_bytes.data = (uint8_t *)(uintptr_t)f->bytes.ptr;
            m->inline_bytes.len = f->bytes.len;
            return;
        }
    }
}

static void resolve_files(TLS(Secret) * m, const struct secret_file *files)
{
    if (m->type_case ==
        ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_TLS_CERTIFICATE) {
        resolve_file(m->tls_certificate->certificate_chain, files);
        resolve_file(m->tls_certificate->private_key, files);
    } else if (m->type_case ==
               ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT) {
        resolve_file(m->validation_context->trusted_ca, files);
        resolve_file(m->validation_context->crl, files);
    }
}

#undef TLS

static void field_secret(struct dump *d, const struct field_mask *m, const struct resource *r)
{
    const struct resource_type *t = resource_type_of(PART_SECRET);
    const struct secret_file *files = ((const struct secret_config *)r->accepted)->files;
    const uint8_t *bytes = r->bytes;
    size_t len = r->len;
    ProtobufCMessage *message = NULL;
    struct arena arena;
    struct error err;

    arena_init(&arena, NULL);
    error_init(&err);
    if (!r->is_static && files != NULL &&
        pb_unpack(t->descriptor, r->bytes, r->len, &arena, &message, &err) == 0) {
        resolve_files((Envoy__Extensions__TransportSockets__Tls__V3__Secret *)message, files);
        bytes = pb_pack(message, &arena, &len);
    }
    field_any(d, m, "secret", PART_SECRET, bytes, len);
    error_done(&err);
    arena_done(&arena);
}

static void dump_secret(struct dump *d, const struct slot *slot)
{
    const struct field_mask *m = element_mask(d);
    const struct resource *r = slot->resource;

    if (!is_in_section(d, r) || r->accepted == NULL) {
        return;
    }
    element_begin(d);
    field_str(d, m, "name", slot->name);
    if (!r->is_static) {
        field_str(d, m, "version_info", str_c(r->version));
        field_time(d, m, "last_updated", r->updated_wall_ns);
    }
    field_secret(d, m, r);
    field_error(d, m, r);
    element_end(d);
}

/* Named, and not there: also what nobody has sent anything for. */
static void dump_waiting_secret(struct dump *d, const struct slot *slot)
{
    const struct field_mask *m = element_mask(d);
    const struct resource *r = slot->resource;
    struct field_mask inner;

    if (slot->source == NULL || (r != NULL && r->published != NULL) || !is_named(d, slot->name)) {
        return;
    }
    element_begin(d);
    field_str(d, m, "name", slot->name);
    field_str(d, m, "version_info", STR("uninitialized")); /* as Envoy */
    if (field_mask_enter(m, "secret", &inner)) {
        json_key(&d->w, STR("secret"));
        json_object_begin(&d->w);
        json_member_str(&d->w, "@type", str_c(resource_type_of(PART_SECRET)->type_url));
        json_member_str(&d->w, "name", slot->name);
        json_object_end(&d->w);
    }
    if (r != NULL) {
        field_error(d, m, r);
    }
    element_end(d);
}

/* --- what there is ------------------------------------------------------------------------ */

static const struct dump_section CLUSTER_SECTIONS[] = {
    {"static_clusters", "StaticCluster", "cluster", PART_CLUSTER, PART_CLUSTER, DUMP_STATIC,
     dump_resource},
    {"dynamic_active_clusters", "DynamicCluster", "cluster", PART_CLUSTER, PART_CLUSTER,
     DUMP_ACTIVE, dump_resource},
    {"dynamic_warming_clusters", "DynamicCluster", "cluster", PART_CLUSTER, PART_CLUSTER,
     DUMP_WARMING, dump_resource},
};

static const struct dump_section ENDPOINT_SECTIONS[] = {
    {"static_endpoint_configs", "StaticEndpointConfig", "endpoint_config", PART_ENDPOINTS,
     PART_CLUSTER, DUMP_STATIC, dump_endpoints},
    {"dynamic_endpoint_configs", "DynamicEndpointConfig", "endpoint_config", PART_ENDPOINTS,
     PART_CLUSTER, DUMP_ACTIVE, dump_endpoints},
};

static const struct dump_section LISTENER_SECTIONS[] = {
    {"static_listeners", "StaticListener", "listener", PART_LISTENER, PART_LISTENER, DUMP_STATIC,
     dump_resource},
    {"dynamic_listeners", "DynamicListener", "listener", PART_LISTENER, PART_LISTENER, DUMP_ACTIVE,
     dump_listener},
};

static const struct dump_section ROUTE_SECTIONS[] = {
    {"static_route_configs", "StaticRouteConfig", "route_config", PART_ROUTE_TABLE, PART_LISTENER,
     DUMP_STATIC, dump_listener_routes},
    {"dynamic_route_configs", "DynamicRouteConfig", "route_config", PART_ROUTE_TABLE,
     PART_ROUTE_TABLE, DUMP_ACTIVE, dump_resource},
};

static const struct dump_section SECRET_SECTIONS[] = {
    {"static_secrets", "StaticSecret", "secret", PART_SECRET, PART_SECRET, DUMP_STATIC,
     dump_secret},
    {"dynamic_active_secrets", "DynamicSecret", "secret", PART_SECRET, PART_SECRET, DUMP_ACTIVE,
     dump_secret},
    {"dynamic_warming_secrets", "DynamicSecret", "secret", PART_SECRET, PART_SECRET, DUMP_WARMING,
     dump_waiting_secret},
};

enum { BOOTSTRAP_DUMP, CLUSTERS_DUMP, ENDPOINTS_DUMP };

/* In Envoy's order. It has scoped routes everywhere, mostly empty; here they always are. */
static const struct dump_type TYPES[] = {
    [BOOTSTRAP_DUMP] = {"BootstrapConfigDump", NULL, 0, PART_KIND_COUNT},
    [CLUSTERS_DUMP] = {"ClustersConfigDump", CLUSTER_SECTIONS, ARRAY_LEN(CLUSTER_SECTIONS),
                       PART_CLUSTER},
    [ENDPOINTS_DUMP] = {"EndpointsConfigDump", ENDPOINT_SECTIONS, ARRAY_LEN(ENDPOINT_SECTIONS),
                        PART_KIND_COUNT},
    {"ListenersConfigDump", LISTENER_SECTIONS, ARRAY_LEN(LISTENER_SECTIONS), PART_LISTENER},
    {"ScopedRoutesConfigDump", NULL, 0, PART_KIND_COUNT},
    {"RoutesConfigDump", ROUTE_SECTIONS, ARRAY_LEN(ROUTE_SECTIONS), PART_KIND_COUNT},
    {"SecretsConfigDump", SECRET_SECTIONS, ARRAY_LEN(SECRET_SECTIONS), PART_KIND_COUNT},
};

static const struct dump_type *dump_type_of(const struct dump_section *s)
{
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        for (size_t k = 0; k < TYPES[i].section_count; k++) {
            if (s == &TYPES[i].sections[k]) {
                return &TYPES[i];
            }
        }
    }
    return NULL;
}

/* --- walking ------------------------------------------------------------------------------ */

struct named_slot {
    struct str name;
    uint32_t index;
};

static int named_slot_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct named_slot *)a)->name, ((const struct named_slot *)b)->name);
}

static void section_begin(struct dump *d, const struct dump_section *s)
{
    const struct slot_list *l = &d->config->store->slots[s->kind];
    struct named_slot *all = xcalloc(l->count + 1, sizeof(*all));

    d->current = s;
    d->order = xcalloc(l->count + 1, sizeof(*d->order));
    d->order_count = 0;
    d->next = 0;
    d->written = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->by_index[i] != NULL) {
            all[d->order_count++] = (struct named_slot){l->by_index[i]->name, i};
        }
    }
    qsort(all, d->order_count, sizeof(*all), named_slot_cmp);
    for (size_t i = 0; i < d->order_count; i++) {
        d->order[i] = all[i].index;
    }
    free(all);
}

static void section_end(struct dump *d)
{
    if (d->written > 0 && d->only == NULL) {
        json_array_end(&d->w);
    }
    free(d->order);
    d->order = NULL;
    d->current = NULL;
}

/* False when the piece is full. */
static bool section_walk(struct dump *d)
{
    const struct slot_list *l = &d->config->store->slots[d->current->kind];

    while (d->next < d->order_count) {
        uint32_t index = d->order[d->next];

        if (d->w.out->len >= ADMIN_PIECE_BYTES) {
            return false;
        }
        d->next++;
        if (index < l->count && l->by_index[index] != NULL) {
            d->current->visit(d, l->by_index[index]);
        }
    }
    section_end(d);
    return true;
}

static void message_name(struct strbuf *out, const struct dump_type *t, const char *element)
{
    strbuf_addf(out, "envoy.admin.v3.%s%s%s", t->name, element[0] != '\0' ? "." : "", element);
}

/* A mask that does not fit a dump leaves that dump out. */
static bool type_is_wanted(const struct dump *d, size_t type)
{
    struct strbuf name;
    bool is_wanted;

    if (type == ENDPOINTS_DUMP && !d->includes_endpoints) {
        return false;
    }
    strbuf_init(&name);
    message_name(&name, &TYPES[type], "");
    is_wanted = field_mask_is_valid(&d->mask, name.ptr, NULL);
    strbuf_done(&name);
    return is_wanted;
}

static void write_bootstrap(struct dump *d)
{
    const struct bootstrap *b = d->config->bootstrap;
    struct field_mask inner;

    if (field_mask_enter(&d->mask, "bootstrap", &inner)) {
        json_key(&d->w, STR("bootstrap"));
        pb_json_bytes(&d->w, &envoy__config__bootstrap__v3__bootstrap__descriptor, b->bytes, b->len,
                      &inner);
    }
    field_time(d, &d->mask, "last_updated", d->config->loaded_wall_ns);
}

static void type_begin(struct dump *d)
{
    const struct dump_type *t = &TYPES[d->type];

    d->is_in_type = true;
    d->section = 0;
    top_open(d);
    json_object_begin(&d->w);
    member_type(&d->w, t->name, "");
    if (d->type == BOOTSTRAP_DUMP) {
        write_bootstrap(d);
    }
    if (t->versioned != PART_KIND_COUNT) {
        field_str(d, &d->mask, "version_info",
                  config_store_counters(d->config->store, t->versioned)->version);
    }
}

/* False when the piece is full. */
static bool type_walk(struct dump *d)
{
    const struct dump_type *t = &TYPES[d->type];
    struct field_mask inner;

    if (!d->is_in_type) {
        type_begin(d);
    }
    for (; d->section < t->section_count; d->section++) {
        const struct dump_section *s = &t->sections[d->section];

        if (d->current == NULL) {
            if (!field_mask_enter(&d->mask, s->name, &inner)) {
                continue;
            }
            section_begin(d, s);
        }
        if (!section_walk(d)) {
            return false;
        }
    }
    json_object_end(&d->w);
    d->is_in_type = false;
    return true;
}

static bool dump_walk(struct dump *d)
{
    if (d->only != NULL) {
        return section_walk(d);
    }
    for (; d->type < ARRAY_LEN(TYPES); d->type++) {
        if ((d->is_in_type || type_is_wanted(d, d->type)) && !type_walk(d)) {
            return false;
        }
    }
    return true;
}

static bool dump_next(void *state, struct strbuf *out)
{
    struct dump *d = state;

    d->w.out = out;
    if (!dump_walk(d)) {
        return true;
    }
    if (d->top_written > 0) {
        json_array_end(&d->w);
    }
    json_object_end(&d->w);
    strbuf_add_char(out, '\n');
    return false;
}

static void dump_free(void *state)
{
    struct dump *d = state;

    regex_free(d->name_regex);
    free(d->order);
    free(d->mask_text);
    free(d);
}

static const struct admin_pieces dump_pieces = {.next = dump_next, .free = dump_free};

/* --- the request -------------------------------------------------------------------------- */

static void refuse(struct admin_response *rs, int status)
{
    rs->status = status;
    rs->content_type = "text/plain"; /* as Envoy: here without a charset */
}

static bool read_regex(struct dump *d, const struct admin_request *rq, struct admin_response *rs)
{
    const struct str *regex = admin_param(rq, STR("name_regex"));
    struct error err;
    int r = 0;

    error_init(&err);
    if (regex != NULL && regex->len > 0) {
        r = regex_new(*regex, 0, &d->name_regex, &err);
    }
    if (r != 0) {
        refuse(rs, 400);
        strbuf_addf(&rs->body, "INVALID_ARGUMENT: Error while parsing name_regex from %.*s: %s",
                    STR_ARG(*regex), error_message(&err));
    }
    error_done(&err);
    return r == 0;
}

static const struct dump_section *find_section(struct str name, bool includes_endpoints)
{
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        for (size_t k = 0; k < TYPES[i].section_count; k++) {
            if (str_eq(name, str_c(TYPES[i].sections[k].name)) &&
                (i != ENDPOINTS_DUMP || includes_endpoints)) {
                return &TYPES[i].sections[k];
            }
        }
    }
    return NULL;
}

/* Envoy has these lists too. Here they are empty. */
static bool is_empty_list(struct str name)
{
    return str_eq(name, STR("inline_scoped_route_configs")) ||
           str_eq(name, STR("dynamic_scoped_route_configs"));
}

static bool is_single_field(struct str name)
{
    return str_eq(name, STR("bootstrap")) || str_eq(name, STR("version_info")) ||
           str_eq(name, STR("last_updated"));
}

static bool read_resource(struct dump *d, const struct admin_request *rq, struct admin_response *rs)
{
    const struct str *name = admin_param(rq, STR("resource"));

    if (name == NULL || name->len == 0) {
        return true;
    }
    d->only = find_section(*name, d->includes_endpoints);
    if (d->only != NULL) {
        section_begin(d, d->only);
        return true;
    }
    if (is_empty_list(*name)) {
        d->type = ARRAY_LEN(TYPES);
        return true;
    }
    if (is_single_field(*name)) {
        refuse(rs, 400);
        strbuf_addf(&rs->body,
                    "%.*s is not a repeated field. Use ?mask=%.*s to get only this field",
                    STR_ARG(*name), STR_ARG(*name));
        return false;
    }
    refuse(rs, 404);
    strbuf_addf(&rs->body, "%.*s not found in config dump", STR_ARG(*name));
    return false;
}

static bool mask_fits(const struct dump *d)
{
    struct strbuf name;
    bool fits = false;

    if (d->only != NULL) {
        strbuf_init(&name);
        message_name(&name, dump_type_of(d->only), d->only->element);
        fits = field_mask_is_valid(&d->mask, name.ptr,
                                   resource_type_of(d->only->of)->descriptor->name);
        strbuf_done(&name);
        return fits;
    }
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        fits = fits || type_is_wanted(d, i);
    }
    return fits;
}

static bool read_mask(struct dump *d, const struct admin_request *rq, struct admin_response *rs)
{
    const struct str *mask = admin_param(rq, STR("mask"));

    if (mask == NULL || mask->len == 0) {
        return true;
    }
    d->mask_text = xstrndup(mask->ptr, mask->len);
    if (field_mask_parse(str_c(d->mask_text), &d->mask) && mask_fits(d)) {
        return true;
    }
    refuse(rs, 400);
    strbuf_addf(&rs->body, "FieldMask %.*s could not be successfully %s", STR_ARG(*mask),
                d->only != NULL ? "used." : "applied to any configs.");
    return false;
}

static void config_dump_render(void *context, const struct admin_request *rq,
                               struct admin_response *rs)
{
    struct dump *d = xcalloc(1, sizeof(*d));

    d->config = context;
    d->includes_endpoints = admin_param(rq, STR("include_eds")) != NULL;
    if (!read_regex(d, rq, rs) || !read_resource(d, rq, rs) || !read_mask(d, rq, rs)) {
        dump_free(d);
        return;
    }
    rs->content_type = "application/json";
    json_init(&d->w, &rs->body, true);
    json_object_begin(&d->w);
    rs->pieces = &dump_pieces;
    rs->pieces_state = d;
}

static const struct admin_param_doc config_dump_params[] = {
    {.name = "resource", .help = "The resource to dump"},
    {.name = "mask",
     .help = "The mask to apply. When both resource and mask are specified, the mask is applied to "
             "every element in the desired repeated field so that only a subset of fields are "
             "returned. The mask is parsed as a Protobuf::FieldMask"},
    {.name = "name_regex",
     .help = "Dump only the currently loaded configurations whose names match the specified regex. "
             "Can be used with both resource and mask query parameters."},
    {.name = "include_eds",
     .help = "Dump currently loaded configuration including EDS. See the response definition for "
             "more information",
     .is_flag = true},
};

const struct admin_endpoint admin_config_dump_endpoint = {
    .path = "/config_dump",
    .help = "dump current Envoy configs",
    .params = config_dump_params,
    .param_count = ARRAY_LEN(config_dump_params),
    .render = config_dump_render,
};
