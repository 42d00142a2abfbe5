/* The table of operators that benchmark_model prints under --enable_op_profiling, from the events of LiteRT's profiler.
 *
 * Source: TensorFlow, lite/profiling/profile_summarizer.cc, xla/tsl/util/stats_calculator.cc (columns and widths).
 */
#ifndef SOFTWARE_PHONE_OP_TABLE_H
#define SOFTWARE_PHONE_OP_TABLE_H

#include "litert.h"
#include "statistics.h"

enum { OPERATOR_EVENT = 1 << 1, DELEGATE_EVENT = 1 << 2, DELEGATE_PROFILED_EVENT = 1 << 3, MAX_ROWS = 4096 };

typedef struct {
    char *type, *name;
    int64_t first_us, sum_us, calls;
} OpRow;

typedef struct {
    OpRow rows[MAX_ROWS];
    size_t count;
    Samples totals; /* microseconds of all operators, one a run */
} OpTable;

static inline void output_name(const Session *session, uint64_t node, char *text, size_t room) {
    Handle subgraph = NULL, operator_handle = NULL, tensor = NULL;
    const char *name = "";
    size_t count = 0;
    if (CALL(LiteRtGetSignatureSubgraph, (Handle, Handle *), (session->signature, &subgraph)) &&
        CALL(LiteRtGetNumSubgraphOps, (Handle, size_t *), (subgraph, &count)) && node < count &&
        CALL(LiteRtGetSubgraphOp, (Handle, size_t, Handle *), (subgraph, (size_t)node, &operator_handle)) &&
        CALL(LiteRtGetOpOutput, (Handle, size_t, Handle *), (operator_handle, 0, &tensor)))
        CALL(LiteRtGetTensorName, (Handle, const char **), (tensor, &name));
    snprintf(text, room, "[%s]:%llu", name, (unsigned long long)node);
}

static inline OpRow *find_row(OpTable *table, const char *type, const char *name) {
    for (size_t place = 0; place < table->count; place++)
        if (strcmp(table->rows[place].name, name) == 0) return &table->rows[place];
    if (table->count == MAX_ROWS) return NULL;
    OpRow *row = &table->rows[table->count++];
    *row = (OpRow){strdup(type), strdup(name), -1, 0, 0};
    return row;
}

static inline void add_events(OpTable *table, const Session *session, const ProfileEvent *events, int count) {
    int64_t total = 0;
    for (int place = 0; place < count; place++) {
        const ProfileEvent *event = &events[place];
        char name[512];
        if (event->kind == OPERATOR_EVENT && event->extra == 0) output_name(session, event->node, name, sizeof name);
        else if (event->kind == DELEGATE_EVENT || event->kind == DELEGATE_PROFILED_EVENT)
            snprintf(name, sizeof name, "Delegate/%s:%llu", event->tag, (unsigned long long)event->node);
        else continue;
        OpRow *row = find_row(table, event->tag, name);
        if (row == NULL) continue;
        if (row->first_us < 0) row->first_us = (int64_t)event->elapsed_us;
        row->sum_us += (int64_t)event->elapsed_us;
        row->calls++;
        total += (int64_t)event->elapsed_us;
    }
    samples_add(&table->totals, total);
}

static inline void start_profile(const Session *session) {
    CALL(LiteRtStartProfiler, (Handle), (session->profiler));
}

static inline void stop_profile(const Session *session, OpTable *table) {
    int count = 0;
    if (!CALL(LiteRtStopProfiler, (Handle), (session->profiler))) return;
    if (!CALL(LiteRtGetNumProfilerEvents, (Handle, int *), (session->profiler, &count)) || count <= 0) return;
    ProfileEvent *events = calloc((size_t)count, sizeof *events);
    if (events && CALL(LiteRtGetProfilerEvents, (Handle, int, ProfileEvent *), (session->profiler, count, events)))
        add_events(table, session, events, count);
    free(events);
}

