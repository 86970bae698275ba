#ifndef CONFIG_SECRET_FILES_H
#define CONFIG_SECRET_FILES_H

/*
 * Files that a discovered secret names: watched, and the secret is read again when something is
 * renamed into their directories, as Envoy does (Kubernetes swaps a link there). What cannot be
 * used (a key that does not go with its certificate yet) is refused, the last good version serves,
 * and the next change is tried. Main thread.
 */

#include "config/store_internal.h"

struct secret_files;

/* Watches what the secret that was parsed with `ctx` names, instead of what it named before. */
void secret_files_watch(struct config_store *s, struct slot *slot, const struct parse_context *ctx);
void secret_files_free(struct secret_files *f); /* NULL allowed */

#endif
