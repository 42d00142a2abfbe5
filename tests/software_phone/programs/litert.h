/* LiteRT's C interface as far as a benchmark needs it, loaded at run time from libLiteRt.so.
 *
 * Source: the headers litert/c/litert_*.h of LiteRT 2; the structures have the layout of VERS_1.0.
 */
#ifndef SOFTWARE_PHONE_LITERT_H
#define SOFTWARE_PHONE_LITERT_H

#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_RANK = 8, MAX_ENDS = 64, CPU_ACCELERATOR = 1, LOCK_WRITE = 1, FLOAT32 = 1 };

typedef void *Handle;
typedef struct { uint32_t rank_bits; int32_t sizes[MAX_RANK]; int strides[MAX_RANK]; } Layout;
typedef struct { int element_type; Layout layout; } TensorType;
typedef struct { size_t total, in_use, footprint; } MemoryUse;
typedef struct {
    const char *tag;
    int kind;
    uint64_t start_us, elapsed_us;
    MemoryUse before, after;
    uint64_t node, extra;
    int source;
} ProfileEvent;

typedef struct {
    Handle environment, model, compiled, profiler, signature;
    Handle inputs[MAX_ENDS], outputs[MAX_ENDS];
    size_t input_count, output_count;
    size_t input_bytes;
} Session;

static void *litert;

/* Look a function up and call it: CALL(LiteRtX, (size_t, void **), (place, &made)) is true when it succeeded. */
#define CALL(name, types, arguments) litert_check(#name, ((int(*) types)litert_find(#name)) arguments)

static inline void *litert_find(const char *name) {
    void *found = dlsym(litert, name);
    if (found == NULL) {
        fprintf(stderr, "ERROR: %s\n", dlerror());
        exit(1);
    }
    return found;
}

static inline bool litert_check(const char *name, int status) {
    if (status != 0) fprintf(stderr, "ERROR: %s failed with status %d\n", name, status);
    return status == 0;
}

/* Beside the program first, as a runner's libraries are staged, then where the loader looks. */
static inline bool litert_load(void) {
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 32);
    if (length > 0) {
        path[length] = 0;
        strcpy(strrchr(path, '/') + 1, "libLiteRt.so");
        litert = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (litert == NULL) litert = dlopen("/system/lib64/libLiteRt.so", RTLD_NOW | RTLD_LOCAL);
    if (litert == NULL) fprintf(stderr, "ERROR: %s\n", dlerror());
    return litert != NULL;
}

static inline void keep_payload(void *payload) { (void)payload; }

static inline bool add_options(Handle options, const char *identifier, const char *text) {
    Handle opaque = NULL;
    return CALL(LiteRtCreateOpaqueOptions, (const char *, void *, void (*)(void *), Handle *),
                (identifier, strdup(text), keep_payload, &opaque)) &&
           CALL(LiteRtAddOpaqueOptions, (Handle, Handle), (options, opaque));
}

static inline bool compile_model(Session *session, int threads, bool use_xnnpack, bool profile) {
    Handle options = NULL;
    char text[128];
    snprintf(text, sizeof text, "kernel_mode = \"%s\"\nnum_threads = %d\n", use_xnnpack ? "delegate" : "builtin",
             threads > 0 ? threads : 1);
    if (!CALL(LiteRtCreateOptions, (Handle *), (&options))) return false;
    if (!CALL(LiteRtSetOptionsHardwareAccelerators, (Handle, int), (options, CPU_ACCELERATOR))) return false;
    if (profile && !add_options(options, "runtime_options_string", "enable_profiling = true\n")) return false;
    if (!add_options(options, "xnnpack", text)) return false;
    if (!CALL(LiteRtCreateCompiledModel, (Handle, Handle, Handle, Handle *),
              (session->environment, session->model, options, &session->compiled)))
        return false;
    return !profile ||
           CALL(LiteRtCompiledModelGetProfiler, (Handle, Handle *), (session->compiled, &session->profiler));
}

/* Random values as the real tool takes them: floats in [-0.5, 0.5), other types bytes of 0 to 63. */
static inline bool fill_buffer(Handle buffer, int element_type, size_t bytes) {
    void *address = NULL;
    if (!CALL(LiteRtLockTensorBuffer, (Handle, void **, int), (buffer, &address, LOCK_WRITE))) return false;
    if (element_type == FLOAT32)
        for (size_t place = 0; place < bytes / 4; place++) ((float *)address)[place] = (float)drand48() - 0.5f;
    else if (element_type == 2 || element_type == 4)
        memset(address, 0, bytes); /* indices: 0 is valid in any table */
    else
        for (size_t place = 0; place < bytes; place++) ((uint8_t *)address)[place] = (uint8_t)(lrand48() & 63);
    return CALL(LiteRtUnlockTensorBuffer, (Handle), (buffer));
}

