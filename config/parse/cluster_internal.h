#ifndef CONFIG_PARSE_CLUSTER_INTERNAL_H
#define CONFIG_PARSE_CLUSTER_INTERNAL_H

/* Shared by cluster.c (discovery, limits, sockets) and cluster_policy.c (balancing, HTTP). */

#include "config/parse/cluster.h"

int parse_cluster_lb(struct parse_context *ctx, const Envoy__Config__Cluster__V3__Cluster *m,
                     struct cluster_config *ret) MUST_CHECK;
int parse_cluster_http(struct parse_context *ctx, const Envoy__Config__Cluster__V3__Cluster *m,
                       struct cluster_config *ret) MUST_CHECK;

#endif
