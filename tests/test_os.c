/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of src/os.h: files, threads, processor count, numbers. What only POSIX has is tested there only. */
#define _GNU_SOURCE
#include "temp_folder.h"

#include "os.h"

#include <fcntl.h>
#include <fenv.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

static void write_text(const char *name, const char *text)
{
    write_file(in_folder(name), text, strlen(text));
}

/* ---- Files ---- */

static void reads_at_offsets(void **state)
{
    vt_file f;
    uint64_t size;
    const char *reason;
    char got[16] = { 0 };
    (void)state;
    write_text("ten", "0123456789");
    assert_true(vt_file_open(in_folder("ten"), &f, &size, &reason));
    assert_int_equal(size, 10);
    assert_true(vt_file_read(f, 3, got, 4));
    assert_string_equal(got, "3456");
    assert_true(vt_file_read(f, 0, got, 10));
    assert_memory_equal(got, "0123456789", 10);
    assert_true(vt_file_read(f, 10, got, 0));
    assert_false(vt_file_read(f, 3, got, 8)); /* one byte beyond the end */
    assert_false(vt_file_read(f, 10, got, 1));
    assert_false(vt_file_read(f, UINT64_MAX, got, 1));
    assert_true(fcntl((int)f.handle, F_GETFD) & FD_CLOEXEC);
    vt_file_close(f);
    vt_file_close(VT_FILE_NONE);
}

static void refuses_what_is_no_file(void **state)
{
    vt_file f = { 77 };
    uint64_t size;
    const char *reason = NULL;
    (void)state;
    assert_false(vt_file_open(in_folder("missing"), &f, &size, &reason));
    assert_string_equal(reason, "No such file or directory");
    assert_int_equal(f.handle, -1);
    assert_false(vt_file_open(temp_folder, &f, &size, &reason));
    assert_string_equal(reason, "It is a directory");
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    assert_false(vt_file_open(in_folder("fifo"), &f, &size, &reason)); /* and does not wait for a writer */
    assert_string_equal(reason, "It is not a regular file");
}

static void tells_what_is_there(void **state)
{
    (void)state;
    write_text("file", "x");
    assert_int_equal(symlink("nowhere", in_folder("dangling")), 0);
    assert_true(vt_is_directory(temp_folder));
    assert_false(vt_is_directory(in_folder("file")));
    assert_false(vt_is_directory(in_folder("missing")));
    assert_true(vt_file_exists(in_folder("file")));
    assert_true(vt_file_exists(in_folder("dangling")));
    assert_false(vt_file_exists(in_folder("missing")));
    assert_false(vt_file_exists(in_folder("file/below")));
}

/* ---- Threads ---- */

struct counter {
    vt_mutex mutex;
    vt_cond changed;
    int value;
    bool signals_blocked;
};

static void count_up(void *arg)
{
    struct counter *c = arg;
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int i = 0; i < 1000; i++) {
        vt_mutex_lock(&c->mutex);
        c->value++;
        c->signals_blocked = c->signals_blocked && sigismember(&mask, SIGINT) == 1 && sigismember(&mask, SIGUSR1) == 1;
        vt_cond_broadcast(&c->changed);
        vt_mutex_unlock(&c->mutex);
    }
}

static void threads_count_together(void **state)
{
    enum { THREADS = 8 };
    struct counter c = { .signals_blocked = true };
    vt_thread threads[THREADS];
    sigset_t mask;
    (void)state;
    assert_true(vt_mutex_init(&c.mutex));
    assert_true(vt_cond_init(&c.changed));
    for (int i = 0; i < THREADS; i++)
        assert_true(vt_thread_start(&threads[i], count_up, &c));
    vt_mutex_lock(&c.mutex);
    while (c.value < THREADS * 1000)
        vt_cond_wait(&c.changed, &c.mutex);
    vt_mutex_unlock(&c.mutex);
    for (int i = 0; i < THREADS; i++)
        vt_thread_join(threads[i]);
    assert_int_equal(c.value, THREADS * 1000);
    assert_true(c.signals_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &mask); /* ours is what it was */
    assert_int_equal(sigismember(&mask, SIGINT), 0);
    vt_cond_destroy(&c.changed);
    vt_mutex_destroy(&c.mutex);
}

static void notices_a_fork(void **state)
{
    const uint64_t parent = vt_process_id();
    int status = -1;
    (void)state;
    const pid_t child = fork();
    if (child == 0)
        _exit(vt_process_id() == parent);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(vt_process_id(), parent);
}

/* ---- Processors ---- */

static void follows_affinity(void **state)
{
    (void)state;
    assert_true(vt_processor_count() >= 1);
#if defined(__linux__)
    cpu_set_t before, one;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_true((int)vt_processor_count() <= CPU_COUNT(&before));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    const unsigned count = vt_processor_count();
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(count, 1);
#endif
}

#if defined(__linux__)
static void make_group(const char *name)
{
    assert_int_equal(mkdir(in_folder(name), 0700), 0);
}

