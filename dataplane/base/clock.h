#ifndef DATAPLANE_BASE_CLOCK_H
#define DATAPLANE_BASE_CLOCK_H

/* Monotonic time for durations, wall time for dates. */

#include <stddef.h>
#include <stdint.h>

uint64_t clock_mono_ns(void);
uint64_t clock_wall_ns(void); /* since the epoch */

/* RFC 9110 IMF-fixdate, 29 bytes, no terminator. */
#define CLOCK_HTTP_DATE_BYTES 29
void clock_http_date(uint64_t wall_seconds, char out[CLOCK_HTTP_DATE_BYTES]);
/* 2026-08-01T12:00:00.000Z, 24 bytes, no terminator. */
#define CLOCK_ISO_MS_BYTES 24
void clock_iso_ms(uint64_t wall_ns, char out[CLOCK_ISO_MS_BYTES]);

#endif
