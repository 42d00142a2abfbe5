/* A program with the flags and the output of TensorFlow Lite's benchmark_model, which really runs the model.
 *
 * The inference is LiteRT's (libLiteRt.so of the package ai-edge-litert, XNNPACK within), on the processor of this
 * machine. There is no GPU and no NNAPI here: to ask for them gives what the real tool says where they cannot be had.
 *
 * Source: TensorFlow Lite, tools/benchmark/{benchmark_model,benchmark_tflite_model,benchmark_main}.cc.
 */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "bench_loop.h"
#include "graph_parts.h"

static long kept_mb(const char *name) {
    char line[128];
    long kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, name, strlen(name)) == 0) kilobytes = atol(line + strlen(name) + 1);
    if (status) fclose(status);
    return kilobytes / 1024;
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
    return report_delegate("XNNPACK", is_full, is_full ? 1 : count_parts(flag_text("graph")).parts);
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
        const char *prefix = file ? "" : "INFO: ";
        fprintf(file ? file : stdout, "%sOperator-wise Profiling Info for Regular Benchmark Runs:\n", prefix);
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