static inline void print_rows(FILE *out, const char *title, const OpTable *table, OpRow *const *order, int as_csv) {
    double done = 0, all = 0, runs = (double)table->totals.count;
    for (size_t place = 0; place < table->count; place++) all += (double)table->rows[place].sum_us;
    fprintf(out, "============================== %s ==============================\n", title);
    fprintf(out, as_csv ? "node type, first, avg_ms, %%, cdf%%, mem KB, times called, name\n"
                        : "\t             [node type]\t  [first]\t [avg ms]\t     [%%]\t  [cdf%%]\t  [mem KB]"
                          "\t[times called]\t[Name]\n");
    for (size_t place = 0; place < table->count; place++) {
        const OpRow *row = order[place];
        done += (double)row->sum_us;
        fprintf(out, as_csv ? "%s, %g, %g, %g%%, %g%%, %g, %lld, %s\n"
                            : "\t%24s\t%9.3f\t%9.3f\t%7.3f%%\t%7.3f%%\t%10.3f\t%9lld\t%s\n",
                row->type, (double)row->first_us / 1e3, (double)row->sum_us / (double)row->calls / 1e3,
                100 * (double)row->sum_us / all, 100 * done / all, 0.0, (long long)((double)row->calls / runs),
                row->name);
    }
    fprintf(out, "\n");
}

static inline int slower_first(const void *left, const void *right) {
    int64_t a = (*(OpRow *const *)left)->sum_us, b = (*(OpRow *const *)right)->sum_us;
    return (a < b) - (a > b);
}

static inline void print_types(FILE *out, const OpTable *table, int as_csv) {
    double runs = (double)table->totals.count, all = 0, done = 0;
    for (size_t place = 0; place < table->count; place++) all += (double)table->rows[place].sum_us;
    fprintf(out, "Number of nodes executed: %zu\n", table->count);
    fprintf(out, "============================== Summary by node type ==============================\n");
    fprintf(out, as_csv ? "node type, count, avg_ms, avg %%, cdf %%, mem KB, times called\n"
                        : "\t             [Node type]\t  [count]\t  [avg ms]\t    [avg %%]\t    [cdf %%]\t  [mem KB]"
                          "\t[times called]\n");
    size_t types = 0;
    OpRow **order = calloc(table->count + 1, sizeof *order), *found = calloc(table->count + 1, sizeof *found);
    if (order == NULL || found == NULL) abort();
    for (size_t place = 0; place < table->count; place++) {
        const OpRow *row = &table->rows[place];
        size_t type = 0;
        while (type < types && strcmp(found[type].type, row->type) != 0) type++;
        if (type == types) found[type].type = row->type, order[types++] = &found[type];
        found[type].sum_us += row->sum_us, found[type].calls += row->calls, found[type].first_us++;
    }
    qsort(order, types, sizeof *order, slower_first);
    for (size_t place = 0; place < types; place++) {
        const OpRow *row = order[place]; /* its first_us counts the nodes of the type */
        done += (double)row->sum_us;
        fprintf(out, as_csv ? "%s, %lld, %g, %g%%, %g%%, %g, %lld\n"
                            : "\t%24s\t%9lld\t%10.3f\t%10.3f%%\t%10.3f%%\t%10.3f\t%9lld\n",
                row->type, (long long)row->first_us, (double)row->sum_us / runs / 1e3, 100 * (double)row->sum_us / all,
                100 * done / all, 0.0, (long long)((double)row->calls / runs));
    }
    free(order);
    free(found);
    fprintf(out, "\n");
}

static inline void print_table(FILE *out, const OpTable *table, int as_csv) {
    OpRow **order = calloc(table->count + 1, sizeof *order);
    if (order == NULL) abort();
    for (size_t place = 0; place < table->count; place++) order[place] = (OpRow *)&table->rows[place];
    print_rows(out, "Run Order", table, order, as_csv);
    qsort(order, table->count, sizeof *order, slower_first);
    print_rows(out, "Top by Computation Time", table, order, as_csv);
    print_types(out, table, as_csv);
    fprintf(out, "Timings (microseconds): ");
    samples_print_plain(out, &table->totals);
    fprintf(out, "\nMemory (bytes): count=0\n%zu nodes observed\n\n\n", table->count);
    free(order);
}

#endif
