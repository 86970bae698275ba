#ifndef DATAPLANE_EVENT_FILE_WATCH_H
#define DATAPLANE_EVENT_FILE_WATCH_H

/*
 * Tells when something was moved into a directory (rename(2), symlink swaps) or a file in it was
 * changed, through the loop's inotify. One thread.
 */

#include <stdbool.h>
#include <uv.h>

#include "dataplane/base/str.h"

struct loop;
struct file_watch;

/* `is_rename`: an entry appeared, vanished or was replaced; else contents changed. `name` is the
 * entry's, empty when the kernel does not say. */
typedef void file_watch_fn(void *user, struct str name, bool is_rename);

/* E_SYS when the directory cannot be watched. */
int file_watch_start(struct loop *l, struct str directory, file_watch_fn *on_change, void *user,
                     struct file_watch **ret_watch);
/* No callback afterwards; NULL allowed. Memory goes with the handle. */
void file_watch_close(struct file_watch *w);

#endif
