#ifndef DATAPLANE_CODEC_HEADER_CASE_H
#define DATAPLANE_CODEC_HEADER_CASE_H

/*
 * The spelling of field names on HTTP/1: as a message's sender had them (Envoy's preserve_case), or
 * X-Like-This. A header map knows names in lower case only; what is kept here lives beside it, in
 * the stream's arena, and goes wherever the map goes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "config/model/core.h"
#include "dataplane/base/arena.h"
#include "dataplane/base/str.h"

struct header_case {
    struct arena *arena;
    struct str *names; /* a hash table by lower-case name; empty: `ptr` NULL */
    uint32_t cap;      /* 0 or a power of two */
    uint32_t count;
    struct str reason_phrase; /* of a response; empty: the usual one */
    bool is_proper_otherwise;
};

struct header_case *header_case_new(struct arena *a, const struct header_case_options *options);
/* Keeps `name` (borrowed, as the arena's) for all fields of that name; the first one counts. */
void header_case_note(struct header_case *c, struct str name);
/* Writes the spelling of `lower_name` to `to`: as many bytes. */
void header_case_write(const struct header_case *c, struct str lower_name, void *to);
/* The same, X-Like-This. */
void header_case_write_proper(struct str lower_name, void *to);

#endif
