/* The store's names for secrets. Any thread. */

#include "config/parse/secret_key.h"

#include "dataplane/base/check.h"
#include "dataplane/base/hash.h"

struct str secret_key(struct arena *a, struct str name, enum secret_kind kind, uint64_t source_hash)
{
    return arena_printf(a, "%.*s%c%d%016llx", STR_ARG(name), '\0', (int)kind,
                        (unsigned long long)source_hash);
}

struct str secret_key_name(struct str key)
{
    size_t end = str_find_char(key, '\0');

    return end == STR_NPOS ? key : str_sub(key, 0, end);
}

enum secret_kind secret_key_kind(struct str key)
{
    size_t end = str_find_char(key, '\0');

    CHECK(end != STR_NPOS && end + 1 < key.len);
    return (enum secret_kind)(key.ptr[end + 1] - '0');
}

const char *secret_kind_name(enum secret_kind k)
{
    static const char *const NAMES[SECRET_KIND_COUNT] = {
        [SECRET_TLS_CERTIFICATE] = "tls_certificate",
        [SECRET_SESSION_TICKET_KEYS] = "session_ticket_keys",
        [SECRET_VALIDATION_CONTEXT] = "validation_context",
        [SECRET_GENERIC] = "generic_secret",
    };

    return NAMES[k];
}

static uint64_t mix_str(uint64_t h, struct str s)
{
    h = hash_mix(h, &s.len, sizeof(s.len));
    return hash_mix(h, s.ptr, s.len);
}

uint64_t config_source_hash(const struct config_source *c)
{
    const struct grpc_service_config *g = &c->grpc;
    uint64_t h = (uint64_t)c->kind + 1;

    if (c->kind == CONFIG_SOURCE_ADS) {
        return h;
    }
    h = mix_str(h, c->path);
    h = mix_str(h, c->watched_directory);
    h = hash_mix(h, &(uint64_t){c->api_type == API_DELTA_GRPC}, sizeof(uint64_t));
    h = hash_mix(h, &(uint64_t){c->set_node_on_first_message_only}, sizeof(uint64_t));
    h = mix_str(h, g->cluster_name);
    h = mix_str(h, g->authority);
    for (size_t i = 0; i < g->initial_metadata_count; i++) {
        h = mix_str(h, g->initial_metadata[i].key);
        h = mix_str(h, g->initial_metadata[i].value);
    }
    return h != 0 ? h : 1;
}
