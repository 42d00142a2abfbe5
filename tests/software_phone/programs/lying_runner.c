/* A runner that misbehaves in the way that the file /phone_state/lie names: "KIND [NUMBER]".
 *
 * /phone_state/lie_once holds for one launch alone and is taken away by it. Without either file it is as honest as
 * instant_runner.
 *
 *     wrong_count N    N runs in place of those asked for (default 3)
 *     fail             whole statistics, then exit code 1, as a failed inference does
 *     early_fail       an error before any statistic
 *     hang             stops before the timed runs, for ever
 *     stubborn         the same, deaf to TERM, HUP and INT
 *     slow N           pauses N seconds (default 5) before the timed runs
 *     crash            SIGSEGV before the timed runs
 *     fork             leaves a child in a session of its own, deaf to HUP and TERM; else honest
 *     truncated        ends in the middle of the timed statistics, exit code 0
 *     garbage          bytes that are no text, exit code 0
 *     silent           prints nothing, exit code 0
 *     chatty N         N MB of lines (default 4) between honest ones
 *     endless          prints for ever
 *     memory N         takes and touches N MB (default 256), tells so
 *     shared N         takes N MB (default 64) of shared memory, as NNAPI does; else honest
 *     unconsumed       warns of a flag that was not consumed
 *     partial          XNNPACK takes the graph in 3 parts
 *     undelegated      the delegate takes nothing of the graph
 *     nan              "nan" in place of numbers
 *     zero             all times 0
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pretence.h"

static char kind[32] = "honest";
static long number;

static int is_lie(const char *name) { return strcmp(kind, name) == 0; }

static void read_lie(void) {
    char mine[64];
    snprintf(mine, sizeof mine, "/phone_state/lie_once.%d", (int)getpid());
    int is_once = rename("/phone_state/lie_once", mine) == 0;
    FILE *file = fopen(is_once ? mine : "/phone_state/lie", "r");
    if (file != NULL) {
        if (fscanf(file, "%31s %ld", kind, &number) < 1) strcpy(kind, "honest");
        fclose(file);
    }
    if (is_once) unlink(mine);
}

static void leave_child(void) {
    fflush(NULL); /* else the child would write what is buffered once more, perhaps into the next launch's file */
    if (fork() != 0) return;
    setsid();
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    if (freopen("/dev/null", "r", stdin) && freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr))
        sleep(3600);
    _exit(0);
}

static void wait_for_ever(void) {
    if (is_lie("stubborn")) {
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        signal(SIGINT, SIG_IGN);
    }
    fflush(stdout);
    for (;;) pause();
}

static void chatter(long megabytes) {
    static const char line[] = "INFO: [compiled_model.cc:829] nothing happened, and here is a whole line about it\n";
    for (size_t bytes = 0; megabytes < 0 || bytes < (size_t)megabytes << 20; bytes += sizeof line - 1)
        if (fwrite(line, 1, sizeof line - 1, stdout) == 0) exit(1);
}

/* It is a file without a name, to which the limit of file sizes applies. */
static void share_memory(void) {
    int file = memfd_create("shared", 0);
    off_t bytes = (off_t)(number ? number : 64) << 20;
    if (file < 0 || ftruncate(file, bytes) != 0 || pwrite(file, "x", 1, bytes - 1) != 1) exit(1);
}

static void say_garbage(void) {
    for (int place = 0; place < 4096; place++) putchar((place * 167 + 13) & 0xFF);
}

/* Whatever happens before the timed runs. */
static void misbehave_midway(void) {
    if (is_lie("hang") || is_lie("stubborn")) wait_for_ever();
    if (is_lie("crash")) {
        fflush(stdout);
        raise(SIGSEGV);
    }
    if (is_lie("slow")) {
        fflush(stdout);
        sleep((unsigned)(number ? number : 5));
    }
    if (is_lie("fork")) leave_child();
    if (is_lie("shared")) share_memory();
    if (is_lie("chatty")) chatter(number ? number : 4);
    if (is_lie("endless")) chatter(-1);
    if (is_lie("unconsumed")) printf("WARN: Unconsumed cmdline flags: --num_threads=1\n");
    if (is_lie("partial"))
        printf("INFO: Explicitly applied XNNPACK delegate, and the model graph will be partially executed by the "
               "delegate w/ 3 delegate kernels.\n");
    if (is_lie("undelegated"))
        printf("INFO: Though XNNPACK delegate is explicitly applied, the model graph will not be executed by the "
               "delegate.\n");
}

static double take_memory(void) {
    size_t bytes = (size_t)(number ? number : 256) << 20;
    char *taken = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (taken == MAP_FAILED) return 8;
    for (size_t place = 0; place < bytes; place += 4096) taken[place] = 1;
    return (double)(bytes >> 20);
}

static int tell_truncated(int runs, long base) {
    printf("INFO: count=%d first=%ld curr=%ld mi", runs, base, base);
    return 0;
}

static int tell_nan(int runs) {
    printf("INFO: count=%d first=nan curr=nan min=nan max=nan avg=nan std=nan p5=nan median=nan p95=nan\n\n", runs);
    printf("INFO: Inference timings in us: Init: nan, First inference: nan, Warmup (avg): nan, Inference (avg): nan\n");
    return 0;
}

int main(int argc, char **argv) {
    Samples warmup = {0}, timed = {0};
    read_lie();
    if (is_lie("silent")) return 0;
    if (is_lie("garbage")) return say_garbage(), 0;
    /* Of a delegate that takes part of the graph the honest line must not be there as well. */
    if (is_lie("partial") || is_lie("undelegated"))
        for (int place = 1; place < argc; place++)
            if (strncmp(argv[place], "--use_xnnpack=", 14) == 0) argv[place] = "--use_xnnpack=0";
    long base = pretend_start(argc, argv);
    if (base < 0 || is_lie("early_fail")) return pretend_failure();
    if (is_lie("zero")) base = 0;
    int runs = (int)flag_number("num_runs");
    pretend_runs(&warmup, (int)flag_number("warmup_runs"), flag_number("warmup_min_secs"), base);
    misbehave_midway();
    if (is_lie("truncated")) return tell_truncated(runs, base);
    if (is_lie("nan")) return tell_nan(runs);
    double memory_mb = is_lie("memory") ? take_memory() : 8;
    pretend_runs(&timed, is_lie("wrong_count") ? (int)(number ? number : 3) : runs, flag_number("min_secs"), base);
    pretend_end(&warmup, &timed, memory_mb);
    return is_lie("fail") ? pretend_failure() : 0;
}
