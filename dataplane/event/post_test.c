/* Posts across threads: nothing lost, order kept per sender, messages after the stop still run. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "dataplane/base/check.h"
#include "dataplane/base/xalloc.h"
#include "dataplane/event/loop.h"

#define SENDERS 4
#define MESSAGES 20000

struct message {
    struct post post;
    size_t sender;
    uint64_t sequence;
};

/* Only touched on the receiving thread. */
struct receiver {
    struct loop loop;
    uint64_t next[SENDERS];
    uint64_t received;
    uint64_t expected;
};

struct sender {
    pthread_t thread;
    size_t index;
    struct receiver *to;
};

static void message_run(struct loop *l, struct post *p)
{
    struct receiver *r = container_of(l, struct receiver, loop);
    struct message *m = container_of(p, struct message, post);

    CHECK(m->sequence == r->next[m->sender]);
    r->next[m->sender]++;
    free(m);
    if (++r->received == r->expected) {
        loop_stop(l);
    }
}

static void *sender_main(void *arg)
{
    struct sender *s = arg;

    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct message *m = xmalloc(sizeof(*m));

        m->post.run = message_run;
        m->sender = s->index;
        m->sequence = i;
        post_send(&s->to->loop, &m->post);
    }
    return NULL;
}

static void test_many_senders_one_receiver(void **state)
{
    static struct receiver r;
    struct sender senders[SENDERS];

    assert_int_equal(loop_init(&r.loop, 0), 0);
    r.expected = (uint64_t)SENDERS * MESSAGES;
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i].index = i;
        senders[i].to = &r;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]), 0);
    }
    loop_run(&r.loop);
    for (size_t i = 0; i < SENDERS; i++) {
        assert_int_equal(pthread_join(senders[i].thread, NULL), 0);
        assert_int_equal(r.next[i], MESSAGES);
    }
    loop_done(&r.loop);
}

/* --- A ball between two loops --------------------------------------------------------------------
 */

#define BOUNCES 2000

struct player {
    struct loop loop;
    struct player *other;
    pthread_t thread;
};

struct ball {
    struct post post;
    int bounces;
};

static void player_stop(struct loop *l, struct post *p)
{
    free(p);
    loop_stop(l);
}

static void ball_run(struct loop *l, struct post *p)
{
    struct player *me = container_of(l, struct player, loop);
    struct ball *ball = container_of(p, struct ball, post);

    if (++ball->bounces < BOUNCES) {
        post_send(&me->other->loop, p);
        return;
    }
    p->run = player_stop;
    post_send(&me->other->loop, p);
    loop_stop(l);
}

static void *player_main(void *arg)
{
    struct player *p = arg;

    loop_run(&p->loop);
    return NULL;
}

static void test_ping_pong_never_misses_a_wake_up(void **state)
{
    static struct player players[2];
    struct ball *ball = xcalloc(1, sizeof(*ball));

    for (int i = 0; i < 2; i++) {
        assert_int_equal(loop_init(&players[i].loop, i), 0);
        players[i].other = &players[1 - i];
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&players[i].thread, NULL, player_main, &players[i]), 0);
    }
    ball->post.run = ball_run;
    post_send(&players[0].loop, &ball->post);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(players[i].thread, NULL), 0);
    }
    for (int i = 0; i < 2; i++) {
        loop_done(&players[i].loop);
    }
}

/* --- After the stop ------------------------------------------------------------------------------
 */

static int late_runs;

static void late_run(struct loop *l, struct post *p)
{
    if (++late_runs == 1) {
        post_send(l, p); /* also what a late message sends to its own loop */
    } else {
        free(p);
    }
}

static void test_done_runs_what_is_queued(void **state)
{
    struct loop l;
    struct post *p = xcalloc(1, sizeof(*p));

    assert_int_equal(loop_init(&l, 0), 0);
    loop_stop(&l);
    loop_run(&l);
    p->run = late_run;
    post_send(&l, p);
    loop_done(&l);
    assert_int_equal(late_runs, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_senders_one_receiver),
        cmocka_unit_test(test_ping_pong_never_misses_a_wake_up),
        cmocka_unit_test(test_done_runs_what_is_queued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
