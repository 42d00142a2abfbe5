/* A program with the command line, the output and the file of onnxruntime_perf_test, which really runs the model.
 *
 * The inference is onnxruntime's (libonnxruntime.so of the package onnxruntime), on the processor of this machine. That
 * build has neither XNNPACK nor NNAPI: to ask for them gives what the real tool says where they cannot be had.
 *
 * Source: onnxruntime/test/perftest/{command_args_parser,performance_runner,ort_test_session}.cc, performance_result.h.
 */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <time.h>

#include "onnxruntime.h"

typedef struct {
    const char *provider, *mode, *profile, *model, *output;
    int runs, threads;
    bool has_statistics, makes_input;
} Arguments;

static double now_s(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static long long peak_bytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (long long)usage.ru_maxrss * 1024;
}

static bool read_arguments(int argc, char **argv, Arguments *given) {
    int option;
    while ((option = getopt(argc, argv, "e:m:r:x:p:sI")) != -1) {
        if (option == 'e') given->provider = optarg;
        else if (option == 'm') given->mode = optarg;
        else if (option == 'r') given->runs = atoi(optarg);
        else if (option == 'x') given->threads = atoi(optarg);
        else if (option == 'p') given->profile = optarg;
        else if (option == 's') given->has_statistics = true;
        else if (option == 'I') given->makes_input = true;
        else return false; /* getopt has said which one it does not know */
    }
    if (argc - optind < 1 || strcmp(given->mode, "times") != 0 || given->runs < 1 || !given->makes_input) {
        printf("perf_test [options...] model_path [result_file]\n");
        return false;
    }
    given->model = argv[optind];
    given->output = argc - optind > 1 ? argv[optind + 1] : "";
    return true;
}

static int slower_last(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_statistics(FILE *out, const double *seconds, int runs) {
    const double shares[] = {0.5, 0.9, 0.95, 0.99, 0.999};
    const char *names[] = {"P50", "P90", "P95", "P99", "P999"};
    double *sorted = malloc((size_t)runs * sizeof *sorted);
    if (sorted == NULL) abort();
    memcpy(sorted, seconds, (size_t)runs * sizeof *sorted);
    qsort(sorted, (size_t)runs, sizeof *sorted, slower_last);
    fprintf(out, "Min Latency: %g s\nMax Latency: %g s\n", sorted[0], sorted[runs - 1]);
    for (int place = 0; place < 5; place++)
        fprintf(out, "%s Latency: %g s\n", names[place], sorted[(int)((double)runs * shares[place])]);
    free(sorted);
}

static bool write_rows(const Arguments *given, const double *seconds, int cpu_percent) {
    FILE *file = *given->output ? fopen(given->output, "a") : NULL;
    if (file == NULL) return *given->output == 0;
    const char *name = strrchr(given->model, '/');
    for (int run = 0; run < given->runs; run++)
        fprintf(file, "%s,%g,%g,%lld,%d,%d\n", name ? name + 1 : given->model, seconds[run], seconds[run], peak_bytes(),
                cpu_percent, run);
    if (given->has_statistics) {
        fprintf(file, "\n");
        print_statistics(file, seconds, given->runs);
    }
    return fclose(file) == 0;
}

static void print_totals(const Arguments *given, const double *seconds, double wall_s, int cpu_percent) {
    double total = 0;
    for (int run = 0; run < given->runs; run++) total += seconds[run];
    printf("Total inference time cost: %g s\nTotal inference requests: %d\n", total, given->runs);
    printf("Average inference time cost total: %f ms\n", total / given->runs * 1000);
    printf("Total inference run time: %g s\nNumber of inferences per second: %g\n", wall_s, given->runs / wall_s);
    printf("Avg CPU usage: %d %%\nPeak working set size: %lld bytes\n", cpu_percent, peak_bytes());
    printf("Avg CPU usage:%d\nPeak working set size:%lld\nRuns:%d\n", cpu_percent, peak_bytes(), given->runs);
    if (given->has_statistics) print_statistics(stdout, seconds, given->runs);
}

static bool perform(const Arguments *given) {
    Network network;
    double *seconds = calloc((size_t)given->runs, sizeof *seconds), began = now_s(CLOCK_MONOTONIC);
    if (given->threads > 0) printf("Setting intra_op_num_threads to %d\n", given->threads);
    if (seconds == NULL || !open_network(&network, given->model, given->threads, given->profile)) return false;
    printf("Session creation time cost: %g s\n", now_s(CLOCK_MONOTONIC) - began);
    began = now_s(CLOCK_MONOTONIC);
    if (!run_network(&network)) return false;
    printf("First inference time cost: %d ms\n", (int)((now_s(CLOCK_MONOTONIC) - began) * 1000));
    double start = now_s(CLOCK_MONOTONIC), cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (int run = 0; run < given->runs; run++) {
        began = now_s(CLOCK_MONOTONIC);
        if (!run_network(&network)) return false;
        seconds[run] = now_s(CLOCK_MONOTONIC) - began;
    }
    double wall_s = now_s(CLOCK_MONOTONIC) - start;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int cpu_percent = (int)((now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu_s) / wall_s * 100 / (double)(cores > 0 ? cores : 1));
    if (*given->profile && !end_profile(&network)) return false;
    print_totals(given, seconds, wall_s, cpu_percent);
    return write_rows(given, seconds, cpu_percent);
}

int main(int argc, char **argv) {
    Arguments given = {"cpu", "duration", "", "", "", 1000, 0, false, false};
    if (!read_arguments(argc, argv, &given)) return 255;
    if (strcmp(given.provider, "cpu") != 0) {
        bool is_xnnpack = strcmp(given.provider, "xnnpack") == 0;
        fprintf(stderr, "%s is not supported in this build\n", is_xnnpack ? "XNNPACK execution provider" : "NNAPI");
        return 255;
    }
    if (!ort_load() || !perform(&given)) return 255;
    fflush(NULL);
    _exit(0); /* without the library's own end, which has nothing left to do */
}
