#ifndef DATAPLANE_SERVER_LOG_SETUP_H
#define DATAPLANE_SERVER_LOG_SETUP_H

/* The process log as the flags want it: levels, pattern, file. Main thread, before any other. */

#include "dataplane/base/error.h"

struct options;

/* E_INVALID, E_SYS with Envoy's sentence. Notes flags that have no effect. */
int log_setup(const struct options *o, struct error *reterr) MUST_CHECK;
/* The bootstrap's application_log_config, once it is read; NULL: none. Borrowed until
 * log_forget_bootstrap. E_INVALID: the flag is given too. */
int log_use_bootstrap(const struct options *o, const char *format, struct error *reterr) MUST_CHECK;
void log_forget_bootstrap(const struct options *o);

#endif
