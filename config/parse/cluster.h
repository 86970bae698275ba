#ifndef CONFIG_PARSE_CLUSTER_H
#define CONFIG_PARSE_CLUSTER_H

/* Cluster to its model. Main thread. */

#include "config/model/cluster.h"
#include "config/parse/context.h"
#include "proto/envoy/config/cluster/v3/cluster.pb-c.h"

/*
 * Fills `ret` except `ret->part`, which is ctx->part. endpoints_slot is a dependency: for EDS that
 * of the service name, subscribed; for the other types one of the cluster's own, whose name no
 * control plane can say. Extensions hand back struct lb_config, upstream_http_options and
 * dns_options.
 */
int parse_cluster(struct parse_context *ctx, const Envoy__Config__Cluster__V3__Cluster *m,
                  struct cluster_config *ret) MUST_CHECK;

#endif
