/* N virtual sound cards on one clock.
 *
 * Each card reads 32-bit float stereo frames from a FIFO (fed by PulseAudio's module-pipe-sink) exactly as a DAC
 * would: at time t (CLOCK_MONOTONIC) it has taken floor((t-T0)*48000*(1+ppm*1e-6)) frames, never more, never fewer.
 * If the FIFO has too few, silence is taken instead (a hardware underrun) and logged.  So frame n of card i was heard
 * at T0 + n/(48000*(1+ppm_i*1e-6)): all recordings share one time base exactly, and every card may have its own crystal
 * error, which a null sink cannot have.  Ticks are dithered, so that no client polls the fill level at a fixed phase.
 *
 * cc -O2 -pthread -o vdac vdac.c
 * vdac OUTDIR TICK_US PIPE_BYTES FIFO[:ppm] ...      SIGTERM ends it; leaves OUTDIR/dacK.f32 and OUTDIR/vdac.json
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "vdac.h"

enum { FB = 8, MAXC = 16, BUF = 4 << 20, MAXE = 20000 };   /* BUF: about 10 s of one card */
static volatile sig_atomic_t stop;
static void on_stop(int s) { (void)s; stop = 1; }
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec * 1e-9; }
static void sleep_until(double t) {
    struct timespec s = { (time_t)t, (long)((t - (double)(time_t)t) * 1e9) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &s, NULL) == EINTR && !stop) {}
}
typedef struct { long long at, len; } Ev;
typedef struct {
    int fd, pipe, live, primed;
    double ppm, rate;
    long long n, under;
    unsigned char *buf; size_t w, r;               /* ring, absolute counters; w by the DAC thread, r by the writer */
    FILE *f;
    Ev *ev; int nev;
    unsigned char *line; size_t in, out;            /* delay line: a way of the sound that is longer by `extra` frames */
} Card;
static Card c[MAXC];
static int nc;

static Shared *shm;

static void *writer(void *arg) {
    (void)arg;
    for (;;) {
        int last = stop;
        for (int i = 0; i < nc; i++) {
            size_t w = __atomic_load_n(&c[i].w, __ATOMIC_ACQUIRE), r = c[i].r;
            while (r < w) {
                size_t o = r % BUF, m = w - r;
                if (o + m > BUF) m = BUF - o;
                fwrite(c[i].buf + o, 1, m, c[i].f);
                r += m;
            }
            __atomic_store_n(&c[i].r, r, __ATOMIC_RELEASE);
        }
        if (last == 2) return NULL;
        usleep(200000);
    }
}

/* one watcher per CPU: a real-time thread that sees when the CPU itself was away (hypervisor, page faults) */
static double wst[4000][3]; static int nw;
static void *watch(void *arg) {
    long cpu = (long)arg;
    cpu_set_t m; CPU_ZERO(&m); CPU_SET(cpu, &m); pthread_setaffinity_np(pthread_self(), sizeof m, &m);
    struct sched_param sp = { .sched_priority = 29 };
    pthread_setschedparam(pthread_self(), SCHED_FIFO, &sp);
    for (double t = now() + 0.005; !stop; t += 0.005) {
        sleep_until(t);
        double l = now() - t;
        if (l > 0.005) {
            int i = __atomic_fetch_add(&nw, 1, __ATOMIC_RELAXED);
            if (i < 4000) { wst[i][0] = t - shm->t0; wst[i][1] = l * 1e3; wst[i][2] = (double)cpu; }
            t = now();
        }
    }
    return NULL;
}

/* what goes in comes out `extra` frames later; when that grows, silence is heard in between, as when a card is changed */
static void delay(Card *k, unsigned char *x, size_t len, long long extra) {
    size_t line = k->in - k->out, longer = (size_t)extra * FB;
    if (longer > BUF / 2) longer = BUF / 2;
    for (; line < longer; line++, k->in++) k->line[k->in % BUF] = 0;
    if (!line) return;
    for (size_t i = 0; i < len; i++, k->in++) k->line[k->in % BUF] = x[i];
    for (size_t i = 0; i < len; i++, k->out++) x[i] = k->line[k->out % BUF];
}