static inline bool make_buffer(Session *session, const TensorType *type, Handle needs, Handle *made) {
    return CALL(LiteRtCreateManagedTensorBufferFromRequirements, (Handle, const TensorType *, Handle, Handle *),
                (session->environment, type, needs, made));
}

static inline bool make_input(Session *session, size_t place) {
    Handle tensor = NULL, needs = NULL, compiled = session->compiled;
    TensorType type;
    size_t bytes = 0;
    if (!CALL(LiteRtGetSignatureInputTensorByIndex, (Handle, size_t, Handle *), (session->signature, place, &tensor)) ||
        !CALL(LiteRtGetRankedTensorType, (Handle, TensorType *), (tensor, &type)))
        return false;
    int rank = (int)(type.layout.rank_bits & 0x7F), sizes[MAX_RANK], is_open = 0;
    for (int axis = 0; axis < rank; axis++) {
        sizes[axis] = type.layout.sizes[axis] < 0 ? 1 : type.layout.sizes[axis];
        is_open |= type.layout.sizes[axis] < 0;
    }
    if (is_open && !CALL(LiteRtCompiledModelResizeInputTensor, (Handle, size_t, size_t, const int *, size_t),
                         (compiled, 0, place, sizes, (size_t)rank)))
        return false;
    if (!CALL(LiteRtGetCompiledModelInputTensorLayout, (Handle, size_t, size_t, Layout *),
              (compiled, 0, place, &type.layout)) ||
        !CALL(LiteRtGetCompiledModelInputBufferRequirements, (Handle, size_t, size_t, Handle *),
              (compiled, 0, place, &needs)) ||
        !make_buffer(session, &type, needs, &session->inputs[place]) ||
        !CALL(LiteRtGetTensorBufferPackedSize, (Handle, size_t *), (session->inputs[place], &bytes)))
        return false;
    session->input_bytes += bytes;
    return fill_buffer(session->inputs[place], type.element_type, bytes);
}

static inline bool make_outputs(Session *session) {
    Layout layouts[MAX_ENDS];
    Handle compiled = session->compiled;
    if (!CALL(LiteRtGetCompiledModelOutputTensorLayouts, (Handle, size_t, size_t, Layout *, bool),
              (compiled, 0, session->output_count, layouts, true)))
        return false;
    for (size_t place = 0; place < session->output_count; place++) {
        Handle tensor = NULL, needs = NULL;
        TensorType type;
        if (!CALL(LiteRtGetSignatureOutputTensorByIndex, (Handle, size_t, Handle *),
                  (session->signature, place, &tensor)) ||
            !CALL(LiteRtGetRankedTensorType, (Handle, TensorType *), (tensor, &type)))
            return false;
        type.layout = layouts[place];
        if (!CALL(LiteRtGetCompiledModelOutputBufferRequirements, (Handle, size_t, size_t, Handle *),
              (compiled, 0, place, &needs)) ||
            !make_buffer(session, &type, needs, &session->outputs[place]))
            return false;
    }
    return true;
}

static inline bool open_model(Session *session, const char *path) {
    memset(session, 0, sizeof *session);
    return CALL(LiteRtCreateEnvironment, (int, const void *, Handle *), (0, NULL, &session->environment)) &&
           CALL(LiteRtCreateModelFromFile, (Handle, const char *, Handle *),
                (session->environment, path, &session->model)) &&
           CALL(LiteRtGetModelSignature, (Handle, size_t, Handle *), (session->model, 0, &session->signature));
}

static inline bool make_ends(Session *session) {
    if (!CALL(LiteRtGetNumSignatureInputs, (Handle, size_t *), (session->signature, &session->input_count)) ||
        !CALL(LiteRtGetNumSignatureOutputs, (Handle, size_t *), (session->signature, &session->output_count)) ||
        session->input_count > MAX_ENDS || session->output_count > MAX_ENDS)
        return false;
    for (size_t place = 0; place < session->input_count; place++)
        if (!make_input(session, place)) return false;
    return make_outputs(session);
}

static inline bool invoke(Session *session) {
    return CALL(LiteRtRunCompiledModel, (Handle, size_t, size_t, Handle *, size_t, Handle *),
                (session->compiled, 0, session->input_count, session->inputs, session->output_count, session->outputs));
}

#endif
