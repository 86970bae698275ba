#ifndef DATAPLANE_ACCESS_LOG_FILE_WRITER_H
#define DATAPLANE_ACCESS_LOG_FILE_WRITER_H

/*
 * One open file and the thread that writes to it, so that nobody else waits for a slow disk or for
 * a pipe that nobody reads. Batches are handed over whole; the lock is held for as long as a
 * pointer takes to change hands. Batches that wait are bounded by FILE_WRITER_BYTES_MAX: what comes
 * beyond is refused, and what the file does not take is lost, each counted by entries.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/base/str.h"
#include "dataplane/stats/stats.h"

#define FILE_WRITER_BYTES_MAX (4 * 1024 * 1024)

/* "filesystem.": Envoy's, and what it does not count, entries that were lost. */
enum file_stat {
    FILE_FLUSHED_BY_TIMER,
    FILE_REOPEN_FAILED,
    FILE_WRITE_BUFFERED,
    FILE_WRITE_COMPLETED,
    FILE_WRITE_DROPPED,
    FILE_WRITE_FAILED,
    FILE_WRITE_TOTAL_BUFFERED,
    FILE_STAT_COUNT
};

extern const struct stat_schema file_stat_schema;

/* Whole entries. */
struct log_batch {
    struct log_batch *next;
    struct strbuf text;
    uint32_t *ends; /* of each entry in the text */
    size_t count;
    size_t cap;
    /* Instead: what comes behind goes to another file. */
    bool is_reopening;
    int new_fd;
};

void log_batch_entry_ended(struct log_batch *b);
void log_batch_free(struct log_batch *b); /* NULL allowed */

/* All writers of a process. */
struct file_writers;

struct file_writers *file_writers_new(void);
/* Main, with every writer closed: waits until they have written what they can, which a file that
 * takes nothing does not hold up. */
void file_writers_free(struct file_writers *ws);

struct file_writer;

/* Main. `stats` is the writer's own, borrowed; NULL: nobody counts. The thread starts with the
 * first batch. */
struct file_writer *file_writer_new(struct file_writers *ws, const char *path, int take_fd,
                                    struct stat_block *stats);
/* Any thread: no batch follows. The file is closed, and the writer freed, when all is written. */
void file_writer_close(struct file_writer *w);
/* Any thread. `take_batch` NULL: none. Returns an empty batch to go on with; false in `ret_taken`:
 * there was no room, the entries are lost (the caller counts). */
struct log_batch *file_writer_push(struct file_writer *w, struct log_batch *take_batch,
                                   bool *ret_taken);
/* Main. What is pushed from now on goes to another file; so does what waits for a pipe. */
void file_writer_reopen(struct file_writer *w, int take_fd);
/* Main. Returns when nothing waits: for tests. */
void file_writer_drain(struct file_writer *w);

#endif
