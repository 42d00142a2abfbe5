/* Output of benchmark_model without an inference: the times follow from the size of the model's file alone.
 *
 * A run of a file of N bytes "takes" 1000 + N % 9000 microseconds and up to 6 more, so that a test can tell whose
 * number it holds.
 */
#ifndef SOFTWARE_PHONE_PRETENCE_H
#define SOFTWARE_PHONE_PRETENCE_H

#include <sys/stat.h>

#include "flags.h"
#include "statistics.h"

static inline long pretended_us(double *megabytes) {
    struct stat file;
    if (stat(flag_text("graph"), &file) != 0) return -1;
    *megabytes = (double)file.st_size / 1e6;
    return 1000 + (long)(file.st_size % 9000);
}

static inline void pretend_runs(Samples *samples, int runs, double min_secs, long base) {
    printf("INFO: Running benchmark for at least %d iterations and at least %g seconds but terminate if exceeding %g "
           "seconds.\n", runs, min_secs, flag_number("max_secs"));
    for (int run = 0; run < runs; run++) samples_add(samples, base ? base + run % 7 : 0);
    printf("INFO: ");
    samples_print(stdout, samples);
    printf("\n\n");
}

/* Print what the real tool prints before its first run; -1 where the model is missing, else microseconds of a run. */
static inline long pretend_start(int argc, char **argv) {
    printf("INFO: STARTING!\n");
    if (!read_flags(argc, argv)) return -1;
    log_flags();
    double megabytes = 0;
    long base = pretended_us(&megabytes);
    if (base < 0) {
        fprintf(stderr, "ERROR: Failed to mmap model %s\n", flag_text("graph"));
        return -1;
    }
    printf("INFO: Loaded model %s\n", flag_text("graph"));
    if (flag_on("use_xnnpack"))
        printf("INFO: Explicitly applied XNNPACK delegate, and the model graph will be completely executed by the "
               "delegate.\n");
    printf("INFO: The input model file size (MB): %g\n", megabytes);
    printf("INFO: Initialized session in 1.5ms.\n");
    return base;
}

static inline void pretend_end(const Samples *warmup, const Samples *timed, double memory_mb) {
    printf("INFO: Inference timings in us: Init: 1500, First inference: %lld, Warmup (avg): %g, Inference (avg): %g\n",
           (long long)(warmup->count ? warmup->values[0] : 0), samples_mean(warmup), samples_mean(timed));
    printf("INFO: Note: as the benchmark tool itself affects memory footprint, the following is only APPROXIMATE to "
           "the actual memory footprint of the model at runtime. Take the information at your discretion.\n");
    printf("INFO: Memory footprint delta from the start of the tool (MB): init=0 overall=%g\n", memory_mb);
    if (flag_on("report_peak_memory_footprint"))
        printf("INFO: Overall peak memory footprint (MB) via periodic monitoring: %g\n", memory_mb);
}

static inline int pretend_failure(void) {
    fflush(stdout);
    fprintf(stderr, "ERROR: Benchmarking failed.\n");
    return 1;
}

#endif
