"""Private PulseAudio daemon with N sinks, recorded on one clock.  Two back ends:
dac   N pipe sinks drained by lib/vdac.c (default): own ppm per sink, sample index <-> time exact
null  one 2N-channel null sink + N remap sinks, one parec of the 2N-channel monitor (sample aligned, no ppm)"""
import ctypes, json, mmap, os, signal, struct, subprocess, sys, threading, time
import numpy as np, place
HERE = os.path.dirname(os.path.abspath(__file__))

def build(name):
    """compile lib/NAME.c on first use (NAME.so: shared)"""
    src, out = f'{HERE}/{name.split(".")[0]}.c', f'{place.HOME}/build/{name}'
    if not os.path.exists(out) or os.path.getmtime(out) < max(os.path.getmtime(src), os.path.getmtime(f'{HERE}/vdac.h')):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        subprocess.run(['cc', '-O2', '-Wall', '-Wextra', '-pthread', *(['-shared', '-fPIC'] if name.endswith('.so') else []), '-o', out, src, '-ldl'], check=True)
    return os.path.abspath(out)

PIN = ['/usr/lib/chromium/chromium', '/usr/bin/pulseaudio', '/usr/bin/snapclient', '/usr/bin/snapserver', '/usr/lib/pulse-16.1+dfsg1', '/usr/lib/x86_64-linux-gnu/pulseaudio',
       '/usr/lib/x86_64-linux-gnu/libpulse.so.0', '/usr/lib/x86_64-linux-gnu/libc.so.6', '/usr/lib/x86_64-linux-gnu/libstdc++.so.6']
_pins = []
def pin(paths=()):
    """keep program files in memory: a kernel that reclaims cold pages (DAMON) otherwise stalls audio threads on page-ins"""
    if _pins: return
    libc = ctypes.CDLL(None, use_errno=True); libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    libc.mmap.restype = ctypes.c_void_p; libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
    n = 0
    for p in [*PIN, *paths]:
        for f in ([os.path.join(p, x) for x in os.listdir(p)] if os.path.isdir(p) else [p]):
            if not os.path.isfile(f): continue
            fd = os.open(f, os.O_RDONLY); z = os.fstat(fd).st_size
            m = libc.mmap(None, z, 1, 1, fd, 0) if z else None; os.close(fd)
            if m and m != ctypes.c_void_p(-1).value and libc.mlock(m, z) == 0: n += z; _pins.append(m)
    return n

class Booster(threading.Thread):
    """Real-time priority for the audio threads of the players, which rtkit gives them on a desktop: other jobs' load must
    not count as sync error.  At once (`names`: every thread where None), because what a thread does in its first second
    matters most: libpulse draws its clock's line through its first few readings."""
    def __init__(self, pids, names=('threaded-ml', 'AudioOutputDevi'), prio=7):
        super().__init__(daemon=True); self.pids, self.names, self.prio, self.end = list(pids), names, prio, threading.Event()
        self.hurry = time.monotonic() + 5

    def soon(self, pid=None):
        """a player starts"""
        if pid: self.pids.append(pid)
        self.hurry = time.monotonic() + 5

    def run(self):
        family, at = [], 0.0
        while True:
            now = time.monotonic()
            hurry = now < self.hurry
            if now - at > (0.1 if hurry else 1):
                family, at = below(self.pids), now
            for p in family: self.look(p)
            if self.end.wait(0.01 if hurry else 1): return

    def look(self, pid):
        try: tasks = os.listdir(f'/proc/{pid}/task')
        except OSError: return
        for t in tasks:
            try:
                named = self.names is None or open(f'/proc/{pid}/task/{t}/comm').read().strip() in self.names
                if named and os.sched_getscheduler(int(t)) == os.SCHED_OTHER:
                    os.sched_setscheduler(int(t), os.SCHED_RR, os.sched_param(self.prio))
            except OSError: pass

    def stop(self): self.end.set(); self.join()

def below(pids):
    """the processes `pids` and all their descendants"""
    kids = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            try: kids.setdefault(int(open(f'/proc/{d}/stat').read().rsplit(')', 1)[1].split()[1]), []).append(int(d))
            except OSError: pass
    out, todo = [], list(pids)
    while todo:
        out.append(todo.pop()); todo += kids.get(out[-1], [])
    return out

def boost(pid, prio=9):
    """real-time round robin for every thread of pid (module-pipe-sink does not ask for it itself)"""
    for t in os.listdir(f'/proc/{pid}/task'):
        try: os.sched_setscheduler(int(t), os.SCHED_RR, os.sched_param(prio))
        except OSError as e: print('boost', t, e)

