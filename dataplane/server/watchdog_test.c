/* A loop that turns is left alone; one that does not is counted, shown and, if so told, the end. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/base/log.h"
#include "dataplane/event/loop.h"
#include "dataplane/server/crash.h"
#include "dataplane/server/watchdog.h"
#include "dataplane/stats/stats.h"

/* A loop on a thread of its own, which can be held up. */
struct patient {
    struct loop loop;
    pthread_t thread;
    struct post stick;
    struct post stop;
    sem_t is_stuck;
    sem_t go_on;
};

static char log_path[] = "/tmp/watchdog_test.XXXXXX";

static void stick(struct loop *l, struct post *p)
{
    struct patient *t = container_of(p, struct patient, stick);

    (void)l;
    sem_post(&t->is_stuck);
    while (sem_wait(&t->go_on) != 0) {
        /* a signal: it is being looked at */
    }
}

static void stop(struct loop *l, struct post *p)
{
    (void)p;
    loop_stop(l);
}

static void *run(void *arg)
{
    struct patient *t = arg;

    loop_run(&t->loop);
    return NULL;
}

static void patient_start(struct patient *t, int index)
{
    memset(t, 0, sizeof(*t));
    assert_int_equal(loop_init(&t->loop, index), 0);
    t->stick.run = stick;
    t->stop.run = stop;
    sem_init(&t->is_stuck, 0, 0);
    sem_init(&t->go_on, 0, 0);
    assert_int_equal(pthread_create(&t->thread, NULL, run, t), 0);
}

static void patient_stick(struct patient *t)
{
    post_send(&t->loop, &t->stick);
    sem_wait(&t->is_stuck);
}

static void patient_end(struct patient *t)
{
    post_send(&t->loop, &t->stop);
    pthread_join(t->thread, NULL);
    loop_done(&t->loop);
    sem_destroy(&t->is_stuck);
    sem_destroy(&t->go_on);
}

struct wanted {
    struct str name;
    uint64_t value;
};

static void find(void *user, const struct stat_sample *s)
{
    struct wanted *w = user;

    if (str_eq(s->name, w->name)) {
        w->value = s->value;
    }
}

static uint64_t stat_of(struct stat_store *stats, const char *name)
{
    struct wanted w = {str_c(name), UINT64_MAX};

    stat_store_visit(stats, find, &w);
    return w.value;
}

/* Whether it comes to that within ten seconds: a machine may be slow, a watchdog is not. */
static bool becomes(struct stat_store *stats, const char *name, uint64_t value)
{
    for (int i = 0; i < 2000; i++) {
        if (stat_of(stats, name) == value) {
            return true;
        }
        usleep(5000);
    }
    return false;
}

static bool log_has(const char *text)
{
    static char all[65536];
    int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, all, sizeof(all) - 1);

    (void)close(fd);
    all[n > 0 ? n : 0] = '\0';
    return strstr(all, text) != NULL;
}

static const struct watchdog_rules PATIENT = {.miss_ms = 60000, .megamiss_ms = 60000};
static const struct watchdog_rules STRICT = {.miss_ms = 20, .megamiss_ms = 40};

static void who_answers_is_left_alone(void **state)
{
    struct watchdogs config = {.main_thread = PATIENT, .workers = PATIENT};
    struct stat_store *stats = stat_store_new(1);
    struct watchdog *w;
    struct patient t;

    (void)state;
    config.workers.miss_ms = 5000;
    w = watchdog_new(&config, stats);
    patient_start(&t, 0);
    watchdog_add(w, &t.loop, t.thread);
    assert_int_equal(stat_of(stats, "server.worker_0.watchdog_miss"), 0);
    assert_int_equal(watchdog_start(w), 0);
    usleep(50000);
    watchdog_stop(w);
    assert_int_equal(stat_of(stats, "server.worker_0.watchdog_miss"), 0);
    assert_int_equal(stat_of(stats, "workers.watchdog_miss"), 0);
    patient_end(&t);
    watchdog_free(w);
    stat_store_free(stats);
}

static void who_is_stuck_is_counted_once_and_shown(void **state)
{
    struct watchdogs config = {.main_thread = PATIENT, .workers = STRICT};
    struct stat_store *stats = stat_store_new(2);
    struct watchdog *w = watchdog_new(&config, stats);
    struct patient stuck;
    struct patient fine;

    (void)state;
    patient_start(&fine, 0);
    patient_start(&stuck, 1);
    watchdog_add(w, &fine.loop, fine.thread);
    watchdog_add(w, &stuck.loop, stuck.thread);
    patient_stick(&stuck);
    assert_int_equal(watchdog_start(w), 0);
    assert_true(becomes(stats, "server.worker_1.watchdog_mega_miss", 1));
    assert_true(becomes(stats, "workers.watchdog_mega_miss", 1));
    usleep(100000); /* it stays one case, however long it lasts */
    assert_int_equal(stat_of(stats, "server.worker_1.watchdog_miss"), 1);
    assert_int_equal(stat_of(stats, "server.worker_1.watchdog_mega_miss"), 1);
    assert_int_equal(stat_of(stats, "main_thread.watchdog_miss"), 0);
    sem_post(&stuck.go_on);
    patient_stick(&stuck); /* another case */
    assert_true(becomes(stats, "server.worker_1.watchdog_miss", 2));
    sem_post(&stuck.go_on);
    watchdog_stop(w);
    assert_true(log_has("worker_1 does not answer since"));
    assert_true(log_has("nuncio version: test"));
    assert_true(log_has("#0: "));
    patient_end(&stuck);
    patient_end(&fine);
    watchdog_free(w);
    stat_store_free(stats);
}

/* How a process ends whose `stuck` of three workers hang. */
static int end_of(const struct watchdog_rules *rules, int stuck)
{
    struct watchdogs config = {.main_thread = PATIENT, .workers = *rules};
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0) {
        struct stat_store *stats = stat_store_new(3);
        struct watchdog *w = watchdog_new(&config, stats);
        static struct patient patients[3];

        for (int i = 0; i < 3; i++) {
            patient_start(&patients[i], i);
            watchdog_add(w, &patients[i].loop, patients[i].thread);
            if (i < stuck) {
                patient_stick(&patients[i]);
            }
        }
        if (watchdog_start(w) != 0) {
            _exit(1);
        }
        usleep(700000);
        _exit(7);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void the_process_is_ended_where_that_is_asked_for(void **state)
{
    struct watchdog_rules kill_rules = STRICT;
    struct watchdog_rules multikill_rules = STRICT;

    (void)state;
    kill_rules.kill_ms = 100;
    assert_int_equal(end_of(&kill_rules, 1), SIGABRT);
    multikill_rules.multikill_ms = 100;
    assert_int_equal(end_of(&multikill_rules, 1), -7); /* one alone is never many */
    assert_int_equal(end_of(&multikill_rules, 2), SIGABRT);
    multikill_rules.multikill_threshold = 100;
    assert_int_equal(end_of(&multikill_rules, 2), -7);
}

int main(void)
{
    static const struct CMUnitTest TESTS[] = {
        cmocka_unit_test(who_answers_is_left_alone),
        cmocka_unit_test(who_is_stuck_is_counted_once_and_shown),
        cmocka_unit_test(the_process_is_ended_where_that_is_asked_for),
    };
    int fd = mkstemp(log_path);
    int r;

    crash_init("test");
    if (fd < 0 || log_open(log_path) != 0) {
        return 1;
    }
    (void)close(fd);
    r = cmocka_run_group_tests(TESTS, NULL, NULL);
    (void)unlink(log_path);
    return r;
}