int main(int ac, char **av) {
    if (ac < 5) { fprintf(stderr, "usage: vdac OUTDIR TICK_US PIPE_BYTES FIFO[:ppm] ...\n"); return 2; }
    double tick = atof(av[2]) * 1e-6;
    for (int a = 4; a < ac && nc < MAXC; a++, nc++) {
        Card *k = &c[nc];
        char p[4096], *q;
        snprintf(p, sizeof p, "%s", av[a]);
        if ((q = strrchr(p, ':'))) { *q = 0; k->ppm = atof(q + 1); }
        k->rate = 48000 * (1 + k->ppm * 1e-6);
        if ((k->fd = open(p, O_RDONLY | O_NONBLOCK)) < 0) { perror(p); return 1; }
        k->pipe = fcntl(k->fd, F_SETPIPE_SZ, atoi(av[3]));
        k->buf = malloc(BUF); memset(k->buf, 0, BUF); k->line = malloc(BUF); memset(k->line, 0, BUF); k->ev = malloc(MAXE * sizeof(Ev));
        snprintf(p, sizeof p, "%s/dac%d.f32", av[1], nc);
        if (!(k->f = fopen(p, "wb"))) { perror(p); return 1; }
    }
    {
        char p[4096]; snprintf(p, sizeof p, "%s/vdac.shm", av[1]);
        int fd = open(p, O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || ftruncate(fd, sizeof(Shared))) { perror(p); return 1; }
        shm = mmap(NULL, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (shm == MAP_FAILED) { perror("mmap"); return 1; }
        close(fd);
    }
    signal(SIGTERM, on_stop); signal(SIGINT, on_stop);
    pthread_t th; pthread_create(&th, NULL, writer, NULL);
    mlockall(MCL_CURRENT);
    struct sched_param sp = { .sched_priority = 30 };
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &sp)) fprintf(stderr, "vdac: no realtime\n");
    unsigned seed = 12345;
    static double stalls[2000][2]; int ns = 0;
    double t0 = now() + 0.02, next = t0, late = 0;
    static unsigned char tmp[BUF];
    shm->t0 = t0;
    for (long i = 0; i < sysconf(_SC_NPROCESSORS_ONLN); i++) { pthread_t w; pthread_create(&w, NULL, watch, (void *)i); }
    for (int i = 0; i < nc; i++) {
        struct stat st; fstat(c[i].fd, &st);
        shm->c[i].ino = st.st_ino; shm->c[i].rate = c[i].rate;
    }
    shm->t0 = t0; shm->nc = nc;
    __atomic_store_n(&shm->ready, 1, __ATOMIC_RELEASE);
    while (!stop) {
        double at = next + tick * ((seed = seed * 1664525u + 1013904223u) / 4294967296.0 - 0.5);
        sleep_until(at);
        double t = now(), l = t - at;
        if (l > late) late = l;
        if (l > 0.005 && ns < 2000) { stalls[ns][0] = t - t0; stalls[ns++][1] = l * 1e3; }
        __atomic_store_n(&shm->seq, shm->seq + 1, __ATOMIC_SEQ_CST);
        for (int i = 0; i < nc; i++) {
            Card *k = &c[i];
            long long due = (long long)((t - t0) * k->rate) - k->n;
            if (due <= 0) continue;
            if (due > BUF / FB / 2) due = BUF / FB / 2;
            size_t want = (size_t)due * FB, got = 0;
            ssize_t g = read(k->fd, tmp, want);
            if (g > 0) got = (size_t)g;
            if (got < want && l > 0.005 && k->live) {       /* this process itself was late: let PulseAudio catch up */
                double end = now() + 0.02;
                while (got < want && now() < end) {
                    usleep(200);
                    g = read(k->fd, tmp + got, want - got);
                    if (g > 0) got += (size_t)g;
                }
            }
            if (got % FB) { fprintf(stderr, "vdac: torn frame\n"); return 1; }
            long long fr = (long long)(got / FB);
            if (fr) k->primed = 1;
            k->live = fr == due;
            if (fr < due) {
                memset(tmp + got, 0, want - got);
                if (k->primed) {
                    k->under += due - fr;
                    Ev *e = k->nev ? &k->ev[k->nev - 1] : NULL;
                    if (e && k->n + fr - e->at - e->len < 480) e->len = k->n + due - e->at;
                    else if (k->nev < MAXE) k->ev[k->nev++] = (Ev){ k->n + fr, due - fr };
                }
            }
            k->n += due;
            __atomic_store_n(&shm->c[i].n, k->n, __ATOMIC_RELAXED);
            if (k->w + want - __atomic_load_n(&k->r, __ATOMIC_ACQUIRE) > BUF) { fprintf(stderr, "vdac: disk too slow\n"); return 1; }
            delay(k, tmp, want, __atomic_load_n(&shm->c[i].extra, __ATOMIC_RELAXED));
            for (size_t d = 0; d < want;) {
                size_t o = (k->w + d) % BUF, m = want - d;
                if (o + m > BUF) m = BUF - o;
                memcpy(k->buf + o, tmp + d, m); d += m;
            }
            __atomic_store_n(&k->w, k->w + want, __ATOMIC_RELEASE);
        }
        __atomic_store_n(&shm->seq, shm->seq + 1, __ATOMIC_SEQ_CST);
        next += tick;
        if (t > next + 10 * tick) next = t + tick;
    }
    double te = now();
    stop = 2; pthread_join(th, NULL);
    char p[4096]; snprintf(p, sizeof p, "%s/vdac.json", av[1]);
    FILE *f = fopen(p, "w");
    fprintf(f, "{\"t0\":%.9f,\"t_end\":%.9f,\"tick_us\":%s,\"max_late_ms\":%.3f,\"stalls\":[", t0, te, av[2], late * 1e3);
    for (int i = 0; i < ns; i++) fprintf(f, "%s[%.4f,%.2f]", i ? "," : "", stalls[i][0], stalls[i][1]);
    fprintf(f, "],\"cpu_stalls\":[");
    for (int i = 0; i < nw && i < 4000; i++) fprintf(f, "%s[%.4f,%.2f,%d]", i ? "," : "", wst[i][0], wst[i][1], (int)wst[i][2]);
    fprintf(f, "],\"cards\":[");
    for (int i = 0; i < nc; i++) {
        fprintf(f, "%s{\"k\":%d,\"ppm\":%g,\"rate\":%.6f,\"frames\":%lld,\"underrun_frames\":%lld,\"pipe\":%d,\"underrun_events\":[", i ? "," : "",
                i, c[i].ppm, c[i].rate, c[i].n, c[i].under, c[i].pipe);
        for (int e = 0; e < c[i].nev; e++) fprintf(f, "%s[%lld,%lld]", e ? "," : "", c[i].ev[e].at, c[i].ev[e].len);
        fprintf(f, "]}");
        fclose(c[i].f);
    }
    fprintf(f, "]}\n"); fclose(f);
    return 0;
}
