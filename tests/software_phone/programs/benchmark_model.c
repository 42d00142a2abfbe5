/* A program with the flags and the output of TensorFlow Lite's benchmark_model, which really runs the model.
 *
 * The inference is LiteRT's (libLiteRt.so of the package ai-edge-litert, XNNPACK within), on the processor of this
 * machine. There is no GPU and no NNAPI here: to ask for them gives what the real tool says where they cannot be had.
 *
 * Source: TensorFlow Lite, tools/benchmark/{benchmark_model,benchmark_tflite_model,benchmark_main}.cc.
 */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "flags.h"
#include "litert.h"
#include "op_table.h"
#include "statistics.h"

static OpTable table;

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void sleep_seconds(double seconds) {
    struct timespec wait = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    if (seconds > 0) nanosleep(&wait, NULL);
}

static double peak_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

static long kept_mb(const char *name) {
    char line[128];
    long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, name, strlen(name)) == 0) kilobytes = atol(line + strlen(name) + 1);
    if (status) fclose(status);
    return kilobytes / 1024;
}

/* Run until both bounds are reached, as the real tool does; a failed run is counted, and told at the end. */
static bool run_many(Session *session, Samples *samples, int runs, double min_secs, bool is_timed) {
    double max_secs = flag_number("max_secs");
    bool is_good = true, is_profiled = is_timed && session->profiler != NULL;
    printf("INFO: Running benchmark for at least %d iterations and at least %g seconds but terminate if exceeding %g "
           "seconds.\n", runs, min_secs, max_secs);
    int64_t now = now_us(), at_least = now + (int64_t)(min_secs * 1e6), at_most = now + (int64_t)(max_secs * 1e6);
    for (int run = 0; (run < runs || now < at_least) && now <= at_most; run++) {
        if (is_profiled) start_profile(session);
        int64_t start = now_us();
        is_good &= invoke(session);
        samples_add(samples, now_us() - start);
        if (is_profiled) stop_profile(session, &table);
        sleep_seconds(flag_number("run_delay"));
        now = now_us();
    }
    printf("INFO: ");
    samples_print(stdout, samples);
    printf("\n\n");
    return is_good;
}

/* XNNPACK takes whole parts of a graph; the events of a profiled inference tell how many. */
static int count_parts(const char *path) {
    Session probe;
    int count = 0, parts = 0;
    uint64_t previous = UINT64_MAX;
    if (!open_model(&probe, path) || !compile_model(&probe, 1, true, true) || !make_ends(&probe)) return 0;
    start_profile(&probe);
    if (!invoke(&probe) || !CALL(LiteRtStopProfiler, (Handle), (probe.profiler))) return 0;
    if (!CALL(LiteRtGetNumProfilerEvents, (Handle, int *), (probe.profiler, &count)) || count <= 0) return 0;
    ProfileEvent *events = calloc((size_t)count, sizeof *events);
    if (!events) return 0;
    if (!CALL(LiteRtGetProfilerEvents, (Handle, int, ProfileEvent *), (probe.profiler, count, events))) return 0;
    for (int place = 0; place < count; place++) {
        bool is_delegate = events[place].kind == DELEGATE_EVENT || events[place].kind == DELEGATE_PROFILED_EVENT;
        if (is_delegate) parts += events[place].node <= previous, previous = events[place].node;
        if (events[place].kind == OPERATOR_EVENT) previous = UINT64_MAX;
    }
    return parts;
}

/* In a child, since a profiler's buffers would be told as memory of the model. */
static int count_parts_apart(const char *path) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) _exit(count_parts(path) & 127);
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 0;
    return WEXITSTATUS(status);
}

/* Say what became of a delegate that was asked for; false where --require_full_delegation forbids it. */
static bool report_delegate(const char *name, bool is_full, int parts) {
    if (flag_on("require_full_delegation") && !is_full) {
        fprintf(stderr, "ERROR: Disallowed CPU fallback detected.\n");
        return false;
    }
    if (is_full)
        printf("INFO: Explicitly applied %s delegate, and the model graph will be completely executed by the "
               "delegate.\n", name);
    else if (parts > 0)
        printf("INFO: Explicitly applied %s delegate, and the model graph will be partially executed by the delegate "
               "w/ %d delegate kernels.\n", name, parts);
    else
        printf("INFO: Though %s delegate is explicitly applied, the model graph will not be executed by the "
               "delegate.\n", name);
    return true;
}

