#ifndef CONFIG_MODEL_ROUTE_INDEX_H
#define CONFIG_MODEL_ROUTE_INDEX_H

/*
 * Finds, for a path, the candidate routes of a virtual host in configured order without walking
 * all of them: exact paths in a hash, prefixes in a trie, regexes in RE2 sets per literal prefix,
 * the rest in an ordered list. Immutable, built once on main. First match order is kept exactly:
 * the caller tests candidates in ascending index (headers, query) and the first that passes wins.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/route.h"

/* Built in the part's arena; heap pieces (regex sets) are freed by a part cleanup. */
const struct route_index *route_index_build(struct part *owner, const struct route *routes,
                                            size_t count);

/* Called for candidates whose path matches, in ascending index; true stops the walk. */
typedef bool route_candidate_fn(void *user, const struct route *r);

/* `path` is without query and fragment. Returns the accepted route or NULL. */
const struct route *route_index_find(const struct route_index *ix, struct str path,
                                     route_candidate_fn *accept, void *user);

/* E_EXISTS (reterr names it) when a domain stands twice. */
int domain_index_build(struct part *owner, const struct virtual_host *vhosts, size_t count,
                       const struct domain_index **ret_index, struct error *reterr) MUST_CHECK;

/* Exact, then `*.suffix` longest first, then `prefix.*` longest first, then `*`; case-insensitive
 * (RFC 4343). `host` is the :authority, with or without port as configured. */
const struct virtual_host *domain_index_find(const struct domain_index *ix, struct str host);

#endif
