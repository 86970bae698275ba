#ifndef DATAPLANE_STREAM_INFO_RESPONSE_FLAGS_H
#define DATAPLANE_STREAM_INFO_RESPONSE_FLAGS_H

/* How logs print response flags. */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/response_flag.h"
#include "dataplane/base/str.h"

/* "UH,URX", or "-" for none. */
void response_flags_format(uint64_t flags, struct strbuf *out);
void response_flags_format_long(uint64_t flags, struct strbuf *out);

#endif
