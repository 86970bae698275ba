/*
 * envoy.resource_monitors.cpu_utilization: the share of the machine's CPU time that was in use
 * since the last refresh, smoothed as Envoy does.
 *
 * Trust: the kernel. Buffers: nothing.
 * Differs from Envoy: mode CONTAINER is reported, and counts as HOST.
 */

#include <stdio.h>
#include <stdlib.h>

#include "config/parse/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/overload/resource_monitor.h"
#include "proto/envoy/extensions/resource_monitors/cpu_utilization/v3/cpu_utilization.pb-c.h"

typedef Envoy__Extensions__ResourceMonitors__CpuUtilization__V3__CpuUtilizationConfig
    CpuUtilizationConfig;
#define MODE(name)                                                                                 \
    ENVOY__EXTENSIONS__RESOURCE_MONITORS__CPU_UTILIZATION__V3__CPU_UTILIZATION_CONFIG__UTILIZATION_COMPUTE_STRATEGY__##name

#define NEWEST_SHARE 0.05 /* Envoy's weight of the newest sample */

struct cpu_utilization {
    unsigned long long busy;
    unsigned long long total;
    double utilization;
};

static int cpu_utilization_parse(struct parse_context *ctx, const ProtobufCMessage *msg,
                                 const void **ret_config)
{
    const CpuUtilizationConfig *m = (const CpuUtilizationConfig *)msg;

    *ret_config = m;
    return m->mode == MODE(HOST) ? 0 : parse_report_unsupported(ctx, msg, "mode");
}

/* User, nice, system, idle, iowait, irq, softirq of "/proc/stat", first line. */
static int read_times(unsigned long long *ret_busy, unsigned long long *ret_total)
{
    unsigned long long t[7];
    FILE *f = fopen("/proc/stat", "re");
    int n;

    if (f == NULL) {
        return E_SYS;
    }
    n = fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4],
               &t[5], &t[6]);
    fclose(f);
    if (n != 7) {
        return E_SYS;
    }
    *ret_busy = t[0] + t[1] + t[2]; /* as Envoy: interrupts are not work */
    *ret_total = *ret_busy + t[3] + t[4] + t[5] + t[6];
    return 0;
}

static int cpu_utilization_open(const void *config, void **ret_state, struct error *reterr)
{
    struct cpu_utilization *c = xcalloc(1, sizeof(*c));

    (void)config;
    if (read_times(&c->busy, &c->total) != 0) {
        free(c);
        return error_set(reterr, E_SYS, "cpu_utilization: /proc/stat cannot be read");
    }
    *ret_state = c;
    return 0;
}

static int cpu_utilization_read(void *state, double *ret_pressure)
{
    struct cpu_utilization *c = state;
    unsigned long long busy;
    unsigned long long total;
    double now;

    if (read_times(&busy, &total) != 0 || busy < c->busy || total <= c->total) {
        return E_SYS; /* nothing has passed yet */
    }
    now = (double)(busy - c->busy) / (double)(total - c->total);
    c->busy = busy;
    c->total = total;
    c->utilization += (now - c->utilization) * NEWEST_SHARE;
    *ret_pressure = c->utilization;
    return 0;
}

const struct resource_monitor_type resource_monitor_cpu_utilization = {
    .ext =
        {
            .name = "envoy.resource_monitors.cpu_utilization",
            .category = EXT_RESOURCE_MONITOR,
            .descriptor =
                &envoy__extensions__resource_monitors__cpu_utilization__v3__cpu_utilization_config__descriptor,
            .parse = cpu_utilization_parse,
        },
    .open = cpu_utilization_open,
    .read = cpu_utilization_read,
    .close = free,
};
