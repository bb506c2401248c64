#!/usr/bin/env python3
"""How well are N recordings of one known track in sync?

usage: analyze.py RUNDIR [--ref marker.wav] [--json out.json] [--plot out.png]
       analyze.py --wav multichannel.wav [--ref marker.wav]      (channel pairs = players, one 48 kHz clock)
RUNDIR is what run.py leaves (vdac.json + dacK.f32, optional events.json).

Method: every 10 ms a 20 ms window of each player is located in the reference (normalised cross-correlation, then a
weighted phase-slope fit for the sub-sample part), tracked from window to window and re-acquired over the whole track
when lost.  Position minus elapsed time = lag.  Offsets are lag differences at equal times, medians over 1 s windows.
"""
import argparse, json, os, sys, wave
import numpy as np
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib')); sys.dont_write_bytecode = True
import place
SR, HOP, WIN, SRCH, DEC = 48000, 480, 960, 512, 8
US = 1e6 / SR

def read_wav(path):
    w = wave.open(path, 'rb'); n, c, b = w.getnframes(), w.getnchannels(), w.getsampwidth()
    d = w.readframes(n)
    x = {2: lambda: np.frombuffer(d, '<i2').astype(np.float32) / 32768,
         4: lambda: np.frombuffer(d, '<i4').astype(np.float32) / 2**31}[b]()
    return x.reshape(-1, c), w.getframerate()

