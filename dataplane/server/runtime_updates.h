#ifndef DATAPLANE_SERVER_RUNTIME_UPDATES_H
#define DATAPLANE_SERVER_RUNTIME_UPDATES_H

/*
 * Hands states of the runtime values to all threads, in the manner of publish.h: each takes the
 * new one between two callbacks; the last to have done so posts the old one back, and main frees
 * it. Main thread.
 */

struct server;

/* Reads the layers; the threads that start later have the values from the beginning. */
void server_runtime_start(struct server *s);
/* No change is seen afterwards; the values stay. */
void server_runtime_stop(struct server *s);
/* After the threads have ended and the loop has run what they posted. */
void server_runtime_free(struct server *s);

#endif
