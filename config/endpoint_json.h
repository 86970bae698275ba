#ifndef CONFIG_ENDPOINT_JSON_H
#define CONFIG_ENDPOINT_JSON_H

/* An endpoint set in JSON, as the ClusterLoadAssignment that Envoy's /config_dump makes of what a
 * cluster has, whatever it came from. Main thread. */

#include "config/field_mask.h"
#include "config/model/cluster.h"
#include "dataplane/base/json.h"

/* `mask`: NULL: all fields. */
void endpoint_set_write_json(struct json_writer *w, struct str name, const struct endpoint_set *set,
                             const struct field_mask *mask);

#endif
