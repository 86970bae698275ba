#ifndef XDS_SUBSCRIPTION_FILE_H
#define XDS_SUBSCRIPTION_FILE_H

/*
 * Discovery from a file (path_config_source): a DiscoveryResponse as YAML, JSON or binary protobuf,
 * read at start and whenever something is renamed into the watched directory. Text is turned into
 * bytes by a reader that server/ hands in: xds/ knows only wire format. Main thread.
 *
 * As Envoy, a file that is merely written to is not read: it might be half there. Beyond Envoy, one
 * that could not be used is read again once it is written to.
 */

#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"
#include "xds/subscription.h"

struct xds_file;

/* Reads `path` into a serialized DiscoveryResponse (heap, the caller frees). */
typedef int xds_read_file_fn(struct str path, uint8_t **ret_bytes, size_t *ret_len,
                             struct error *reterr);

struct xds_file *xds_file_new(struct loop *l, const struct xds_source *src, struct str type_url,
                              bool is_wildcard, xds_read_file_fn *read,
                              const struct xds_subscriber *cb, void *user);
/* The file is read (again) for a new name; what it does not hold then is told as timed out. */
void xds_file_add(struct xds_file *f, struct str name);
void xds_file_remove(struct xds_file *f, struct str name);
/* No callback afterwards; allowed from inside one. */
void xds_file_close(struct xds_file *f);

#endif
