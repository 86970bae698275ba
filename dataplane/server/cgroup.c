/* Reads the cgroup's files. No state. */

#include "dataplane/server/cgroup.h"

#include <stdio.h>

static size_t cpus_of(long long quota, long long period)
{
    return quota > 0 && period > 0 ? (size_t)((quota + period - 1) / period) : 0;
}

static long long read_number(const char *path)
{
    FILE *f = fopen(path, "re");
    long long v = 0;

    if (f != NULL) {
        if (fscanf(f, "%lld", &v) != 1) {
            v = 0;
        }
        fclose(f);
    }
    return v;
}

size_t cgroup_cpu_limit(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    long long quota = 0;
    long long period = 0;

    if (f != NULL) {
        /* "max 100000" has no number first: no limit. */
        int n = fscanf(f, "%lld %lld", &quota, &period);

        fclose(f);
        return n == 2 ? cpus_of(quota, period) : 0;
    }
    return cpus_of(read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
                   read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us"));
}
