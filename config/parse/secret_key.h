#ifndef CONFIG_PARSE_SECRET_KEY_H
#define CONFIG_PARSE_SECRET_KEY_H

/*
 * What tells secrets apart. A name is not enough: as in Envoy, the same one is another secret in
 * each source, for each use that is made of it, and in the bootstrap. The store knows a secret by
 * its key, which starts with the name; a NUL, which no name has, ends that. Any thread.
 */

#include "config/model/cluster.h"
#include "config/model/tls.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

/* In the arena. `source_hash`: config_source_hash, or 0 for the bootstrap's own secrets. */
struct str secret_key(struct arena *a, struct str name, enum secret_kind kind,
                      uint64_t source_hash);
/* Where the name ends; a text without NUL is a name. */
struct str secret_key_name(struct str key);
/* What the secret is wanted for. */
enum secret_kind secret_key_kind(struct str key);

/* Equal for sources that are one subscription: timeouts do not count, and there is one ADS. Never
 * 0. */
uint64_t config_source_hash(const struct config_source *c);

#endif
