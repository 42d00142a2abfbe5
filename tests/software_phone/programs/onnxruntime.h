/* onnxruntime's C interface as far as a benchmark needs it, loaded at run time from libonnxruntime.so.
 *
 * The library hands out one structure of function pointers to which later releases only append, so a function is known
 * by its place.
 *
 * Source: include/onnxruntime/core/session/onnxruntime_c_api.h (OrtApiBase, OrtApi).
 */
#ifndef SOFTWARE_PHONE_ONNXRUNTIME_H
#define SOFTWARE_PHONE_ONNXRUNTIME_H

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    ENABLE_PROFILING = 14,
    SET_INTRA_OP_THREADS = 24,
    INPUT_COUNT = 30,
    OUTPUT_COUNT = 31,
    INPUT_TYPE_INFO = 33,
    INPUT_NAME = 36,
    OUTPUT_NAME = 37,
    CREATE_TENSOR = 48,
    TENSOR_DATA = 51,
    TENSOR_INFO_OF_TYPE = 55,
    ELEMENT_TYPE = 60,
    DIMENSION_COUNT = 61,
    DIMENSIONS = 62,
    DEFAULT_ALLOCATOR = 78,
    RELEASE_VALUE = 96,
    END_PROFILING = 110
};
enum { API_VERSION = 1, WARNING = 2, FLOAT = 1, MOST_ENDS = 64, MOST_AXES = 16 };

typedef void *Handle;
typedef struct {
    const void *const *(*get_api)(uint32_t version);
    const char *(*get_version)(void);
} ApiBase;

typedef struct {
    Handle environment, options, session, allocator;
    char *input_names[MOST_ENDS], *output_names[MOST_ENDS];
    Handle inputs[MOST_ENDS];
    size_t input_count, output_count;
} Network;

static const void *const *ort;

/* Call a function by its place: ORT(RUN, (Handle, ...), (session, ...)) is true when it succeeded. */
#define ORT(place, types, arguments) ort_check(((Handle(*) types)ort[place]) arguments)

static inline bool ort_check(Handle status) {
    if (status != NULL) printf("%s\n", ((const char *(*)(Handle))ort[GET_ERROR_MESSAGE])(status));
    return status == NULL;
}

/* Beside the program first, as a runner's libraries are staged, then where the loader looks. */
static inline bool ort_load(void) {
    char path[PATH_MAX];
    void *library = NULL;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 32);
    if (length > 0) {
        path[length] = 0;
        strcpy(strrchr(path, '/') + 1, "libonnxruntime.so");
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == NULL) library = dlopen("/system/lib64/libonnxruntime.so", RTLD_NOW | RTLD_LOCAL);
    ApiBase *(*base)(void) = library ? (ApiBase * (*)(void)) dlsym(library, "OrtGetApiBase") : NULL;
    if (base == NULL) return fprintf(stderr, "%s\n", dlerror()), false;
    ort = base()->get_api(API_VERSION);
    return ort != NULL;
}

/* Free sizes count as 1. Values are small, so that no activation runs into what floating point does with extremes. */
static inline bool make_input(Network *network, size_t place) {
    Handle type = NULL, info = NULL;
    int64_t sizes[MOST_AXES];
    size_t axes = 0, elements = 1;
    int element_type = 0;
    float *data = NULL;
    if (!ORT(INPUT_TYPE_INFO, (Handle, size_t, Handle *), (network->session, place, &type)) ||
        !ORT(TENSOR_INFO_OF_TYPE, (Handle, Handle *), (type, &info)) || info == NULL ||
        !ORT(ELEMENT_TYPE, (Handle, int *), (info, &element_type)) ||
        !ORT(DIMENSION_COUNT, (Handle, size_t *), (info, &axes)) || axes > MOST_AXES ||
        !ORT(DIMENSIONS, (Handle, int64_t *, size_t), (info, sizes, axes)))
        return false;
    for (size_t axis = 0; axis < axes; axis++) {
        if (sizes[axis] < 0) sizes[axis] = 1;
        elements *= (size_t)sizes[axis];
    }
    if (!ORT(CREATE_TENSOR, (Handle, const int64_t *, size_t, int, Handle *),
             (network->allocator, sizes, axes, element_type, &network->inputs[place])) ||
        !ORT(TENSOR_DATA, (Handle, void **), (network->inputs[place], (void **)&data)))
        return false;
    for (size_t item = 0; element_type == FLOAT && item < elements; item++) data[item] = (float)drand48() - 0.5f;
    return true;
}

static inline bool make_ends(Network *network) {
    Handle session = network->session;
    if (!ORT(DEFAULT_ALLOCATOR, (Handle *), (&network->allocator)) ||
        !ORT(INPUT_COUNT, (Handle, size_t *), (session, &network->input_count)) ||
        !ORT(OUTPUT_COUNT, (Handle, size_t *), (session, &network->output_count)) ||
        network->input_count > MOST_ENDS || network->output_count > MOST_ENDS)
        return false;
    for (size_t place = 0; place < network->output_count; place++)
        if (!ORT(OUTPUT_NAME, (Handle, size_t, Handle, char **),
                 (session, place, network->allocator, &network->output_names[place])))
            return false;
    for (size_t place = 0; place < network->input_count; place++)
        if (!ORT(INPUT_NAME, (Handle, size_t, Handle, char **),
                 (session, place, network->allocator, &network->input_names[place])) ||
            !make_input(network, place))
            return false;
    return true;
}

static inline bool open_network(Network *network, const char *path, int threads, const char *profile) {
    memset(network, 0, sizeof *network);
    if (!ORT(CREATE_ENV, (int, const char *, Handle *), (WARNING, "Default", &network->environment)) ||
        !ORT(CREATE_SESSION_OPTIONS, (Handle *), (&network->options)))
        return false;
    if (*profile && !ORT(ENABLE_PROFILING, (Handle, const char *), (network->options, profile))) return false;
    if (threads > 0 && !ORT(SET_INTRA_OP_THREADS, (Handle, int), (network->options, threads))) return false;
    return ORT(CREATE_SESSION, (Handle, const char *, Handle, Handle *),
               (network->environment, path, network->options, &network->session)) &&
           make_ends(network);
}

static inline bool run_network(Network *network) {
    Handle outputs[MOST_ENDS] = {NULL};
    if (!ORT(RUN, (Handle, Handle, char **, Handle *, size_t, char **, size_t, Handle *),
             (network->session, NULL, network->input_names, network->inputs, network->input_count,
              network->output_names, network->output_count, outputs)))
        return false;
    for (size_t place = 0; place < network->output_count; place++)
        ((void (*)(Handle))ort[RELEASE_VALUE])(outputs[place]);
    return true;
}

static inline bool end_profile(Network *network) {
    char *path = NULL;
    return ORT(END_PROFILING, (Handle, Handle, char **), (network->session, network->allocator, &path));
}

#endif