static void reads_cgroup_v2(void **state)
{
    (void)state;
    make_group("v2");
    make_group("v2/a");
    make_group("v2/a/b");
    const char *root = strdup(in_folder("v2"));
    assert_int_equal(vt_cgroup_processors("0::/a/b\n", root), UINT_MAX); /* no limit anywhere */
    write_text("v2/a/b/cpu.max", "max 100000\n");
    assert_int_equal(vt_cgroup_processors("0::/a/b\n", root), UINT_MAX);
    write_text("v2/a/cpu.max", "350000 100000\n");
    assert_int_equal(vt_cgroup_processors("0::/a/b\n", root), 4); /* an ancestor's limit, rounded up */
    write_text("v2/a/b/cpu.max", "50000 100000\n");
    assert_int_equal(vt_cgroup_processors("0::/a/b\n", root), 1);
    assert_int_equal(vt_cgroup_processors("0::/a\n", root), 4);
    assert_int_equal(vt_cgroup_processors("0::/\n", root), UINT_MAX);
    write_text("v2/cpu.max", "200000 100000\n");
    assert_int_equal(vt_cgroup_processors("0::/host/only/path", root), 2); /* in a container: its own root */
    write_text("v2/cpu.max", "nonsense\n");
    assert_int_equal(vt_cgroup_processors("0::/\n", root), UINT_MAX);
    assert_int_equal(vt_cgroup_processors("", root), UINT_MAX);
    assert_int_equal(vt_cgroup_processors("no colon\n:\n", root), UINT_MAX);
    free((char *)root);
}

static void reads_cgroup_v1(void **state)
{
    static const char membership[] = "9:name=systemd:/\n4:cpuset:/x\n3:cpuacct,cpu:/x\n0::/x\n";
    (void)state;
    make_group("v1");
    make_group("v1/cpu");
    make_group("v1/cpu/x");
    make_group("v1/cpuset");
    const char *root = strdup(in_folder("v1"));
    write_text("v1/cpu/x/cpu.cfs_quota_us", "-1\n");
    write_text("v1/cpu/x/cpu.cfs_period_us", "100000\n");
    assert_int_equal(vt_cgroup_processors(membership, root), UINT_MAX);
    write_text("v1/cpu/x/cpu.cfs_quota_us", "150000\n");
    assert_int_equal(vt_cgroup_processors(membership, root), 2);
    assert_int_equal(vt_cgroup_processors("4:cpuset:/x\n", root), UINT_MAX); /* another controller */
    write_text("v1/cpu/x/cpu.cfs_period_us", "0\n");
    assert_int_equal(vt_cgroup_processors(membership, root), UINT_MAX);
    free((char *)root);
}
#endif

/* ---- Numbers ---- */

static double parse(const char *s)
{
    double value = 12345;
    assert_true(vt_parse_double(s, strlen(s), &value));
    return value;
}

static void check_numbers(void)
{
    assert_true(parse("0") == 0.0);
    assert_true(parse("-0") == 0.0 && signbit(parse("-0")));
    assert_true(parse("1e-6") == 1e-6);
    assert_true(parse("0.1") == 0.1);
    assert_true(parse("-123.456E+2") == -12345.6);
    assert_true(parse("9007199254740993") == 9007199254740992.0); /* a tie goes to even */
    assert_true(parse("5e-324") == 5e-324);
    assert_true(isinf(parse("1e999")));
}

static void parses_numbers(void **state)
{
    double value;
    char digits[65];
    (void)state;
    check_numbers();
    assert_true(vt_parse_double("1.25xyz", 4, &value)); /* reads no further than it is told */
    assert_true(value == 1.25);
    memset(digits, '1', sizeof digits);
    assert_true(vt_parse_double(digits, 64, &value));
    assert_false(vt_parse_double(digits, 65, &value));
}

static void rounding_mode_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(fesetround(FE_UPWARD), 0);
    const double value = parse("0.1");
    const int mode = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(mode, FE_UPWARD);
    assert_true(value == 0.1);
}

static void decimal_comma_changes_nothing(void **state)
{
    (void)state;
    if (!use_comma_locale())
        skip();
    char text[8];
    snprintf(text, sizeof text, "%.1f", 1.5);
    assert_string_equal(text, "1,5"); /* the locale is what this test needs */
    check_numbers();
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_at_offsets),
        cmocka_unit_test(refuses_what_is_no_file),
        cmocka_unit_test(tells_what_is_there),
        cmocka_unit_test(threads_count_together),
        cmocka_unit_test(notices_a_fork),
        cmocka_unit_test(follows_affinity),
#if defined(__linux__)
        cmocka_unit_test(reads_cgroup_v2),
        cmocka_unit_test(reads_cgroup_v1),
#endif
        cmocka_unit_test(parses_numbers),
        cmocka_unit_test(rounding_mode_changes_nothing),
        cmocka_unit_test(decimal_comma_changes_nothing),
    };
    return cmocka_run_group_tests(tests, temp_folder_make, temp_folder_remove);
}