static bool apply_delegates(const Session *session) {
    bool wants_xnnpack = flag_on("use_xnnpack");
    if (*flag_text("external_delegate_path")) {
        fprintf(stderr, "ERROR: Failed to load library %s\n", flag_text("external_delegate_path"));
        return false;
    }
    if (flag_on("use_nnapi")) printf("WARN: NNAPI acceleration is unsupported on this platform.\n");
    printf("INFO: Going to apply %d delegates one after another.\n", wants_xnnpack + flag_on("use_gpu"));
    if (flag_on("use_gpu") && !report_delegate("GPU", false, 0)) return false;
    if (!wants_xnnpack) return true;
    bool is_full = false;
    CALL(LiteRtCompiledModelIsFullyAccelerated, (Handle, bool *), (session->compiled, &is_full));
    return report_delegate("XNNPACK", is_full, is_full ? 1 : count_parts_apart(flag_text("graph")));
}

static bool init(Session *session) {
    const char *path = flag_text("graph");
    if (access(path, R_OK) != 0 || !open_model(session, path)) {
        fprintf(stderr, "ERROR: Failed to mmap model %s\n", path);
        return false;
    }
    printf("INFO: Loaded model %s\n", path);
    bool use_xnnpack = *flag_text("use_xnnpack") == 0 || flag_on("use_xnnpack");
    int threads = (int)flag_number("num_threads");
    if (!compile_model(session, threads, use_xnnpack, flag_on("enable_op_profiling"))) return false;
    if (use_xnnpack) fprintf(stderr, "INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n");
    return make_ends(session);
}

static void print_end(const Samples *warmup, const Samples *timed, int64_t init_us, double start_mb, double init_mb) {
    FILE *file = NULL;
    const char *path = flag_text("op_profiling_output_file");
    if (flag_on("enable_op_profiling") && table.totals.count) {
        if (*path) file = fopen(path, "w");
        print_table(file ? file : stdout, &table, strcmp(flag_text("op_profiling_output_mode"), "csv") == 0);
        if (file) fclose(file);
    }
    printf("INFO: Inference timings in us: Init: %lld, First inference: %lld, Warmup (avg): %g, Inference (avg): %g\n",
           (long long)init_us, (long long)(warmup->count ? warmup->values[0] : 0), samples_mean(warmup),
           samples_mean(timed));
    printf("INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to "
           "the actual memory footprint of the model at runtime. Take the information at your discretion.\n");
    printf("INFO: Memory footprint delta from the start of the tool (MB): init=%g overall=%g\n", init_mb - start_mb,
           peak_mb() - start_mb);
    if (!flag_on("report_peak_memory_footprint")) return;
    printf("INFO: Overall peak memory footprint (MB) via periodic monitoring: %g\n", peak_mb());
    long rss = kept_mb("VmRSS"), anonymous = kept_mb("RssAnon");
    printf("INFO: Memory status at the end of exeution:\nINFO: - VmRSS              : %ld MB\n", rss);
    printf("INFO: + RssAnnon           : %ld MB\nINFO: + RssFile + RssShmem : %ld MB\n", anonymous, rss - anonymous);
}

static bool benchmark(int argc, char **argv) {
    Session session;
    Samples warmup = {0}, timed = {0};
    struct stat file;
    if (!read_flags(argc, argv)) return false;
    log_flags();
    if (*flag_text("graph") == 0) {
        fprintf(stderr, "ERROR: Please specify the name of your TF Lite input file with --graph\n");
        return false;
    }
    double start_mb = peak_mb();
    if (!litert_load()) return false;
    int64_t start = now_us();
    if (!init(&session)) return false;
    int64_t init_us = now_us() - start;
    double init_mb = peak_mb();
    if (!apply_delegates(&session)) return false;
    if (stat(flag_text("graph"), &file) == 0)
        printf("INFO: The input model file size (MB): %g\n", (double)file.st_size / 1e6);
    printf("INFO: Initialized session in %gms.\n", (double)init_us / 1e3);
    int warmup_runs = (int)flag_number("warmup_runs"), runs = (int)flag_number("num_runs");
    if (!run_many(&session, &warmup, warmup_runs, flag_number("warmup_min_secs"), false)) return false;
    bool is_good = run_many(&session, &timed, runs, flag_number("min_secs"), true);
    print_end(&warmup, &timed, init_us, start_mb, init_mb);
    return is_good;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("INFO: STARTING!\n");
    if (benchmark(argc, argv)) return 0;
    fprintf(stderr, "ERROR: Benchmarking failed.\n");
    return 1;
}
