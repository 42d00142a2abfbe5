/* The statistics line of benchmark_model: "count=50 first=.. curr=.. min=.. max=.. avg=.. std=.. p5=.. median=.. ...".
 *
 * Source: TensorFlow, xla/tsl/util/stats_calculator.h (Stat, StatWithPercentiles).
 */
#ifndef SOFTWARE_PHONE_STATISTICS_H
#define SOFTWARE_PHONE_STATISTICS_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t *values; /* microseconds, in order of the runs */
    size_t count, room;
} Samples;

static inline void samples_add(Samples *samples, int64_t value) {
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 64;
        samples->values = realloc(samples->values, samples->room * sizeof *samples->values);
        if (samples->values == NULL) abort();
    }
    samples->values[samples->count++] = value;
}

static inline double samples_mean(const Samples *samples) {
    double sum = 0;
    for (size_t place = 0; place < samples->count; place++) sum += (double)samples->values[place];
    return sum / (double)samples->count; /* without a run: nan, as the real tool prints */
}

static inline int compare_values(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

static inline void samples_print_percentiles(FILE *out, const Samples *samples) {
    int64_t *sorted = malloc((samples->count + 1) * sizeof *sorted);
    if (sorted == NULL) abort();
    if (samples->count) memcpy(sorted, samples->values, samples->count * sizeof *sorted);
    qsort(sorted, samples->count, sizeof *sorted, compare_values);
    const int wanted[] = {5, 50, 95};
    const char *names[] = {"p5", "median", "p95"};
    for (int place = 0; place < 3; place++) {
        int64_t value = samples->count ? sorted[samples->count * (size_t)wanted[place] / 100] : 0;
        fprintf(out, " %s=%lld", names[place], (long long)value);
    }
    free(sorted);
}

/* Print the line without a prefix, percentiles and an end of line. */
static inline void samples_print_plain(FILE *out, const Samples *samples) {
    size_t count = samples->count;
    int64_t low = INT64_MAX, high = INT64_MIN;
    double squares = 0;
    for (size_t place = 0; place < count; place++) {
        int64_t value = samples->values[place];
        if (value < low) low = value;
        if (value > high) high = value;
        squares += (double)value * (double)value;
    }
    if (count == 0) {
        fprintf(out, "count=0");
    } else if (low == high) {
        fprintf(out, "count=%zu curr=%lld%s", count, (long long)low, count > 1 ? "(all same)" : "");
    } else {
        double mean = samples_mean(samples);
        int64_t variance = (int64_t)(squares / (double)count - mean * mean);
        fprintf(out, "count=%zu first=%lld curr=%lld min=%lld max=%lld avg=%g std=%lld", count,
                (long long)samples->values[0], (long long)samples->values[count - 1], (long long)low, (long long)high,
                mean, (long long)sqrt((double)variance));
    }
}

static inline void samples_print(FILE *out, const Samples *samples) {
    samples_print_plain(out, samples);
    samples_print_percentiles(out, samples);
}

#endif
