/* page shared by vdac (writer) and fionread (reader) */
typedef struct {
    int ready, nc;
    unsigned seq;                                  /* odd while vdac is taking frames */
    double t0;
    struct { unsigned long long ino; double rate; long long n, extra; } c[16];   /* extra: frames of delay, set by run.py */
} Shared;
