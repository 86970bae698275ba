#ifndef DATAPLANE_SERVER_EXTENSION_CHOICE_H
#define DATAPLANE_SERVER_EXTENSION_CHOICE_H

/* --disable-extensions: which of the extensions that are built in configuration may use. Main
 * thread. */

#include "config/model/extension.h"
#include "dataplane/base/arena.h"

/* `all` without those that `disabled` ("category/name,...", NULL: none) names; what it names that
 * is not there is warned about, as Envoy. In `a`. */
struct extension_registry extension_choice(const struct extension_registry *all,
                                           const char *disabled, struct arena *a);

#endif
