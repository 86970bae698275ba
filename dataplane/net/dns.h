#ifndef DATAPLANE_NET_DNS_H
#define DATAPLANE_NET_DNS_H

/* c-ares on the loop. Main thread. One query per name and family at a time. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/model/cluster.h"
#include "dataplane/base/address.h"
#include "dataplane/event/loop.h"

struct dns_resolver;
struct dns_query;

enum dns_status { DNS_OK, DNS_NOT_FOUND, DNS_FAILURE, DNS_TIMEOUT_STATUS };

struct dns_answer {
    enum dns_status status;
    const struct address *addresses; /* port 0 */
    size_t address_count;
    uint64_t ttl_s;
};

typedef void dns_answer_fn(void *user, const struct dns_answer *a);

/* Asks the servers of /etc/resolv.conf; /etc/hosts comes first. E_SYS. */
int dns_resolver_new(struct loop *l, struct dns_resolver **ret) MUST_CHECK;
/* Asks these instead, with their ports. E_INVALID. */
int dns_resolver_set_servers(struct dns_resolver *r, const struct address *servers,
                             size_t count) MUST_CHECK;
/* Pending queries end without an answer: cancel or forget them. */
void dns_resolver_close(struct dns_resolver *r);
/* The answer never comes from inside. `family`: enum of cluster_config.dns_lookup_family. */
struct dns_query *dns_resolve(struct dns_resolver *r, struct str name, int family,
                              dns_answer_fn *on_answer, void *user);
/* No callback afterwards. */
void dns_cancel(struct dns_query *q);

#endif
