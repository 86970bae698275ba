#ifndef CONFIG_SECRET_FILES_H
#define CONFIG_SECRET_FILES_H

/*
 * Files that a discovered secret names: watched, and the secret is read again when something is
 * renamed into their directories, as Envoy does (Kubernetes swaps a link there). What cannot be
 * used (a key that does not go with its certificate yet) is refused, the last good version serves,
 * and the next change is tried. The version that serves and one that was refused after it are
 * watched side by side: either may become good. Main thread.
 */

#include "config/store_internal.h"

struct secret_files;

/* The secret was parsed with `ctx`: watches the directories of the files that it named. Of a
 * version that was accepted they take the place of all that was watched before. */
void secret_files_watch(struct config_store *s, struct slot *slot, const struct parse_context *ctx,
                        bool is_accepted);
void secret_files_free(struct secret_files *f); /* NULL allowed */

#endif
