#ifndef CONFIG_PARSE_EXTENSION_H
#define CONFIG_PARSE_EXTENSION_H

/* Finds the extension that an Any names and lets it read its own message. Main thread. */

#include "config/model/extension.h"
#include "config/parse/context.h"

/* `type_name` is the message's full name ("envoy.extensions...Router"). NULL when absent. */
const struct extension *extension_find(const struct extension_registry *r,
                                       enum extension_category category, struct str type_name);

/* The same by the per-route message's name. */
const struct extension *extension_find_override(const struct extension_registry *r,
                                                enum extension_category category,
                                                struct str type_name);

#endif
