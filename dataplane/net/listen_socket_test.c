/* Listening sockets: ports that are shared, conflicts in Envoy's words, unix paths, inheritance. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <netinet/tcp.h>

#include "dataplane/net/listen_socket.h"

struct fixture {
    struct address address;
    struct listener_config listener;
    struct error error;
};

static void fixture_init(struct fixture *f, const char *ip)
{
    memset(f, 0, sizeof(*f));
    if (ip != NULL) {
        assert_int_equal(address_from_ip(str_c(ip), 0, &f->address), 0);
    }
    f->listener.addresses = &f->address;
    f->listener.address_count = 1;
    f->listener.reuse_port = true;
    error_init(&f->error);
}

static int dial(const struct address *a)
{
    int fd = socket(a->sa.sa_family, SOCK_STREAM, 0);
    int r = connect(fd, &a->sa, a->len);

    (void)close(fd);
    return r;
}

static void all_workers_share_the_port_that_the_kernel_chose(void **state)
{
    struct fixture f;
    struct listen_socket *s;

    fixture_init(&f, "127.0.0.1");
    assert_int_equal(listen_socket_new(&f.listener, 0, 3, &s, &f.error), 0);
    assert_int_equal(s->fd_count, 3);
    assert_true(s->is_reuse_port);
    assert_true(address_port(&s->bound) != 0);
    for (size_t i = 0; i < s->fd_count; i++) {
        struct address a = {.len = sizeof(a.un)};

        assert_int_equal(getsockname(s->fds[i], &a.sa, &a.len), 0);
        assert_int_equal(address_port(&a), address_port(&s->bound));
    }
    assert_int_not_equal(dial(&s->bound), 0); /* refused until it listens */
    assert_int_equal(listen_socket_listen(s, &f.listener, &f.error), 0);
    assert_int_equal(listen_socket_listen(s, &f.listener, &f.error), 0); /* once is enough */
    assert_int_equal(dial(&s->bound), 0);
    listen_socket_ref(s);
    listen_socket_unref(s);
    assert_int_equal(dial(&s->bound), 0);
    listen_socket_unref(s);
    error_done(&f.error);
}

static void without_reuse_port_one_socket_serves_all(void **state)
{
    struct fixture f;
    struct listen_socket *s;

    fixture_init(&f, "127.0.0.1");
    f.listener.reuse_port = false;
    assert_int_equal(listen_socket_new(&f.listener, 0, 3, &s, &f.error), 0);
    assert_int_equal(s->fd_count, 1);
    listen_socket_unref(s);
    error_done(&f.error);
}

static void a_conflict_is_told_in_envoys_words(void **state)
{
    struct fixture f;
    struct fixture g;
    struct listen_socket *s;
    struct listen_socket *t;
    char want[256];
    char text[ADDRESS_TEXT_MAX];

    fixture_init(&f, "127.0.0.1");
    f.listener.reuse_port = false;
    assert_int_equal(listen_socket_new(&f.listener, 0, 1, &s, &f.error), 0);
    assert_int_equal(listen_socket_listen(s, &f.listener, &f.error), 0);
    fixture_init(&g, NULL);
    g.address = s->bound;
    assert_int_equal(listen_socket_new(&g.listener, 0, 1, &t, &g.error), E_SYS);
    (void)address_format(&s->bound, text);
    (void)snprintf(want, sizeof(want), "cannot bind '%s': Address already in use", text);
    assert_string_equal(error_message(&g.error), want);
    listen_socket_unref(s);
    error_done(&f.error);
    error_done(&g.error);
}

