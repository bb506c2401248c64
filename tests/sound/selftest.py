#!/usr/bin/env python3
"""What is the rig's own error?   selftest.py [synth] [native] [browser] [--reps 3] [--secs 20]
synth    recordings made by arithmetic: known offsets, fractional shifts, inserted glitches -> analysis error
native   three libpulse streams that report, each second, what PulseAudio says is being heard; compared with what the
         virtual sound cards recorded -> error of the latency report any player has to rely on, and wander
browser  three Chromium pages scheduled once by the wall clock with offsets 0/100/480 samples -> what a page can do"""
import argparse, asyncio, ctypes, json, os, shutil, statistics as st, sys, threading, time
HERE = os.path.dirname(os.path.abspath(__file__)); sys.path[:0] = [HERE, f'{HERE}/lib']; sys.dont_write_bytecode = True
import numpy as np, analyze as A, audio, place

def synth(ref):
    n = 48000 * 20
    b = ref.st[48000 * 5:48000 * 5 + n].astype(float)
    def frac(d):
        f = np.fft.rfftfreq(n); return np.fft.irfft(np.fft.rfft(b, axis=0) * np.exp(-2j * np.pi * f * d)[:, None], n, axis=0)
    ds = [0, 100, 480, 0.25, -3.7, 0.01]
    rng = np.random.default_rng(1)
    recs = [(np.round(frac(d) * 32767).astype(np.float32) / 32768, 48000.0) for d in ds]
    recs.append(((frac(0) + rng.standard_normal((n, 2)) * 0.014).astype(np.float32), 48000.0)); ds.append(0)     # 20 dB SNR
    out, _ = A.analyze(ref, recs, 0.0, settle=1)
    w = 0
    for q in out['pairs']:
        i, j = int(q['a'][1:]), int(q['b'][1:])
        e = abs(q['offset_us']['signed_median'] - (ds[j] - ds[i]) * A.US); w = max(w, e, abs(q['offset_us']['max'] - abs(q['offset_us']['signed_median'])))
    print(f'synth: {len(out["pairs"])} pairs with known offsets (0..480 samples, fractions, 20 dB noise): largest error {w:.2f} us in 1 s windows, '
          f'10 ms windows {max(q["offset_us_10ms"]["max"] - abs(q["offset_us_10ms"]["signed_median"]) for q in out["pairs"]):.2f} us')
    y = b.copy(); k = 48000
    y = np.concatenate([y[:5 * k], y[5 * k + 1:]])                   # 1 sample lost at 5 s
    y = np.concatenate([y[:8 * k], y[8 * k - 48:]])                  # 48 repeated at 8 s
    y[12 * k:12 * k + 960] = 0                                       # 20 ms silence at 12 s
    y = np.concatenate([y[:15 * k], y[15 * k + 960:], np.zeros((960, 2))])[:n]   # 20 ms skipped at 15 s
    out, _ = A.analyze(ref, [(b.astype(np.float32), 48000.0), (y.astype(np.float32), 48000.0)], 0.0, settle=1)
    p = out['players'][1]
    print('synth glitches: expected jumps (5 s, +1) (8 s, -48) (15 s, +960) and one 20 ms dropout at 12 s; found', p['jump_list'], p['dropouts']['list'])
    ok = w < 0.2 and [round(d) for _, d in p['jump_list']] == [1, -48, 960] and [l for _, l in p['dropouts']['list']] == [20.0] and not out['players'][0]['jump_list']
    print('synth', 'OK' if ok else 'FAILED'); return ok

class Spec(ctypes.Structure): _fields_ = [('format', ctypes.c_int), ('rate', ctypes.c_uint32), ('channels', ctypes.c_uint8)]
class Attr(ctypes.Structure): _fields_ = [(n, ctypes.c_uint32) for n in ('maxlength', 'tlength', 'prebuf', 'minreq', 'fragsize')]

