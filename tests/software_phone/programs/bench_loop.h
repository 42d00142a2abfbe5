/* The loops of benchmark_model, which LiteRT's newer tool shares: runs until both bounds are reached, and their line.
 *
 * Source: TensorFlow Lite, tools/benchmark/benchmark_model.cc.
 */
#ifndef SOFTWARE_PHONE_BENCH_LOOP_H
#define SOFTWARE_PHONE_BENCH_LOOP_H

#include <sys/resource.h>
#include <time.h>

#include "flags.h"
#include "litert.h"
#include "op_table.h"
#include "statistics.h"

static OpTable table;

static inline int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline void sleep_seconds(double seconds) {
    struct timespec wait = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    if (seconds > 0) nanosleep(&wait, NULL);
}

static inline double peak_mb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024.0;
}

/* Run until both bounds are reached, as the real tool does; a failed run is counted, and told at the end. */
static inline bool run_many(Session *session, Samples *samples, int runs, double min_secs, bool is_timed) {
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

#endif
