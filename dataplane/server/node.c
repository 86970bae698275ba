/* Builds the Node message. Main thread, once. */

#include "dataplane/server/node.h"

#include <string.h>

#include "config/pb_arena.h"
#include "config/pb_unpack.h"
#include "dataplane/base/xalloc.h"

static char *node_override(const char *flag, char *configured, struct arena *a)
{
    return flag != NULL ? arena_strdup(a, flag) : configured;
}

static void node_set_build_version(Envoy__Config__Core__V3__Node *n, struct arena *a)
{
    Envoy__Config__Core__V3__BuildVersion *b = ARENA_NEW(a, Envoy__Config__Core__V3__BuildVersion);
    Envoy__Type__V3__SemanticVersion *v = ARENA_NEW(a, Envoy__Type__V3__SemanticVersion);

    envoy__config__core__v3__build_version__init(b);
    envoy__type__v3__semantic_version__init(v);
    v->major_number = NUNCIO_ENVOY_MAJOR;
    v->minor_number = NUNCIO_ENVOY_MINOR;
    v->patch = NUNCIO_ENVOY_PATCH;
    b->version = v;
    n->user_agent_name = arena_strdup(a, "envoy");
    n->user_agent_version_type_case =
        ENVOY__CONFIG__CORE__V3__NODE__USER_AGENT_VERSION_TYPE_USER_AGENT_BUILD_VERSION;
    n->user_agent_build_version = b;
}

static void node_set_extensions(Envoy__Config__Core__V3__Node *n,
                                const struct extension_registry *registry, struct arena *a)
{
    n->extensions = ARENA_ARRAY(a, Envoy__Config__Core__V3__Extension *, registry->count);
    n->n_extensions = registry->count;
    for (size_t i = 0; i < registry->count; i++) {
        const struct extension *ext = registry->extensions[i];
        Envoy__Config__Core__V3__Extension *e = ARENA_NEW(a, Envoy__Config__Core__V3__Extension);

        envoy__config__core__v3__extension__init(e);
        e->name = arena_strdup(a, ext->name);
        e->category = arena_strdup(a, extension_category_name(ext->category));
        e->type_urls = ARENA_ARRAY(a, char *, 1);
        e->type_urls[0] = arena_strdup(a, ext->descriptor->name);
        e->n_type_urls = 1;
        n->extensions[i] = e;
    }
}

void node_build(Envoy__Config__Bootstrap__V3__Bootstrap *bootstrap, const struct options *o,
                const struct extension_registry *registry, struct arena *arena,
                struct node *ret_node)
{
    Envoy__Config__Core__V3__Node *n = bootstrap->node;
    ProtobufCMessage *copy = NULL;
    struct error err;
    int r;

    if (n == NULL) {
        n = ARENA_NEW(arena, Envoy__Config__Core__V3__Node);
        envoy__config__core__v3__node__init(n);
        bootstrap->node = n;
    }
    n->id = node_override(o->service_node, n->id, arena);
    n->cluster = node_override(o->service_cluster, n->cluster, arena);
    if (o->service_zone != NULL) {
        if (n->locality == NULL) {
            n->locality = ARENA_NEW(arena, Envoy__Config__Core__V3__Locality);
            envoy__config__core__v3__locality__init(n->locality);
        }
        n->locality->zone = arena_strdup(arena, o->service_zone);
    }
    node_set_build_version(n, arena);
    node_set_extensions(n, registry, arena);
    n->n_client_features = 0; /* none of Envoy's optional client behaviours is here yet */
    ret_node->bytes = pb_pack(&n->base, arena, &ret_node->len);
    /* A copy of its own: the bootstrap's message goes once it is loaded. */
    error_init(&err);
    r = pb_unpack(&envoy__config__core__v3__node__descriptor, ret_node->bytes, ret_node->len, arena,
                  &copy, &err);
    CHECK(r == 0); /* we packed it */
    error_done(&err);
    ret_node->message = (Envoy__Config__Core__V3__Node *)copy;
}
