#ifndef XDS_SUBSCRIPTION_FILE_H
#define XDS_SUBSCRIPTION_FILE_H

/*
 * Discovery from a file (path_config_source): a DiscoveryResponse as YAML, JSON or binary protobuf,
 * read at start and whenever something is renamed into the watched directory (or the file itself
 * is changed). Text is turned into bytes by a reader that server/ hands in: xds/ knows only wire
 * format. Main thread.
 */

#include "dataplane/base/error.h"
#include "dataplane/event/loop.h"
#include "xds/subscription.h"

struct xds_file;

/* Reads `path` into a serialized DiscoveryResponse (heap, the caller frees). */
typedef int xds_read_file_fn(struct str path, uint8_t **ret_bytes, size_t *ret_len,
                             struct error *reterr);

struct xds_file *xds_file_new(struct loop *l, const struct xds_source *src, struct str type_url,
                              xds_read_file_fn *read, const struct xds_subscriber *cb, void *user);
void xds_file_free(struct xds_file *f);

#endif
