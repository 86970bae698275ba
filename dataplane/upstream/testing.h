#ifndef DATAPLANE_UPSTREAM_TESTING_H
#define DATAPLANE_UPSTREAM_TESTING_H

/* One thread with clusters, as server/ would set it up, for tests of upstream/ and above. */

#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "config/model/part_handle.h"
#include "dataplane/event/loop.h"
#include "dataplane/runtime/thread_context.h"
#include "dataplane/stats/stats.h"
#include "dataplane/upstream/cluster_registry.h"
#include "dataplane/upstream/upstream.h"

struct upstream_testing {
    struct loop loop; /* worker 0's */
    struct stat_store *stats;
    struct cluster_registry *registry;
    struct part_releaser releaser;
    struct part_table parts;
    struct thread_context thread;
};

void upstream_testing_init(struct upstream_testing *u);
void upstream_testing_done(struct upstream_testing *u);
/* Waits for events and runs them with the end of the turn. */
void upstream_testing_turn(struct upstream_testing *u);

/* A static cluster with Envoy's defaults, endpoints in the slot of the same number, not published:
 * change what the test is about, then put it. */
struct cluster_config *testing_cluster(const char *name, uint32_t slot);

struct testing_endpoint {
    uint16_t port; /* of 127.0.0.1 */
    uint32_t weight;
    enum health_status health;
    uint32_t priority;
    const char *zone; /* NULL: none */
    uint32_t locality_weight;
};
struct endpoint_set *testing_endpoints(const struct testing_endpoint *e, size_t count);

/* Publishes, as a version with one change would. Takes the part; NULL removes. */
void upstream_testing_put_cluster(struct upstream_testing *u, uint32_t slot,
                                  struct cluster_config *take);
void upstream_testing_put_endpoints(struct upstream_testing *u, uint32_t slot,
                                    struct endpoint_set *take);

/* A counter or gauge over all threads; "no such cluster" counts as 0. */
uint64_t upstream_testing_stat(struct upstream_testing *u, const char *full_name);

/* Runs the loop until `ready` says so; a test that waits for nothing ends after some seconds. */
void upstream_testing_until(struct upstream_testing *u, bool (*ready)(void *arg), void *arg);
void upstream_testing_until_stat(struct upstream_testing *u, const char *full_name, uint64_t value);

/* --- an origin on loopback, driven by the test between turns of the loop
 * -------------------------- */

struct testing_origin {
    struct upstream_testing *u;
    int fd;
    uint16_t port;
};

void testing_origin_open(struct testing_origin *o, struct upstream_testing *u, int backlog);
void testing_origin_close(struct testing_origin *o);
int testing_origin_accept(struct testing_origin *o);

#define TESTING_HEAD_MAX 4096
/* What has come once an empty line is among it, NUL-terminated. */
void testing_origin_read_head(struct testing_origin *o, int fd, char ret_text[TESTING_HEAD_MAX]);
/* Reads on until `text` is among what has come since. */
void testing_origin_read_until(struct testing_origin *o, int fd, const char *text,
                               char ret_text[TESTING_HEAD_MAX]);
void testing_origin_send(int fd, const char *text);
/* Waits for the other side to close; closes. */
void testing_origin_await_close(struct testing_origin *o, int fd);

#endif
