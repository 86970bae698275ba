/*
 * envoy.resource_monitors.injected_resource: the pressure that a file holds, for tests.
 *
 * Trust: whoever may write the file. Buffers: nothing.
 * Differs from Envoy: the file is read at each refresh, not watched.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/parse/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/overload/resource_monitor.h"
#include "proto/envoy/extensions/resource_monitors/injected_resource/v3/injected_resource.pb-c.h"

typedef Envoy__Extensions__ResourceMonitors__InjectedResource__V3__InjectedResourceConfig
    InjectedResourceConfig;

struct injected_resource {
    const char *filename; /* the configuration's */
};

static int injected_resource_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                   const void **ret_config)
{
    const InjectedResourceConfig *m = (const InjectedResourceConfig *)msg;
    struct injected_resource *c = ARENA_NEW(parse_arena(ctx), struct injected_resource);
    int r = parse_check_not_empty(ctx, "filename", m->filename);

    if (r == 0 && access(m->filename, F_OK) != 0) {
        r = parse_fail(ctx, E_INVALID, NULL, "unable to add filesystem watch for file %s: %s",
                       m->filename, strerror(errno));
    }
    if (r == 0) {
        c->filename = parse_str(ctx, m->filename).ptr;
        *ret_config = c;
    }
    return r;
}

static int injected_resource_open(const void *config, void **ret_state, struct error *reterr)
{
    struct injected_resource *s = xmalloc(sizeof(*s));

    (void)reterr;
    *s = *(const struct injected_resource *)config;
    *ret_state = s;
    return 0;
}

static int injected_resource_read(void *state, double *ret_pressure)
{
    const struct injected_resource *s = state;
    FILE *f = fopen(s->filename, "re");
    double v;
    int n;

    if (f == NULL) {
        return E_SYS;
    }
    n = fscanf(f, "%lf", &v);
    fclose(f);
    if (n != 1 || !(v >= 0 && v <= 1)) {
        return E_INVALID;
    }
    *ret_pressure = v;
    return 0;
}

const struct resource_monitor_type resource_monitor_injected_resource = {
    .ext =
        {
            .name = "envoy.resource_monitors.injected_resource",
            .category = EXT_RESOURCE_MONITOR,
            .descriptor =
                &envoy__extensions__resource_monitors__injected_resource__v3__injected_resource_config__descriptor,
            .parse = injected_resource_parse,
        },
    .open = injected_resource_open,
    .read = injected_resource_read,
    .close = free,
};
