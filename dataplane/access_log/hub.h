#ifndef DATAPLANE_ACCESS_LOG_HUB_H
#define DATAPLANE_ACCESS_LOG_HUB_H

/*
 * Files that access logs are written to. One descriptor per path and process; each thread has its
 * own buffer per file, handed to the file's own thread (file_writer.h) when it is full or old. So
 * logging takes no lock, no worker waits for a disk or a pipe, and lines of different threads never
 * mix.
 *
 * A file that takes nothing more loses what finds no room, counted by entries, never memory.
 *
 * Files are opened and their configurations freed on main; buffers belong to their thread.
 */

#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/error.h"
#include "dataplane/base/str.h"

/* Main and its workers. */
#define ACCESS_LOG_THREADS_MAX 1024

struct access_log_file;
struct access_log_hub;
struct log_sinks;
struct stat_store;
struct thread_context;

/* `flush_interval_ms` and `flush_bytes`: how old and how big a buffer may get. */
struct access_log_hub *access_log_hub_new(uint32_t flush_interval_ms, size_t flush_bytes);
/* Main, once, before workers log: files that are opened from now on are counted. */
void access_log_hub_count(struct access_log_hub *hub, struct stat_store *stats);
/* Main, after all other threads have ended: writes what is still buffered, closes all. */
void access_log_hub_free(struct access_log_hub *hub);
/* Main. Opens for appending, once per path; "/dev/stdout" and "/dev/stderr" are this process's own.
 * E_SYS with the reason. */
int access_log_hub_open(struct access_log_hub *hub, struct str path, struct access_log_file **ret,
                        struct error *reterr) MUST_CHECK;
/* Main. Opens all paths anew, for log rotation; where that fails the old file goes on. */
void access_log_hub_reopen(struct access_log_hub *hub);

/* What log services are written to. */
struct log_sinks *access_log_hub_sinks(struct access_log_hub *hub);
/* The bootstrap's node as protobuf, for log services; lives as long as the hub. Empty until set. */
void access_log_hub_set_node(struct access_log_hub *hub, struct str node,
                             const struct thread_context *main);
struct str access_log_hub_node(const struct access_log_hub *hub);
struct str access_log_hub_node_id(const struct access_log_hub *hub);
struct str access_log_hub_cluster(const struct access_log_hub *hub);
struct str access_log_hub_zone(const struct access_log_hub *hub);
/* The calling thread, before its clusters go. */
void access_log_hub_stop_thread(struct access_log_hub *hub, struct thread_context *t);

/* Any thread. The last one closes; buffers hold a reference of their own. NULL allowed. */
void access_log_file_unref(struct access_log_file *f);

/* The calling thread's buffer: append whole lines, then say so. */
struct strbuf *access_log_file_begin(struct access_log_file *f, struct thread_context *t);
void access_log_file_end(struct access_log_file *f, struct thread_context *t);

/* Main. Returns when all that was handed over is written: for tests. */
void access_log_hub_drain(struct access_log_hub *hub);

#endif
