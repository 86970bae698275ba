#ifndef CONFIG_MODEL_DOMAIN_INDEX_H
#define CONFIG_MODEL_DOMAIN_INDEX_H

/*
 * Which virtual host a Host names. Exact domains first, then `*.suffix` (any domain that begins
 * with a star) longest first, then `prefix.*` longest first, then `*`. Case-insensitive (RFC 4343).
 * Immutable, built once on main, read by any thread.
 */

#include <stddef.h>

#include "config/model/route.h"
#include "dataplane/base/error.h"

/* E_EXISTS, with a sentence in Envoy's words, when a domain stands twice. Domains are in lower
 * case. */
int domain_index_build(struct part *owner, const struct virtual_host *vhosts, size_t count,
                       const struct domain_index **ret_index, struct error *reterr) MUST_CHECK;

/* `host` is the :authority, with or without port as configured. NULL: none. */
const struct virtual_host *domain_index_find(const struct domain_index *ix, struct str host);

#endif
