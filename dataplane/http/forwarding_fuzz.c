/* Any headers through what the connection manager does to them: the client's address is always
 * decided, hop-by-hop headers never survive, doing it again changes nothing that matters. */

#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/http/client_address.h"
#include "dataplane/http/forwarding.h"
#include "dataplane/http/host.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_lines(struct header_map *h, struct str text)
{
    struct str line;

    header_add(h, HDR_METHOD, STR("GET"));
    header_add(h, HDR_PATH, STR("/"));
    header_add(h, HDR_AUTHORITY, STR("h"));
    while (str_split(&text, '\n', &line)) {
        size_t colon = str_find_char(line, ':');
        struct str name = str_sub(line, 0, colon);

        if (colon != STR_NPOS && name.len > 0) {
            char *lower = arena_memdup(h->arena, name.ptr, name.len);

            str_lower_in_place(lower, name.len);
            header_add_name(h, str_n(lower, name.len),
                            str_trim(str_sub(line, colon + 1, line.len)));
        }
    }
}

static void check_host(struct str host, struct arena *a)
{
    struct str dotless = host_strip_trailing_dot(host, a);
    struct str name;
    uint32_t port;

    CHECK(dotless.len + 1 >= host.len && dotless.len <= host.len);
    if (host_find_port(host, &name, &port)) {
        CHECK(name.ptr == host.ptr && name.len < host.len && host.ptr[name.len] == ':');
    }
}

/* Trusting everybody, the first address is the client; trusting nobody, the last. */
static void check_beyond(const struct header_map *h)
{
    static const struct cidr everybody[] = {{.is_v6 = false}, {.is_v6 = true}};
    struct client_address last = {.is_trusted = false};
    struct client_address first = {.is_trusted = false};

    client_from_xff_beyond(h, NULL, 0, &last);
    client_from_xff_beyond(h, everybody, 2, &first);
    CHECK(address_is_set(&last.address) == address_is_set(&first.address));
    CHECK(!last.is_trusted || address_eq_ip(&last.address, &first.address));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_conn_manager_config config = {.generate_request_id = true};
    struct address remote;
    struct forwarding_peer peer = {.remote = &remote, .remote_ip = STR("203.0.113.7")};
    struct address client;
    struct header_map h;
    struct arena arena;
    struct rng rng;
    char *copy;

    if (size < 1) {
        return 0;
    }
    copy = malloc(size);
    CHECK(copy != NULL);
    memcpy(copy, data, size);
    config.use_remote_address = (copy[0] & 1) != 0;
    config.xff_num_trusted_hops = (uint32_t)(copy[0] >> 1) & 3;
    config.preserve_external_request_id = (copy[0] & 8) != 0;
    config.skip_xff_append = (copy[0] & 16) != 0;
    config.request_id.pack_trace_reason = (copy[0] & 32) != 0;
    config.via = (copy[0] & 64) != 0 ? STR("v") : STR_NONE;
    CHECK(address_from_ip(peer.remote_ip, 1, &remote) == 0);
    rng_seed_with(&rng, 1);
    arena_init(&arena, NULL);
    header_map_init(&h, &arena);
    add_lines(&h, str_n(copy + 1, size - 1));
    CHECK(forwarding_mutate_request(
              &(struct forwarding_request){
                  .config = &config, .peer = &peer, .rng = &rng, .headers = &h},
              &client) == 0);
    CHECK(address_is_set(&client));
    CHECK(!header_has(&h, HDR_KEEP_ALIVE) && !header_has(&h, HDR_TRANSFER_ENCODING) &&
          !header_has(&h, HDR_PROXY_CONNECTION) && !header_has(&h, HDR_X_ENVOY_INTERNAL));
    CHECK(header_has(&h, HDR_X_REQUEST_ID) && header_get(&h, HDR_SCHEME).len > 0);
    CHECK(!header_has(&h, HDR_CONNECTION) || forwarding_is_upgrade(&h));
    forwarding_mutate_response(&config, &h, false, &h);
    check_host(str_n(copy + 1, size - 1), &arena);
    check_beyond(&h);
    arena_done(&arena);
    free(copy);
    return 0;
}
