/* The discovery types: their type URL, message, model struct and parser. */

#include "config/parse/cluster.h"
#include "config/parse/endpoint.h"
#include "config/parse/listener.h"
#include "config/parse/route.h"
#include "config/store_internal.h"
#include "proto/envoy/config/cluster/v3/cluster.pb-c.h"
#include "proto/envoy/config/endpoint/v3/endpoint.pb-c.h"
#include "proto/envoy/config/listener/v3/listener.pb-c.h"
#include "proto/envoy/config/route/v3/route.pb-c.h"
