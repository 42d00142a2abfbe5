/* The flags of benchmark_model: --name=value, known names alone; the rest is named in a warning and then ignored.
 *
 * With LITERT_TOOL defined they are those of LiteRT's newer tool, which has the loop's flags in common.
 *
 * Source: TensorFlow Lite, tools/command_line_flags.cc, tools/benchmark/benchmark_model.cc.
 */
#ifndef SOFTWARE_PHONE_FLAGS_H
#define SOFTWARE_PHONE_FLAGS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *name;
    const char *label; /* how the tool logs the value; NULL = not logged */
    const char *value; /* the default at first */
    int is_set;
} Flag;

static Flag flags[] = {
    {"graph", "Graph", "", 0},
    {"num_runs", "Min num runs", "50", 0},
    {"max_profiling_buffer_entries", "Max initial profiling buffer entries", "1024", 0},
    {"min_secs", "Min runs duration (seconds)", "1", 0},
    {"max_secs", "Max runs duration (seconds)", "150", 0},
    {"run_delay", "Inter-run delay (seconds)", "-1", 0},
    {"num_threads", "Num threads", "-1", 0},
    {"warmup_runs", "Min warmup runs", "1", 0},
    {"warmup_min_secs", "Min warmup runs duration (seconds)", "0.5", 0},
#ifdef LITERT_TOOL
    {"use_cpu", NULL, "1", 0},
    {"use_gpu", NULL, "0", 0},
    {"use_npu", NULL, "0", 0},
    {"use_profiler", NULL, "0", 0},
    {"gpu_backend", NULL, "", 0},
    {"signature_to_run_for", NULL, "", 0},
    {"dispatch_library_path", NULL, "", 0},
    {"compiler_plugin_library_path", NULL, "", 0},
    {"result_file_path", NULL, "", 0},
#else
    {"enable_op_profiling", "Enable op profiling", "0", 0},
    {"op_profiling_output_mode", "Op profiling output mode.", "stdout", 0},
    {"op_profiling_output_file", "Op profiling output file.", "", 0},
    {"max_delegated_partitions", "Max number of delegated partitions", "0", 0},
    {"use_xnnpack", "Use xnnpack", "", 0},
    {"use_gpu", "Use gpu", "0", 0},
    {"gpu_precision_loss_allowed", "Allow lower precision in gpu", "1", 0},
    {"gpu_backend", "GPU backend", "", 0},
    {"use_nnapi", "Use NNAPI", "0", 0},
    {"external_delegate_path", "External delegate path", "", 0},
    {"external_delegate_options", "External delegate options", "", 0},
#endif
    {"report_peak_memory_footprint", "Report the peak memory footprint", "0", 0},
    {"memory_footprint_check_interval_ms", "Memory footprint check interval (ms)", "50", 0},
    {"require_full_delegation", "Require full delegation", "0", 0},
    {"allow_fp16", "Allow fp16", "0", 0},
    {"verbose", NULL, "0", 0},
    {"help", NULL, "0", 0},
};

enum { FLAG_COUNT = sizeof flags / sizeof *flags };

static inline const char *flag_text(const char *name) {
    for (int place = 0; place < FLAG_COUNT; place++)
        if (strcmp(flags[place].name, name) == 0) return flags[place].value;
    fprintf(stderr, "FATAL: no flag %s\n", name);
    abort();
}

static inline double flag_number(const char *name) { return strtod(flag_text(name), NULL); }

static inline int flag_on(const char *name) {
    const char *text = flag_text(name);
    return strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
}

static inline int take_flag(const char *argument) {
    for (int place = 0; place < FLAG_COUNT; place++) {
        size_t length = strlen(flags[place].name);
        if (strncmp(argument, "--", 2) != 0 || strncmp(argument + 2, flags[place].name, length) != 0) continue;
        if (argument[2 + length] != '=') continue;
        flags[place].value = argument + 3 + length;
        flags[place].is_set = 1;
        return 1;
    }
    return 0;
}

/* Read the command line; returns 0 where it asks for help, which the real tool answers as a failure. */
static inline int read_flags(int argc, char **argv) {
    int unknown = 0;
    for (int place = 1; place < argc; place++) {
        if (strcmp(argv[place], "--help") == 0) flags[FLAG_COUNT - 1].value = "1";
        else if (!take_flag(argv[place])) argv[++unknown] = argv[place];
    }
    if (flag_on("help")) {
        fprintf(stderr, "ERROR: usage: %s <flags>\nFlags:\n", argv[0]);
        for (int place = 0; place < FLAG_COUNT; place++)
            fprintf(stderr, "\t--%s=%s\n", flags[place].name, flags[place].value);
        return 0;
    }
    if (unknown) {
        printf("WARN: Unconsumed cmdline flags:");
        for (int place = 1; place <= unknown; place++) printf(" %s", argv[place]);
        printf("\n");
    }
    return 1;
}

static inline void log_flags(void) {
    printf("INFO: Log parameter values verbosely: [%d]\n", flag_on("verbose"));
    for (int place = 0; place < FLAG_COUNT; place++) {
        if (flags[place].label == NULL || !(flags[place].is_set || flag_on("verbose"))) continue;
        const char *value = flags[place].value;
        if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0) value = *value == 't' ? "1" : "0";
        printf("INFO: %s: [%s]\n", flags[place].label, value);
    }
}

#endif
