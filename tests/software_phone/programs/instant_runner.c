/* A runner that returns at once with well-formed output, so that what remains is the harness's own time. */
#include "pretence.h"

int main(int argc, char **argv) {
    Samples warmup = {0}, timed = {0};
    long base = pretend_start(argc, argv);
    if (base < 0) return pretend_failure();
    pretend_runs(&warmup, (int)flag_number("warmup_runs"), flag_number("warmup_min_secs"), base + 50);
    pretend_runs(&timed, (int)flag_number("num_runs"), flag_number("min_secs"), base);
    pretend_end(&warmup, &timed, 8);
    return 0;
}
