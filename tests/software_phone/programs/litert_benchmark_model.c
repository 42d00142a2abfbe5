/* A program with the flags and the output of LiteRT's newer benchmark_model, which really runs the model.
 *
 * The inference is LiteRT's (libLiteRt.so of the package ai-edge-litert, XNNPACK within), on the processor of this
 * machine. There is no GPU and no NPU here: to ask for them alone gives what the real tool says where they cannot be
 * had. The loops go to stdout and what the runtime and the listener log to stderr, as with the real tool.
 *
 * Source: LiteRT, litert/tools/benchmark_litert_model.{h,cc}.
 */
#define _GNU_SOURCE
#define LITERT_TOOL
#include <stdarg.h>
#include <sys/stat.h>

#include "bench_loop.h"
#include "graph_parts.h"

static void report(int line, const char *format, ...) {
    va_list values;
    va_start(values, format);
    fprintf(stderr, "INFO: [./litert/tools/benchmark_litert_model.h:%d] ", line);
    vfprintf(stderr, format, values);
    fprintf(stderr, "\n");
    va_end(values);
}

/* Builds for Android tell of the delegate by a line of severity VERBOSE, which LiteRT's library here leaves out. */
static void tell_delegate(const Session *session) {
    bool is_full = false;
    size_t nodes = 0;
    Handle subgraph = NULL;
    CALL(LiteRtCompiledModelIsFullyAccelerated, (Handle, bool *), (session->compiled, &is_full));
    CALL(LiteRtGetSignatureSubgraph, (Handle, Handle *), (session->signature, &subgraph));
    CALL(LiteRtGetNumSubgraphOps, (Handle, size_t *), (subgraph, &nodes));
    GraphParts found = {1, 0};
    if (!is_full) found = count_parts(flag_text("graph"));
    fprintf(stderr, "VERBOSE: Replacing %zu out of %zu node(s) with delegate (TfLiteXNNPackDelegate) node, yielding %d "
            "partitions for subgraph 0.\n", nodes - (size_t)found.left, nodes, found.parts);
}

static bool init(Session *session) {
    const char *path = flag_text("graph");
    bool use_cpu = flag_on("use_cpu"), is_strict = flag_on("require_full_delegation");
    if (use_cpu && is_strict) {
        fprintf(stderr, "ERROR: [litert/tools/benchmark_litert_model.cc:62] Requesting full delegation and CPU "
                "acceleration are incompatible.\n");
        abort();
    }
    if (access(path, R_OK) != 0 || !open_model(session, path)) {
        fprintf(stderr, "ERROR: [litert/tools/benchmark_litert_model.cc:131] Failed to load model.\n");
        return false;
    }
    if ((flag_on("use_gpu") || flag_on("use_npu")) && is_strict) {
        fprintf(stderr, "ERROR: [litert/tools/benchmark_litert_model.cc:147] Failed to compile model.\n");
        return false;
    }
    if (!compile_model(session, (int)flag_number("num_threads"), true, flag_on("use_profiler"))) return false;
    tell_delegate(session);
    return make_ends(session);
}

static void tell_memory(double start_mb, double init_mb) {
    report(112, "\nMemory Usage:");
    report(114, "Init footprint:       %.2f MB", init_mb - start_mb);
    report(116, "Overall footprint:    %.2f MB", peak_mb() - start_mb);
    if (flag_on("report_peak_memory_footprint")) report(120, "Peak memory:          %.2f MB", peak_mb());
    else report(123, "Peak memory usage not available. (peak_mem_mb <= 0)");
}

static double first_ms(const Samples *samples) { return samples->count ? (double)samples->values[0] / 1e3 : 0; }

static void tell_results(const Samples *warmup, const Samples *timed, int64_t init_us, size_t input_bytes) {
    int64_t low = INT64_MAX, high = 0;
    double mean = samples_mean(timed), squares = 0;
    for (size_t place = 0; place < timed->count; place++) {
        int64_t value = timed->values[place];
        low = value < low ? value : low, high = value > high ? value : high;
        squares += ((double)value - mean) * ((double)value - mean);
    }
    report(81, "\n========== BENCHMARK RESULTS ==========");
    report(82, "Model initialization: %.2f ms", (double)init_us / 1e3);
    report(84, "Warmup (first):       %.2f ms", first_ms(warmup));
    report(86, "Warmup (avg):         %.2f ms (%zu runs)", warmup->count ? samples_mean(warmup) / 1e3 : 0, warmup->count);
    report(88, "Inference (avg):      %.2f ms (%zu runs)", mean / 1e3, timed->count);
    report(92, "Inference (min):      %.2f ms", (double)low / 1e3);
    report(94, "Inference (max):      %.2f ms", (double)high / 1e3);
    report(96, "Inference (std):      %.2f", sqrt(squares / (double)timed->count) / 1e3);
    report(103, "Throughput:           %.2f MB/s", (double)input_bytes / mean);
}

static bool benchmark(int argc, char **argv) {
    Session session;
    Samples warmup = {0}, timed = {0};
    struct stat file;
    if (!read_flags(argc, argv)) return false;
    log_flags();
    double start_mb = peak_mb();
    if (!litert_load()) return false;
    int64_t start = now_us();
    if (!init(&session)) return false;
    int64_t init_us = now_us() - start;
    double init_mb = peak_mb();
    if (stat(flag_text("graph"), &file) == 0)
        printf("INFO: The input model file size (MB): %g\n", (double)file.st_size / 1e6);
    printf("INFO: Initialized session in %gms.\n", (double)init_us / 1e3);
    int warmup_runs = (int)flag_number("warmup_runs"), runs = (int)flag_number("num_runs");
    if (!run_many(&session, &warmup, warmup_runs, flag_number("warmup_min_secs"), false)) return false;
    bool is_good = run_many(&session, &timed, runs, flag_number("min_secs"), true);
    if (flag_on("use_profiler") && table.totals.count) {
        report(179, "");
        print_table(stderr, &table, 0);
    }
    tell_results(&warmup, &timed, init_us, session.input_bytes);
    tell_memory(start_mb, init_mb);
    report(126, "======================================\n");
    return is_good;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("INFO: STARTING!\n");
    if (benchmark(argc, argv)) return 0;
    fprintf(stderr, "ERROR: Benchmarking failed.\n");
    return 1;
}