static void accepted_sockets_inherit_no_delay(void **state)
{
    struct fixture f;
    struct listen_socket *s;
    int client;
    int fd;
    int value = 0;
    socklen_t len = sizeof(value);

    fixture_init(&f, "127.0.0.1");
    assert_int_equal(listen_socket_new(&f.listener, 0, 1, &s, &f.error), 0);
    assert_int_equal(listen_socket_listen(s, &f.listener, &f.error), 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, &s->bound.sa, s->bound.len), 0);
    fd = accept(s->fds[0], NULL, NULL);
    assert_true(fd >= 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
    assert_int_not_equal(value, 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(close(client), 0);
    listen_socket_unref(s);
    error_done(&f.error);
}

static void socket_options_are_applied_or_refused(void **state)
{
    struct fixture f;
    struct listen_socket *s;
    struct socket_option o = {
        .level = SOL_SOCKET, .name = SO_KEEPALIVE, .is_int = true, .int_value = 1};
    int value = 0;
    socklen_t len = sizeof(value);

    fixture_init(&f, "127.0.0.1");
    f.listener.socket_options = &o;
    f.listener.socket_option_count = 1;
    assert_int_equal(listen_socket_new(&f.listener, 0, 1, &s, &f.error), 0);
    assert_int_equal(getsockopt(s->fds[0], SOL_SOCKET, SO_KEEPALIVE, &value, &len), 0);
    assert_int_equal(value, 1);
    listen_socket_unref(s);
    o.level = -1;
    assert_int_equal(listen_socket_new(&f.listener, 0, 1, &s, &f.error), E_SYS);
    error_done(&f.error);
}

static void what_makes_sockets_interchangeable(void **state)
{
    struct fixture f;
    const struct socket_option o = {
        .level = SOL_SOCKET, .name = SO_KEEPALIVE, .is_int = true, .int_value = 1};
    uint64_t hash;

    fixture_init(&f, "127.0.0.1");
    hash = listen_socket_options_hash(&f.listener, 0);
    f.listener.name = STR("another name");
    assert_true(listen_socket_options_hash(&f.listener, 0) == hash);
    f.listener.reuse_port = false;
    assert_true(listen_socket_options_hash(&f.listener, 0) != hash);
    f.listener.reuse_port = true;
    f.listener.socket_options = &o;
    f.listener.socket_option_count = 1;
    assert_true(listen_socket_options_hash(&f.listener, 0) != hash);
    f.listener.socket_option_count = 0;
    address_set_port(&f.address, 1);
    assert_true(listen_socket_options_hash(&f.listener, 0) != hash);
    error_done(&f.error);
}

static void ipv6_is_its_own_unless_asked(void **state)
{
    struct fixture f;
    struct listen_socket *s;
    int value = 0;
    socklen_t len = sizeof(value);

    fixture_init(&f, "::");
    if (listen_socket_new(&f.listener, 0, 1, &s, &f.error) != 0) {
        error_done(&f.error);
        skip(); /* no IPv6 here */
    }
    assert_int_equal(getsockopt(s->fds[0], IPPROTO_IPV6, IPV6_V6ONLY, &value, &len), 0);
    assert_int_equal(value, 1);
    listen_socket_unref(s);
    f.listener.ipv4_compat = true;
    assert_int_equal(listen_socket_new(&f.listener, 0, 1, &s, &f.error), 0);
    assert_int_equal(getsockopt(s->fds[0], IPPROTO_IPV6, IPV6_V6ONLY, &value, &len), 0);
    assert_int_equal(value, 0);
    listen_socket_unref(s);
    error_done(&f.error);
}

static void unix_paths(void **state)
{
    char dir[] = "/tmp/nuncio-listen-XXXXXX";
    struct fixture f;
    struct fixture g;
    struct listen_socket *s;
    struct listen_socket *t;
    struct strbuf path;
    struct stat st;
    int stale;

    assert_non_null(mkdtemp(dir));
    strbuf_init(&path);
    strbuf_addf(&path, "%s/s", dir);
    fixture_init(&f, NULL);
    assert_int_equal(address_from_path(strbuf_str(&path), &f.address), 0);
    stale = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(stale, &f.address.sa, f.address.len), 0);
    assert_int_equal(close(stale), 0); /* the file stays */
    f.listener.unix_mode = 0600;
    assert_int_equal(listen_socket_new(&f.listener, 0, 4, &s, &f.error), 0);
    assert_int_equal(s->fd_count, 1);
    assert_int_equal(stat(path.ptr, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(listen_socket_listen(s, &f.listener, &f.error), 0);
    assert_int_equal(dial(&f.address), 0);
    /* One that somebody listens on is not taken away from him. */
    fixture_init(&g, NULL);
    g.address = f.address;
    assert_int_equal(listen_socket_new(&g.listener, 0, 1, &t, &g.error), E_SYS);
    listen_socket_unref(s);
    assert_int_not_equal(stat(path.ptr, &st), 0);
    assert_int_equal(rmdir(dir), 0);
    strbuf_done(&path);
    error_done(&f.error);
    error_done(&g.error);
}

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static void the_listeners_own_fields_are_set_on_its_sockets(void **state)
{
    struct socket_option defer = {.level = IPPROTO_TCP,
                                  .name = TCP_DEFER_ACCEPT,
                                  .is_int = true,
                                  .int_value = 7,
                                  .state = SOCKET_STATE_LISTENING};
    struct listen_socket *s = NULL;
    struct fixture f;
    uint64_t plain;

    fixture_init(&f, "127.0.0.1");
    plain = listen_socket_options_hash(&f.listener, 0);
    f.listener.is_freebind = true;
    f.listener.fast_open_queue = (struct opt_u32){true, 5};
    f.listener.keepalive = (struct tcp_keepalive){
        .is_enabled = true, .probes = {true, 3}, .time_s = {true, 40}, .interval_s = {true, 8}};
    f.listener.socket_options = &defer;
    f.listener.socket_option_count = 1;
    assert_true(plain != listen_socket_options_hash(&f.listener, 0));
    assert_int_equal(listen_socket_new(&f.listener, 0, 1, &s, &f.error), 0);
    assert_int_equal(option(s->fds[0], IPPROTO_IP, IP_FREEBIND), 1);
    assert_int_equal(option(s->fds[0], IPPROTO_TCP, TCP_FASTOPEN), 5);
    assert_int_equal(option(s->fds[0], SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(option(s->fds[0], IPPROTO_TCP, TCP_KEEPCNT), 3);
    assert_int_equal(option(s->fds[0], IPPROTO_TCP, TCP_KEEPIDLE), 40);
    assert_int_equal(option(s->fds[0], IPPROTO_TCP, TCP_KEEPINTVL), 8);
    assert_int_equal(option(s->fds[0], IPPROTO_TCP, TCP_DEFER_ACCEPT), 0); /* not yet */
    assert_int_equal(listen_socket_listen(s, &f.listener, &f.error), 0);
    assert_true(option(s->fds[0], IPPROTO_TCP, TCP_DEFER_ACCEPT) > 0);
    listen_socket_unref(s);
    error_done(&f.error);
}

/* --- inheritance ---------------------------------------------------------------------------- */

/* Each descriptor is somebody's, and nobody is without. */
static void every_socket_is_accepted_from_by_every_number_of_workers(void **state)
{
    for (size_t fds = 1; fds <= 7; fds++) {
        struct listen_socket *s = calloc(1, sizeof(*s) + fds * sizeof(int));

        assert_non_null(s);
        s->fd_count = fds;
        for (size_t i = 0; i < fds; i++) {
            s->fds[i] = (int)i;
        }
        for (size_t workers = 1; workers <= 9; workers++) {
            bool taken[7] = {false};

            for (size_t w = 0; w < workers; w++) {
                int of_worker[7];
                size_t n = listen_socket_fds_of(s, w, workers, of_worker);

                assert_in_range(n, 1, fds);
                for (size_t i = 0; i < n; i++) {
                    taken[of_worker[i]] = true;
                }
            }
            for (size_t i = 0; i < fds; i++) {
                assert_true(taken[i]);
            }
        }
        free(s);
    }
}

/* As a process of the next generation has them: other descriptors of the same sockets. */
static size_t duplicate(const struct listen_socket *s, int *fds)
{
    for (size_t i = 0; i < s->fd_count; i++) {
        fds[i] = dup(s->fds[i]);
        assert_true(fds[i] >= 0);
    }
    return s->fd_count;
}

static void adopted_sockets_go_on_without_those_they_came_from(void **state)
{
    struct fixture f;
    struct listen_socket *parent;
    struct listen_socket *child;
    int fds[2];
    size_t n;

    fixture_init(&f, "127.0.0.1");
    assert_int_equal(listen_socket_new(&f.listener, 0, 2, &parent, &f.error), 0);
    assert_int_equal(listen_socket_listen(parent, &f.listener, &f.error), 0);
    f.address = parent->bound;
    n = duplicate(parent, fds);
    assert_int_equal(listen_socket_adopt(&f.listener, 0, 3, fds, n, &child, &f.error), 0);
    assert_int_equal(child->fd_count, 3); /* the third worker's is new */
    assert_int_equal(listen_socket_listen(child, &f.listener, &f.error), 0);
    listen_socket_unref(parent);
    assert_int_equal(dial(&f.address), 0);
    listen_socket_close_fds(child);
    assert_int_equal(dial(&f.address), -1);
    listen_socket_unref(child);
}

static void a_shared_socket_stays_shared_when_adopted(void **state)
{
    struct fixture f;
    struct listen_socket *parent;
    struct listen_socket *child;
    int fds[1];
    size_t n;

    fixture_init(&f, "127.0.0.1");
    f.listener.reuse_port = false;
    assert_int_equal(listen_socket_new(&f.listener, 0, 2, &parent, &f.error), 0);
    assert_int_equal(listen_socket_listen(parent, &f.listener, &f.error), 0);
    f.address = parent->bound;
    f.listener.reuse_port = true; /* the new configuration would have one each */
    n = duplicate(parent, fds);
    assert_int_equal(listen_socket_adopt(&f.listener, 0, 2, fds, n, &child, &f.error), 0);
    assert_int_equal(child->fd_count, 1);
    listen_socket_unref(parent);
    listen_socket_unref(child);
}

static void a_socket_file_that_was_handed_over_stays(void **state)
{
    struct fixture f;
    struct listen_socket *s;
    char path[] = "/tmp/nuncio-handed-XXXXXX";

    fixture_init(&f, NULL);
    assert_non_null(mkdtemp(path));
    {
        char file[64];

        (void)snprintf(file, sizeof(file), "%s/s", path);
        assert_int_equal(address_from_path(str_c(file), &f.address), 0);
        assert_int_equal(listen_socket_new(&f.listener, 0, 1, &s, &f.error), 0);
        s->is_handed_over = true;
        listen_socket_unref(s);
        assert_int_equal(access(file, F_OK), 0);
        assert_int_equal(unlink(file), 0);
    }
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_workers_share_the_port_that_the_kernel_chose),
        cmocka_unit_test(without_reuse_port_one_socket_serves_all),
        cmocka_unit_test(a_conflict_is_told_in_envoys_words),
        cmocka_unit_test(accepted_sockets_inherit_no_delay),
        cmocka_unit_test(socket_options_are_applied_or_refused),
        cmocka_unit_test(what_makes_sockets_interchangeable),
        cmocka_unit_test(ipv6_is_its_own_unless_asked),
        cmocka_unit_test(unix_paths),
        cmocka_unit_test(the_listeners_own_fields_are_set_on_its_sockets),
        cmocka_unit_test(every_socket_is_accepted_from_by_every_number_of_workers),
        cmocka_unit_test(adopted_sockets_go_on_without_those_they_came_from),
        cmocka_unit_test(a_shared_socket_stays_shared_when_adopted),
        cmocka_unit_test(a_socket_file_that_was_handed_over_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
