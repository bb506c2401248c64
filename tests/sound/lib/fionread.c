/* LD_PRELOAD for the private pulseaudio: lets module-pipe-sink see the fill level of a vdac FIFO continuously instead of
 * in steps of one vdac tick, i.e. gives the virtual sound card the exact play pointer that a good driver reports.
 * level = bytes in the pipe - frames the card has played since vdac last read.   See vdac.h for the shared page.
 * cc -O2 -shared -fPIC -o fionread.so fionread.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "vdac.h"

static Shared *shm;
static Shared *page(void) {
    if (!shm) {
        const char *p = getenv("RIG_VDAC_SHM");
        int fd = p ? open(p, O_RDONLY | O_CLOEXEC) : -1;
        if (fd >= 0) {
            void *m = mmap(NULL, sizeof(Shared), PROT_READ, MAP_SHARED, fd, 0);
            close(fd);
            if (m != MAP_FAILED && ((Shared *)m)->ready) shm = m;
            else if (m != MAP_FAILED) munmap(m, sizeof(Shared));
        }
    }
    return shm;
}

int ioctl(int fd, unsigned long req, ...) {
    static int (*real)(int, unsigned long, void *);
    va_list ap; va_start(ap, req); void *arg = va_arg(ap, void *); va_end(ap);
    if (!real) real = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    int r = real(fd, req, arg);
    struct stat st;
    if (r < 0 || req != FIONREAD || !page() || fstat(fd, &st) || !S_ISFIFO(st.st_mode)) return r;
    for (int i = 0; i < shm->nc; i++) {
        if (shm->c[i].ino != (unsigned long long)st.st_ino) continue;
        for (int tries = 0; tries < 1000; tries++) {
            unsigned s = __atomic_load_n(&shm->seq, __ATOMIC_ACQUIRE);
            if (!(s & 1)) {
                long long n = __atomic_load_n(&shm->c[i].n, __ATOMIC_RELAXED);
                r = real(fd, req, arg);
                struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
                __atomic_thread_fence(__ATOMIC_ACQUIRE);
                if (__atomic_load_n(&shm->seq, __ATOMIC_RELAXED) == s) {
                    long long played = (long long)((t.tv_sec + t.tv_nsec * 1e-9 - shm->t0) * shm->c[i].rate) - n;
                    long long l = *(int *)arg + (__atomic_load_n(&shm->c[i].extra, __ATOMIC_RELAXED) - played) * 8;
                    *(int *)arg = l < 0 ? 0 : (int)l;
                    return r;
                }
            } else usleep(20);
        }
    }
    return r;
}
