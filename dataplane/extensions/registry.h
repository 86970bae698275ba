#ifndef DATAPLANE_EXTENSIONS_REGISTRY_H
#define DATAPLANE_EXTENSIONS_REGISTRY_H

#include "config/model/extension.h"

/* Every extension there is; handed to config/ by main. Immutable, any thread. */
extern const struct extension_registry extension_registry;

#endif
