#ifndef CONFIG_PB_REGISTRY_H
#define CONFIG_PB_REGISTRY_H

/* Every message of the subset by its full name ("envoy.config.core.v3.Node"). */

#include <protobuf-c/protobuf-c.h>

#include "dataplane/base/str.h"

/* NULL: not in the subset. */
const ProtobufCMessageDescriptor *pb_find_message(struct str full_name);
/* A type URL without what stands before its last '/'. */
struct str pb_type_name(struct str type_url);

#endif
