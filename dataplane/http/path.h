#ifndef DATAPLANE_HTTP_PATH_H
#define DATAPLANE_HTTP_PATH_H

/*
 * What a connection manager may do to the path before anything is decided by it: normalise,
 * merge slashes, unescape slashes. `path` is the value of :path, query included; only what stands
 * before the first '?' is touched. Results live in `a`, or are the input where nothing changed.
 */

#include <stdbool.h>

#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

/* Removes "." and ".." segments (also as %2e), turns '\' to '/', unescapes letters, digits and
 * "-._~", escapes what must not stand bare: the algorithm of WHATWG's URL parser, as Envoy has it.
 * False when the path holds NUL (also as %00). */
bool path_normalize(struct str path, struct arena *a, struct str *ret_path);

/* "//" becomes "/". As Envoy: a path of slashes alone becomes "//". */
struct str path_merge_slashes(struct str path, struct arena *a);

/* %2F, %2f to '/', %5C, %5c to '\'. False when there were none. */
bool path_unescape_slashes(struct str path, struct arena *a, struct str *ret_path);

/* Without query and fragment. */
struct str path_only(struct str path);

#endif
