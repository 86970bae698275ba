/* Keep-alive PINGs. See h2_keepalive.h. */

#include "dataplane/codec/h2_keepalive.h"

#include "dataplane/codec/h2_stats.h"
#include "dataplane/event/loop.h"

static void keepalive_ping(struct h2_keepalive *k)
{
    if (timer_is_armed(&k->timeout_timer)) {
        return; /* one is under way */
    }
    timer_arm(k->loop, &k->timeout_timer, k->config->timeout_ms);
    k->codec->ops->ping(k->codec);
}

static void keepalive_arm_interval(struct h2_keepalive *k)
{
    uint64_t ms = k->config->interval_ms;
    uint64_t jitter_ms = ms * k->config->interval_jitter / 100;

    if (ms > 0) {
        ms += jitter_ms > 0 ? rng_next(&k->loop->rng) % jitter_ms : 0;
        timer_arm(k->loop, &k->interval_timer, ms);
    }
}

static void keepalive_on_interval(struct timer *t)
{
    keepalive_ping(container_of(t, struct h2_keepalive, interval_timer));
}

static void keepalive_on_timeout(struct timer *t)
{
    struct h2_keepalive *k = container_of(t, struct h2_keepalive, timeout_timer);

    timer_cancel(k->loop, &k->interval_timer);
    if (k->codec->limits.http2_stats != NULL) {
        stat_inc(k->codec->limits.http2_stats, H2_KEEPALIVE_TIMEOUT);
    }
    k->on_timeout(k->owner);
}

void h2_keepalive_start(struct h2_keepalive *k, struct loop *l,
                        const struct http2_keepalive *config, struct codec *codec,
                        void (*on_timeout)(void *owner), void *owner)
{
    *k = (struct h2_keepalive){
        .config = config,
        .loop = l,
        .codec = codec,
        .on_timeout = on_timeout,
        .owner = owner,
        .last_received_ms = loop_now_ms(l),
    };
    timer_init(&k->interval_timer, keepalive_on_interval);
    timer_init(&k->timeout_timer, keepalive_on_timeout);
    keepalive_arm_interval(k);
}

/* As Envoy: an answer may be stuck behind other frames; while those come, it is waited for. */
void h2_keepalive_received(struct h2_keepalive *k)
{
    k->last_received_ms = loop_now_ms(k->loop);
    if (timer_is_armed(&k->timeout_timer)) {
        timer_arm(k->loop, &k->timeout_timer, k->config->timeout_ms);
    }
}

void h2_keepalive_acknowledged(struct h2_keepalive *k)
{
    timer_cancel(k->loop, &k->timeout_timer);
    keepalive_arm_interval(k);
}

void h2_keepalive_before_stream(struct h2_keepalive *k)
{
    if (k->config->idle_interval_ms > 0 &&
        loop_now_ms(k->loop) - k->last_received_ms > k->config->idle_interval_ms) {
        keepalive_ping(k);
    }
}

void h2_keepalive_stop(struct h2_keepalive *k)
{
    timer_cancel(k->loop, &k->interval_timer);
    timer_cancel(k->loop, &k->timeout_timer);
}
