#ifndef CONFIG_MODEL_ROUTE_INDEX_H
#define CONFIG_MODEL_ROUTE_INDEX_H

/*
 * Finds, for a path, the candidate routes of a virtual host in configured order without walking
 * all of them: exact paths in a hash, prefixes in a trie, regexes in RE2 sets under their literal
 * prefix in that trie, routes for CONNECT in a list of their own. First match order is kept
 * exactly: the caller tests candidates in ascending index (headers, query) and the first that
 * passes wins. Takes no memory while matching (RE2's own apart). Immutable, built once on main,
 * read by any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "config/model/domain_index.h"
#include "config/model/route.h"

/* Built in the part's arena; heap pieces (regex sets) are freed by a part cleanup. */
const struct route_index *route_index_build(struct part *owner, const struct route *routes,
                                            size_t count);

/* Called for candidates whose path matches, in ascending index; true stops the walk. */
typedef bool route_candidate_fn(void *user, const struct route *r);

/* `path` is without query and fragment; its `ptr` is NULL when the request has none: then only
 * routes that take CONNECT are asked, and those only with `is_connect`. Returns the accepted route
 * or NULL. */
const struct route *route_index_find(const struct route_index *ix, struct str path, bool is_connect,
                                     route_candidate_fn *accept, void *user);

/* Whether the route's own rule takes this path: what the index must agree with. */
bool route_matches_path(const struct route *r, struct str path, bool is_connect);

#endif