class Audio:
    def __init__(self, workdir, n, ppm=None, backend='dac', card_ms=85):
        # the cards' buffers, bytes: the system makes them a power of two
        self.pipe = 1 << (card_ms * 48 * 8 - 1).bit_length()
        self.dir, self.n, self.backend = workdir, n, backend
        self.ppm = list(ppm or [])[:n] + [0.0] * max(0, n - len(ppm or []))
        self.sock = f'{workdir}/pulse.sock'
        self.procs = []
        self.rec = None
        os.makedirs(workdir, exist_ok=True)

    def env(self, k, base=None):
        e = dict(base or os.environ)
        e.update(PULSE_SERVER=f'unix:{self.sock}', PULSE_SINK=f'p{k}', XDG_RUNTIME_DIR=self.dir,
                 PULSE_COOKIE=f'{self.dir}/cookie', PULSE_CLIENTCONFIG=f'{self.dir}/client.conf')
        e.pop('DISPLAY', None)
        return e

    def start(self):
        d = self.dir
        open(f'{d}/daemon.conf', 'w').write(
            'default-sample-rate = 48000\nalternate-sample-rate = 48000\ndefault-sample-format = float32le\n'
            'resample-method = speex-float-5\nflat-volumes = no\nhigh-priority = yes\nnice-level = -11\n'
            'realtime-scheduling = yes\nrealtime-priority = 9\nexit-idle-time = -1\nenable-shm = yes\n')
        open(f'{d}/client.conf', 'w').write('autospawn = no\n')
        a = ['pulseaudio', '-n', '--daemonize=no', '--use-pid-file=no', '--exit-idle-time=-1', '--disallow-exit',
             '-L', f'module-native-protocol-unix socket={self.sock} auth-anonymous=1']
        if self.backend == 'dac':
            for k in range(self.n):
                a += ['-L', f'module-pipe-sink sink_name=p{k} file={d}/fifo{k} format=float32le rate=48000 channels=2']
        else:
            cm = ','.join(f'aux{c}' for c in range(2 * self.n))
            a += ['-L', f'module-null-sink sink_name=master format=float32le rate=48000 channels={2*self.n} channel_map={cm}']
            for k in range(self.n):
                a += ['-L', f'module-remap-sink sink_name=p{k} master=master channels=2 remix=no '
                            f'master_channel_map=aux{2*k},aux{2*k+1} channel_map=front-left,front-right']
        e = dict(os.environ, PULSE_CONFIG=f'{d}/daemon.conf', PULSE_RUNTIME_PATH=f'{d}/pulse-rt', XDG_RUNTIME_DIR=d,
                 PULSE_COOKIE=f'{d}/cookie', PULSE_STATE_PATH=f'{d}/pulse-state')
        for k in ('PULSE_SERVER', 'PULSE_SINK'): e.pop(k, None)
        if self.backend == 'dac' and not os.environ.get('RIG_NO_SHIM'): e.update(LD_PRELOAD=build('fionread.so'), RIG_VDAC_SHM=f'{d}/vdac.shm')
        os.makedirs(f'{d}/pulse-rt', exist_ok=True); os.makedirs(f'{d}/pulse-state', exist_ok=True)
        self.pa = subprocess.Popen(a, env=e, stdout=open(f'{d}/pulse.log', 'w'), stderr=subprocess.STDOUT,
                                   stdin=subprocess.DEVNULL)
        self.procs.append(self.pa)
        for _ in range(100):
            time.sleep(0.1)
            r = subprocess.run(['pactl', 'list', 'short', 'sinks'], env=self.env(0), capture_output=True, text=True)
            if r.returncode == 0 and r.stdout.count('\n') >= self.n: break
        else:
            raise RuntimeError('pulseaudio did not start: ' + open(f'{d}/pulse.log').read()[-2000:])
        boost(self.pa.pid)
        if self.backend == 'dac':
            self.rec = subprocess.Popen([build('vdac'), d, os.environ.get('VDAC_TICK_US', '1000'), str(self.pipe)] +
                                        [f'{d}/fifo{k}:{self.ppm[k]}' for k in range(self.n)], stdin=subprocess.DEVNULL)
            # a silent stream per sink keeps its FIFO full; else a player's first second sees the FIFO fill up, which sends
            # libpulse's clock smoother 10 ms astray for 10 s (a real card does not do that)
            for k in range(self.n):
                self.procs.append(subprocess.Popen(['pacat', '-p', '-d', f'p{k}', '--raw', '--format=float32le', '--rate=48000', '--channels=2',
                    '--latency-msec=500', '--client-name=rig-keepalive', '/dev/zero'], env=self.env(k), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        else:
            self.rec = subprocess.Popen(['parec', '-d', 'master.monitor', '--raw', '--format=float32le', '--rate=48000',
                                         f'--channels={2*self.n}', '--latency-msec=50', f'--channel-map={cm}'],
                                        env=self.env(0), stdout=open(f'{d}/master.f32', 'wb'), stdin=subprocess.DEVNULL)
            self.t0 = time.monotonic() + 0.02
        self.procs.append(self.rec)
        time.sleep(0.6)

    def lengthen(self, k, ms):
        """the sound of card k takes a way that is longer by ms from now on, and the card says so"""
        with open(f'{self.dir}/vdac.shm', 'r+b') as f:              # struct Shared of vdac.h
            m = mmap.mmap(f.fileno(), 0); struct.pack_into('<q', m, 24 + 32 * k + 24, round(ms * 48)); m.close()

    def stop(self):
        for p in reversed(self.procs):
            if p.poll() is None:
                p.send_signal(signal.SIGTERM)
                try: p.wait(15)
                except subprocess.TimeoutExpired: p.kill(); p.wait()
        self.procs = []
        if self.backend == 'null':
            n = os.path.getsize(f'{self.dir}/master.f32') // (8 * self.n)
            json.dump(dict(t0=self.t0, null=True, cards=[dict(k=k, ppm=0, rate=48000.0, frames=n) for k in range(self.n)]),
                      open(f'{self.dir}/vdac.json', 'w'))

def load(workdir):
    """-> (t0, [ (frames[n,2] float32, rate) ... ], meta)"""
    m = json.load(open(f'{workdir}/vdac.json'))
    if m.get('null'):
        n = len(m['cards'])
        x = np.fromfile(f'{workdir}/master.f32', '<f4')
        x = x[:len(x) // (2 * n) * 2 * n].reshape(-1, 2 * n)
        return m['t0'], [(np.ascontiguousarray(x[:, 2*k:2*k+2]), 48000.0) for k in range(n)], m
    return m['t0'], [(np.fromfile(f'{workdir}/dac{c["k"]}.f32', '<f4').reshape(-1, 2), c['rate']) for c in m['cards']], m