def native(ref, secs, backend='dac', ppm=(0, 0, 0), tl=(40, 80, 160)):
    d = f'{place.HOME}/out/selftest'; shutil.rmtree(d, ignore_errors=True)
    au = audio.Audio(d, 3, list(ppm), backend); au.start()
    L = ctypes.CDLL('libpulse-simple.so.0'); L.pa_simple_new.restype = ctypes.c_void_p
    L.pa_simple_get_latency.restype = ctypes.c_uint64; L.pa_simple_get_latency.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)]
    L.pa_simple_write.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_int)]; L.pa_simple_free.argtypes = [ctypes.c_void_p]
    x = (ref.st * 32768).astype('<i2')
    said = [[] for _ in range(3)]
    def run(k):
        e = ctypes.c_int(0); s = Spec(3, 48000, 2); a = Attr(2**32 - 1, tl[k] * 192, 2**32 - 1, 2**32 - 1, 2**32 - 1)
        h = L.pa_simple_new(f'unix:{au.sock}'.encode(), b'selftest', 1, f'p{k}'.encode(), b's', ctypes.byref(s), None, ctypes.byref(a), ctypes.byref(e))
        if not h: raise RuntimeError('pa_simple_new')
        n, i = 0, 0
        while n < secs * 48000:
            L.pa_simple_write(h, x[n:n + 480].tobytes(), 1920, ctypes.byref(e)); n += 480; i += 1
            if i % 10 == 0:
                t0 = time.monotonic(); l = L.pa_simple_get_latency(h, ctypes.byref(e)); t1 = time.monotonic()
                if t1 - t0 < 0.003: said[k].append(((t0 + t1) / 2, n - l * 0.048))
        L.pa_simple_free(h)
    th = [threading.Thread(target=run, args=(k,)) for k in range(3)]
    for t in th: t.start()
    for t in th: t.join()
    au.stop()
    t0, recs, m = audio.load(d)
    out, dat = A.analyze(ref, recs, t0, settle=3)
    for k in range(3):
        err = []
        for t, pos in said[k]:
            g = t - t0
            e = np.interp(g, dat['grid'], dat['E'][k])
            if np.isfinite(e) and g > dat['starts'][k] + 2: err.append((pos - (e + g * 48000)) / 48)      # ms said ahead of heard
        err = np.array(err); err -= np.round(err / (ref.n / 48)) * (ref.n / 48)
        print(f'native {backend}: stream {k} (buffer {tl[k]} ms, card {ppm[k]:+} ppm): reported minus real position: median {np.median(err):+.3f} ms, '
              f'p5..p95 {np.percentile(err,5):+.3f}..{np.percentile(err,95):+.3f}, n={len(err)};  measured drift {out["players"][k].get("drift_ppm_vs_clock")} ppm, '
              f'jumps {len(out["players"][k]["jump_list"])}, dropouts {out["players"][k]["dropouts"]["count"]}')
    for q in out['pairs']: print('   ', q['a'], q['b'], 'wander rms', q.get('wander_us_rms'), 'us, drift', q['drift_ppm'], 'ppm')
    shutil.rmtree(d, ignore_errors=True)
    return True

def browser_(reps, secs, how, backend):
    import run as R
    errs, its = [], []
    for r in range(reps):
        sys.argv = ['run.py', '--peer', f'{HERE}/peers/cal.toml', '--dur', str(secs), '--settle', '8', '--out', f'{place.HOME}/out/selftest-b', '--set', f'how={how}', '--backend', backend]
        import io, contextlib
        b = io.StringIO()
        with contextlib.redirect_stdout(b):
            try: R.main()
            except SystemExit: pass
        f = max((os.path.join(dp, x) for dp, _, fs in os.walk(f'{place.HOME}/out/selftest-b') for x in fs if x.startswith('result')), key=os.path.getmtime)
        o = json.load(open(f)); off = dict(web1=0, web2=100, web3=480)
        line = []
        for q in o['pairs']:
            if not q['offset_us']: continue
            e = q['offset_us']['signed_median'] - (off[q['b']] - off[q['a']]) * A.US
            clean = all(p['dropouts']['count'] == 0 and not p['jump_list'] for p in o['players'] if p['name'] in (q['a'], q['b']))
            line.append(f'{q["a"]}-{q["b"]} {e:+.0f}us{"" if clean else " (glitched)"} wander {q.get("wander_us_rms")}')
            if clean: errs.append(abs(e)); its.append(q.get('wander_us_rms') or 0)
        print(f'browser how={how} {backend} rep {r}: ', '; '.join(line), '| others', o['load']['others_pct'], '% psi', o['load']['psi_some_pct'], '%', flush=True)
    if errs: print(f'browser how={how} {backend}: |measured - scheduled| median {st.median(errs):.0f} us, max {max(errs):.0f} us, wander rms max {max(its):.2f} us  ({len(errs)} clean pairs)')
    shutil.rmtree(f'{place.HOME}/out/selftest-b', ignore_errors=True)

if __name__ == '__main__':
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('what', nargs='*', default=['synth', 'native', 'browser']); ap.add_argument('--reps', type=int, default=3); ap.add_argument('--secs', type=float, default=20)
    ap.add_argument('--how', default='ts'); ap.add_argument('--backend', default='dac'); ap.add_argument('--marker', default=place.MARKER)
    a = ap.parse_args(); ref = A.Ref(a.marker)
    if 'synth' in a.what: synth(ref)
    if 'native' in a.what:
        native(ref, a.secs, a.backend)
        if a.backend == 'dac': native(ref, a.secs, 'dac', (0, 60, -60))
    if 'browser' in a.what: browser_(a.reps, a.secs, a.how, a.backend)