class Ref:
    def __init__(self, path):
        x, sr = read_wav(path)
        assert sr == SR
        self.st = x
        self.x = x.mean(1).astype(np.float64)
        self.n = len(self.x)
        self.w = np.concatenate([self.x, self.x[:4 * WIN + 4 * SRCH]])          # looped
        from scipy.signal import firwin
        self.lp = firwin(129, 0.8 / DEC)
        c = self.coarse(np.concatenate([self.x[-64:], self.x, self.x[:64]]))
        self.nc = self.n // DEC
        self.C = np.conj(np.fft.rfft(c[64 // DEC:64 // DEC + self.nc]))
    def coarse(self, x):
        from scipy.signal import oaconvolve
        return oaconvolve(x, self.lp, mode='same')[::DEC]
    def seg(self, pos, n):
        """n reference samples from integer positions pos (array) -> [len(pos), n]"""
        return self.w[(pos % self.n)[:, None] + np.arange(n)]
    def acquire(self, x):
        """position of x (>=2400 samples) in the track, or None; sigma of the peak"""
        c = self.coarse(x)
        X = np.fft.rfft(c, self.nc)
        r = np.fft.irfft(np.conj(X * self.C), self.nc)      # r[p] = sum x[m] ref[m+p]
        p = int(np.argmax(r)); s = r[p] / (r.std() + 1e-30)
        return (p * DEC, s) if s > 9 else (None, s)

HANN = np.hanning(WIN)
F = np.fft.rfftfreq(WIN, 1 / SR)
BAND = (F > 300) & (F < 12000)
LOW = (F > 300) & (F < 4000)
NF = 2048

def match(ref, X, pos):
    """frames X[m,WIN], predicted integer positions -> (delta int, rho) within +-SRCH"""
    R = ref.seg(pos - SRCH, WIN + 2 * SRCH)
    c = np.fft.irfft(np.conj(np.fft.rfft(X, NF)) * np.fft.rfft(R, NF), NF)[:, :2 * SRCH + 1]
    cs = np.cumsum(np.pad(R * R, ((0, 0), (1, 0))), 1)
    e = cs[:, WIN:WIN + 2 * SRCH + 1] - cs[:, :2 * SRCH + 1]
    rho = c / np.sqrt(e * (X * X).sum(1)[:, None] + 1e-20)
    k = np.argmax(rho, 1)
    return k - SRCH, rho[np.arange(len(k)), k]

def fine(ref, X, pos):
    """sub-sample correction, residual (1-coherence, 300..4000 Hz), gain"""
    A = np.fft.rfft(X * HANN, axis=1); B = np.fft.rfft(ref.seg(pos, WIN) * HANN, axis=1)
    S = A * np.conj(B)
    def fit(S):
        f = F[BAND]; s = S[:, BAND]; w = np.abs(s)
        return (w * f * np.angle(s)).sum(1) / (2 * np.pi * (w * f * f).sum(1) + 1e-30) * SR
    tau = fit(S)
    S2 = S * np.exp(-2j * np.pi * F * tau[:, None] / SR)
    tau += fit(S2)
    S2 = S * np.exp(-2j * np.pi * F * tau[:, None] / SR)
    num = S2[:, LOW].sum(1).real
    a2, b2 = (np.abs(A[:, LOW])**2).sum(1), (np.abs(B[:, LOW])**2).sum(1)
    return tau, 1 - np.clip(num, 0, None)**2 / (a2 * b2 + 1e-30), num / (b2 + 1e-30)

def track(ref, st, thr=0.6):
    x = st.mean(1).astype(np.float64)
    nf = (len(x) - WIN) // HOP
    idx = np.arange(nf) * HOP
    fr = np.lib.stride_tricks.sliding_window_view(x, WIN)[::HOP][:nf]
    rms = np.sqrt((fr * fr).mean(1))
    pos = np.full(nf, np.nan); rho = np.zeros(nf); res = np.full(nf, np.nan); gain = np.full(nf, np.nan)
    loud = rms > 1e-4
    k, cur, retry, acq = 0, None, 0, []
    while k < nf:
        if not loud[k]:
            nx = np.argmax(loud[k:]) if loud[k:].any() else nf - k
            k += max(1, nx); retry = k; continue
        if cur is not None:                       # cur = lag: ref position = idx + cur
            m = min(64, nf - k)
            d, r = match(ref, fr[k:k + m], idx[k:k + m] + cur)
            bad = (r < thr) | (np.abs(d) > SRCH - 8) | ~loud[k:k + m]
            ng = int(np.argmax(bad)) if bad.any() else m
            if ng:
                p = idx[k:k + ng] + cur + d[:ng]
                t, rs, g = fine(ref, fr[k:k + ng], p)
                pos[k:k + ng] = p + t; rho[k:k + ng] = r[:ng]; res[k:k + ng] = rs; gain[k:k + ng] = g
                cur = int(round(cur + d[ng - 1])); k += ng
                # keep the prediction centred for continuous rate changes
                continue
        if k >= retry:
            got = None
            for L in (4800, 9600, 24000):
                if idx[k] + L > len(x): break
                p, s = ref.acquire(x[idx[k]:idx[k] + L])
                if p is not None:
                    # check at full rate with the last frame inside the window, then the first
                    d, r = match(ref, fr[k:k + 1], np.array([p]))
                    if r[0] >= thr: got = p + d[0]; break
                    q = k + (L - WIN) // HOP
                    if q < nf:
                        d, r = match(ref, fr[q:q + 1], np.array([p + (q - k) * HOP]))
                        if r[0] >= thr: got = p + d[0]; break
            if got is not None:
                new = int(got) - idx[k]
                acq.append([int(k), int(new)])
                if new == cur or match(ref, fr[k:k+1], np.array([idx[k] + new]))[1][0] < thr:
                    k += 1                          # this frame straddles a break
                cur = new
                continue
            retry = k + 5
        k += 1
    return dict(n=idx + WIN // 2, pos=pos + WIN // 2, rho=rho, res=res, gain=gain, rms=rms, acq=acq)

def wrap(d, n):
    return (d + n / 2) % n - n / 2

def jumps(lag, ok, thr=0.5):
    """position jumps > thr samples against lines fitted to the 4 windows before and after"""
    idx = np.flatnonzero(ok)
    out = []
    if len(idx) < 12: return out, thr
    y = lag[idx]; t = idx.astype(float)
    m = 4
    tt = np.arange(m) - (m - 1) / 2; den = (tt * tt).sum()
    W = np.lib.stride_tricks.sliding_window_view(y, m)
    T = np.lib.stride_tricks.sliding_window_view(t, m)
    mean = W.mean(1); slope = (W * tt).sum(1) / den; tm = T.mean(1)
    contiguous = (T[:, -1] - T[:, 0]) == m - 1
    resid = np.abs(W - mean[:, None] - slope[:, None] * tt).max(1)
    # before: window ending at j-1 ; after: window starting at j+1 (frame j itself excluded)
    j = np.arange(m, len(y) - m - 1)
    b, a = j - m, j + 1
    mid = t[j]
    # same slope on both sides is not assumed; extrapolate both to the middle
    D = (mean[a] + slope[a] * (mid - tm[a])) - (mean[b] + slope[b] * (mid - tm[b]))
    good = contiguous[a] & contiguous[b] & (resid[a] < 0.25) & (resid[b] < 0.25)
    if good.any(): thr = max(thr, 5 * 1.4826 * float(np.median(np.abs(D[good]))))   # lossy codecs blur the position
    c = (np.abs(D) > thr) & good
    js = np.flatnonzero(c)
    groups = np.split(js, np.flatnonzero(np.diff(js) > 3) + 1) if len(js) else []
    for g in groups:
        q = g[np.argmax(np.abs(D[g]))]
        out.append([int(idx[j[q]]), float(D[q])])
    return out, thr

def coarse_jumps(lag, ok):
    """jumps >= 2 samples between neighbouring good windows (also across holes)"""
    idx = np.flatnonzero(ok)
    if len(idx) < 4: return []
    y = lag[idx]; d = np.diff(y); gap = np.diff(idx)
    out = []
    i = 0
    while i < len(d):
        if abs(d[i]) > 2 + 10 * (gap[i] - 1) * 0.2 and abs(d[i]) > 2:
            s = d[i]; k = i
            while k + 1 < len(d) and k - i < 3 and abs(d[k + 1]) > 2: k += 1; s += d[k]
            out.append([int(idx[i + 1]), float(s)]); i = k + 1
        else: i += 1
    return out

def zero_runs(st, n0, n1, thr, minlen=24):
    z = (np.abs(st[n0:n1]) < thr).all(1)
    e = np.flatnonzero(np.diff(np.concatenate([[0], z.view(np.int8), [0]])))
    s, l = e[::2], e[1::2] - e[::2]
    m = l >= minlen
    return [(int(a + n0), int(b)) for a, b in zip(s[m], l[m])]

def stats(v):
    v = np.asarray(v, float); v = v[np.isfinite(v)]
    if not len(v): return None
    a = np.abs(v)
    return dict(n=len(v), signed_median=round(float(np.median(v)), 2), median=round(float(np.median(a)), 2),
                p95=round(float(np.percentile(a, 95)), 2), max=round(float(a.max()), 2))

def theil(t, y):
    m = np.isfinite(y); t, y = t[m], y[m]
    if len(t) < 5: return None
    i, j = np.triu_indices(len(t), max(1, len(t) // 4))
    return float(np.median((y[j] - y[i]) / (t[j] - t[i])))

def analyze(ref, recs, t0, players=None, settle=15.0, end_guard=1.0, events=None):
    """recs: [(frames[n,2], rate)], players: [dict(name, click=monotonic seconds or None, stop=...)]"""
    N = len(recs)
    players = players or [dict(name=f'p{i}') for i in range(N)]
    import warnings; warnings.filterwarnings('ignore', 'All-NaN|Mean of empty')
    tr = [track(ref, st) for st, _ in recs]
    T = min(len(st) / r for st, r in recs)
    grid = np.arange(0.02, T - 0.02, HOP / SR)                       # common time, seconds after t0
    E = np.full((N, len(grid)), np.nan)                              # lag on the common clock, samples
    out = dict(duration_s=round(T, 2), players=[], pairs=[])
    for i, (st, rate) in enumerate(recs):
        t = tr[i]; tm = t['n'] / rate
        ok = np.isfinite(t['pos'])
        P = dict(name=players[i].get('name', f'p{i}'), ppm_dac=round((rate / SR - 1) * 1e6, 3))
        out['players'].append(P)
        if ok.sum() < 20:
            P['silent'] = True; continue
        lag_dac = t['pos'] - t['n']
        base = np.nanmedian(lag_dac)
        lag_dac = np.where(ok, wrap(lag_dac - base, ref.n) + base, np.nan)
        lag = lag_dac + t['n'] - tm * SR                              # against true time
        f0, f1 = np.flatnonzero(ok)[0], np.flatnonzero(ok)[-1]
        # interpolate to the common grid, only between adjacent good windows
        gi = np.interp(grid, tm, np.arange(len(tm))); lo = np.floor(gi).astype(int).clip(0, len(tm) - 2); fr_ = gi - lo
        E[i] = np.where(ok[lo] & ok[lo + 1], lag[lo] * (1 - fr_) + lag[lo + 1] * fr_, np.nan)
        E[i][np.abs(lag[lo] - lag[lo + 1]) > 48] = np.nan
        quiet = 0.003 * float(np.median(t['rms'][ok]))                # 50 dB below the player's level
        nz = np.flatnonzero(np.abs(st[:, 0]) > quiet)
        n0, n1 = int(nz[0]), int(nz[-1])
        P['first_sound_s'] = round(n0 / rate, 3); P['last_sound_s'] = round(n1 / rate, 3)
        P['first_track_pos_s'] = round(float((t['pos'][f0] % ref.n) / SR), 3)
        click = players[i].get('click')
        if click is not None: P['join_to_sound_s'] = round(t0 + n0 / rate - click, 3)
        stop = players[i].get('stop')
        g1 = min(n1, int((stop - t0) * rate)) if stop else n1
        zr = zero_runs(st, n0, g1, quiet)
        js, jt = jumps(lag_dac, ok); cj = coarse_jumps(lag_dac, ok)
        P['jump_threshold_smp'] = round(jt, 2)
        seen = [k for k, _ in js]
        for k, d in cj:
            if all(abs(k - s) > 8 for s in seen): js.append([k, d])
        js.sort()
        js = [(k * HOP / rate, d) for k, d in js if k * HOP < g1]
        a = np.array([abs(d) for _, d in js]) if js else np.zeros(0)
        P['jumps'] = dict(micro_lt2smp=int((a < 2).sum()), small_lt1ms=int(((a >= 2) & (a < 48)).sum()),
                          big_ge1ms=int((a >= 48).sum()), abs_sum_ms=round(float(a.sum()) / 48, 3),
                          largest=[[round(s, 2), round(d / 48, 3)] for s, d in sorted(js, key=lambda q: -abs(q[1]))[:8]])
        P['jump_list'] = [[round(s, 2), round(d, 2)] for s, d in js][:4000]
        P['dropouts'] = dict(count=len(zr), total_ms=round(sum(l for _, l in zr) / 48, 2),
                             longest_ms=round(max([l for _, l in zr] or [0]) / 48, 2),
                             list=[[round(s / rate, 3), round(l / 48, 2)] for s, l in zr][:200])
        span = slice(f0, f1 + 1)
        live = t['rms'][span] > 1e-3
        P['lost_windows_pct'] = round(100 * float((~ok[span] & live).mean()), 3)
        P['damaged_windows_pct'] = round(100 * float((t['res'][span][ok[span]] > 0.25).mean()), 3)
        P['residual_db_median'] = round(10 * float(np.log10(np.nanmedian(t['res'][span]) + 1e-12)), 1)
        kk = np.flatnonzero(ok)[:: max(1, ok.sum() // 400)]
        gl = []
        for ch in (0, 1):
            A = np.stack([st[k * HOP:k * HOP + WIN, ch] for k in kk]); q = np.round(t['pos'][kk] - WIN // 2).astype(int)
            R = ref.st[:, ch][(q[:, None] + np.arange(WIN)) % ref.n]
            gl.append(float(np.median(np.sqrt((A * A).sum(1) / (R * R).sum(1)))))
        P["level_db"] = [round(float(20 * np.log10(g + 1e-9)), 2) for g in gl]
    # 1 s medians
    ns = int(T) ; per = int(SR / HOP)
    sec = np.arange(ns)
    S = np.full((N, ns), np.nan)
    for i in range(N):
        for s in range(ns):
            w = E[i][s * per:(s + 1) * per]; w = w[np.isfinite(w)]
            if len(w) >= 30: S[i, s] = np.median(w)
    starts = [p.get('first_sound_s') for p in out['players']]
    stops = [((players[i].get('stop') or 1e18) - t0) for i in range(N)]
    def joined(i):
        c = players[i].get('click')
        return max(starts[i], (c - t0) if c else 0)
    audible = [i for i in range(N) if starts[i] is not None]
    med_first = {}
    for i in audible:
        P = out['players'][i]
        m = (sec >= joined(i) + settle) & (sec < min(stops[i], P['last_sound_s']) - end_guard)
        y = np.where(m, S[i], np.nan)
        sl = theil(sec.astype(float), y)
        P['drift_ppm_vs_clock'] = None if sl is None else round(sl / SR * 1e6, 3)
        # convergence against the median of the others
        oth = [j for j in audible if j != i]
        if oth:
            o = np.nanmedian(np.stack([wrap(E[i] - E[j], ref.n) for j in oth]), 0) / 48   # ms
            for lim in (1.0, 5.0, 20.0):
                ok = np.abs(o) < lim
                fin = np.isfinite(o)
                for k in np.flatnonzero(ok & (grid >= starts[i])):
                    w = slice(k, k + 500)
                    if fin[w].sum() > 250 and (ok[w] | ~fin[w]).all():
                        P[f'sync_within_{lim:g}ms_s'] = round(float(grid[k] - starts[i]), 2)
                        if players[i].get('click') is not None:
                            P[f'click_to_{lim:g}ms_s'] = round(float(t0 + grid[k] - players[i]['click']), 2)
                        break
    series = {}
    for a in range(len(audible)):
        for b in range(a + 1, len(audible)):
            i, j = audible[a], audible[b]
            lo = max(joined(i), joined(j)) + settle
            hi = min(stops[i], stops[j], out['players'][i]['last_sound_s'], out['players'][j]['last_sound_s']) - end_guard
            d1 = wrap(S[i] - S[j], ref.n) * US
            dE = wrap(E[i] - E[j], ref.n) * US
            m = (sec >= lo) & (sec + 1 <= hi)
            mE = (grid >= lo) & (grid <= hi)
            sl = theil(sec.astype(float), np.where(m, d1, np.nan))
            q = dict(a=out['players'][i]['name'], b=out['players'][j]['name'], from_s=round(lo, 1), to_s=round(hi, 1),
                     offset_us=stats(np.where(m, d1, np.nan)), offset_us_10ms=stats(np.where(mE, dE, np.nan)),
                     offset_us_whole=stats(d1), drift_ppm=None if sl is None else round(sl, 3))
            q['same_kind'] = players[i].get('kind') == players[j].get('kind')
            # time from the later click (or first sound) until the pair stays within a limit for 5 s
            st0 = max(joined(i), joined(j)); o = np.abs(dE) / 1000
            fin = np.isfinite(o)
            ref_off = np.nanmedian(np.where(mE, dE, np.nan)) / 1000 if mE.any() and np.isfinite(dE[mE]).any() else np.nan
            def first(okv, frm, hold=5.0):
                n5 = int(hold * per)
                for k in np.flatnonzero(okv & fin & (grid >= frm)):
                    w = slice(k, k + n5)
                    if fin[w].sum() > n5 * 0.8 and (okv[w] | ~fin[w]).all(): return round(float(grid[k] - frm), 2)
                return None
            q['to_1ms_s'], q['to_5ms_s'], q['to_20ms_s'] = first(o < 1, st0), first(o < 5, st0), first(o < 20, st0)
            q['to_final_1ms_s'] = first(np.abs(dE / 1000 - ref_off) < 1, st0) if np.isfinite(ref_off) else None
            for e in events or []:
                if e.get('what') == 'net' and e.get('outage') is False and e['player'] in (q['a'], q['b']):
                    q['outage_recover_s'] = dict(to_5ms=first(o < 5, e['t'], 3.0), to_1ms=first(o < 1, e['t'], 3.0))
            y = d1[m]; y = y[np.isfinite(y)]
            if len(y) > 4: q['wander_us_rms'] = round(float(np.std(y - np.median(y))), 2)
            out['pairs'].append(q); series[f'{q["a"]}-{q["b"]}'] = [None if not np.isfinite(v) else round(float(v), 1) for v in d1]
    if len(audible) > 1:
        lo = max(joined(i) for i in audible) + settle
        hi = min(min(stops[i], out['players'][i]['last_sound_s']) for i in audible) - end_guard
        m = (sec >= lo) & (sec + 1 <= hi)
        def spread(M):
            r = M[audible]; r = wrap(r - r[0], ref.n)
            return np.where(np.isfinite(r).all(0), r.max(0) - r.min(0), np.nan) * US
        out['spread_us'] = stats(np.where(m, spread(S), np.nan))
        out['spread_us_10ms'] = stats(np.where((grid >= lo) & (grid <= hi), spread(E), np.nan))
    out['offset_series_us_per_s'] = series
    return out, dict(grid=grid, E=E, S=S, starts=starts)

def plot(path, out, d, ref):
    try:
        import matplotlib; matplotlib.use('Agg'); import matplotlib.pyplot as plt
    except ImportError:
        print('no matplotlib: no plot'); return
    al = [i for i, p in enumerate(out['players']) if not p.get('silent')]
    if not al: return
    r = np.nanmedian(wrap(d['E'][al] - d['E'][al[0]], ref.n), 0) + d['E'][al[0]]
    fig, ax = plt.subplots(figsize=(12, 5))
    for i in al:
        ax.plot(d['grid'], wrap(d['E'][i] - r, ref.n) / 48, '.', ms=1.5, label=out['players'][i]['name'])
    ax.set_xlabel('s'); ax.set_ylabel('ms against the median player'); ax.grid(alpha=.3); ax.legend()
    fig.tight_layout(); fig.savefig(path, dpi=90)

def table(out):
    L = []
    for p in out['players']:
        if p.get('silent'): L.append(f"{p['name']:14s} SILENT"); continue
        L.append(f"{p['name']:14s} join {p.get('join_to_sound_s')}s  <1ms@{p.get('click_to_1ms_s', p.get('sync_within_1ms_s'))}s  <5ms@{p.get('click_to_5ms_s', p.get('sync_within_5ms_s'))}s  "
                 f"drift {p.get('drift_ppm_vs_clock')}ppm  jumps {p['jumps']['micro_lt2smp']}/{p['jumps']['small_lt1ms']}/{p['jumps']['big_ge1ms']} ({p['jumps']['abs_sum_ms']}ms)  "
                 f"dropouts {p['dropouts']['count']} ({p['dropouts']['total_ms']}ms, max {p['dropouts']['longest_ms']})  lost {p['lost_windows_pct']}% damaged {p['damaged_windows_pct']}%  res {p['residual_db_median']}dB  level {p['level_db']}")
    for q in out['pairs']:
        o, w = q['offset_us'], q['offset_us_10ms']
        L.append(f"  {q['a']} - {q['b']}: " + (f"{q['from_s']}..{q['to_s']}s  |off| median {o['median']} p95 {o['p95']} max {o['max']} us (signed {o['signed_median']}), 10ms max {w['max']}, wander {q.get('wander_us_rms')}, drift {q['drift_ppm']} ppm" if o else 'no common time'))
    if out.get('spread_us'):
        s = out['spread_us']; L.append(f"  spread: median {s['median']} p95 {s['p95']} max {s['max']} us")
    return '\n'.join(L)

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('rundir', nargs='?'); ap.add_argument('--wav'); ap.add_argument('--ref', default=None)
    ap.add_argument('--json'); ap.add_argument('--plot'); ap.add_argument('--settle', type=float, default=15)
    a = ap.parse_args()
    ref = Ref(a.ref or place.MARKER)
    ev = {}
    if a.wav:
        x, sr = read_wav(a.wav); assert sr == SR
        t0, recs = 0.0, [(x[:, 2*k:2*k+2], float(SR)) for k in range(x.shape[1] // 2)]; meta = {}
    else:
        import audio
        t0, recs, meta = audio.load(a.rundir)
        if os.path.exists(f'{a.rundir}/events.json'): ev = json.load(open(f'{a.rundir}/events.json'))
    out, d = analyze(ref, recs, t0, ev.get('players'), a.settle)
    if meta: out['rig'] = {k: v for k, v in meta.items() if k != 'cards'} | dict(
        underrun_frames=[c.get('underrun_frames') for c in meta['cards']],
        underrun_events=[c.get('underrun_events', [])[:10] for c in meta['cards']])
    for k in ('cond', 'peer', 'load', 'events', 'impaired', 'name'):
        if k in ev: out[k] = ev[k]
    j = a.json or (f'{a.rundir}/result.json' if a.rundir else None)
    if j: json.dump(out, open(j, 'w'), indent=1)
    if a.plot: plot(a.plot, out, d, ref)
    print(table(out))
    return out

if __name__ == '__main__': main()
