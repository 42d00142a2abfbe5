/* How much of a graph XNNPACK takes: the events of a profiled inference tell. */
#ifndef SOFTWARE_PHONE_GRAPH_PARTS_H
#define SOFTWARE_PHONE_GRAPH_PARTS_H

#include <sys/wait.h>

#include "litert.h"
#include "op_table.h"

typedef struct {
    int parts; /* pieces that the delegate runs */
    int left;  /* nodes that are left to the runtime's own kernels */
} GraphParts;

static inline void find_parts(const char *path, GraphParts *found) {
    Session probe;
    int count = 0;
    uint64_t previous = UINT64_MAX;
    if (!open_model(&probe, path) || !compile_model(&probe, 1, true, true) || !make_ends(&probe)) return;
    CALL(LiteRtStartProfiler, (Handle), (probe.profiler));
    if (!invoke(&probe) || !CALL(LiteRtStopProfiler, (Handle), (probe.profiler))) return;
    if (!CALL(LiteRtGetNumProfilerEvents, (Handle, int *), (probe.profiler, &count)) || count <= 0) return;
    ProfileEvent *events = calloc((size_t)count, sizeof *events);
    if (!events) return;
    if (!CALL(LiteRtGetProfilerEvents, (Handle, int, ProfileEvent *), (probe.profiler, count, events))) return;
    for (int place = 0; place < count; place++) {
        bool is_delegate = events[place].kind == DELEGATE_EVENT || events[place].kind == DELEGATE_PROFILED_EVENT;
        if (is_delegate) found->parts += events[place].node <= previous, previous = events[place].node;
        if (events[place].kind == OPERATOR_EVENT) found->left += events[place].extra == 0, previous = UINT64_MAX;
    }
}

/* In a child, since a profiler's buffers would be told as memory of the model. */
static inline GraphParts count_parts(const char *path) {
    GraphParts found = {0, 0};
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0) return found;
    pid_t child = fork();
    if (child == 0) {
        find_parts(path, &found);
        _exit(write(ends[1], &found, sizeof found) != sizeof found);
    }
    close(ends[1]);
    if (child < 0 || read(ends[0], &found, sizeof found) != sizeof found) found = (GraphParts){0, 0};
    close(ends[0]);
    if (child > 0) waitpid(child, NULL, 0);
    return found;
}

#endif
