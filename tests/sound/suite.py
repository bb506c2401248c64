#!/usr/bin/env python3
"""Our own server and page, condition by condition, against the bars that they must meet.   suite.py --bin SERVER [--full]
Short: three pages for half a minute.  --full: every condition, the steady one for ten minutes; takes 40 minutes.
A run in which the machine itself stood still (rig.cpu_stalls) and that misses a bar says nothing and is repeated."""
import argparse, contextlib, io, json, os, shutil, statistics as st, sys
HERE = os.path.dirname(os.path.abspath(__file__)); sys.path[:0] = [HERE, f'{HERE}/lib']; sys.dont_write_bytecode = True
import place, run

TRIES, STALLS_MS = 3, 40        # a run with more than so much of standing still in all may be void
# condition: seconds, bars.  us: offset of the worst pair in 1 s windows once settled (p95, max); dropouts of all players
# together; s: seconds from the later click until a pair stays within 1 ms.
SHORT = {'steady': (30, dict(p95_us=1000, dropouts=0))}
FULL = {
    'steady':   (600, dict(p95_us=150, max_us=1000, dropouts=0, jumps=0)),
    'skew':     (120, dict(p95_us=200, dropouts=0, jumps=0, within_1ms_s=1)),
    'late':     (60, dict(p95_us=200, dropouts=0, within_1ms_s=1)),
    'insecure': (120, dict(p95_us=1000, dropouts=0)),
    'busy':     (60, dict(p95_us=1000, dropouts=0)),
    'throttle': (60, dict(p95_us=1000, dropouts=0)),
    'jitter':   (60, dict(p95_us=1000, dropouts=0)),
    'outage':   (60, dict(p95_us=1000, dropouts=0)),
    'restart':  (90, dict()),
    'hidden':   (60, dict(p95_us=1000, dropouts=0)),
    'route':    (90, dict()),
}

def figures(r):
    pairs = [q for q in r['pairs'] if q.get('offset_us')]
    to = [q.get('to_1ms_s') for q in r['pairs']]
    return dict(p95_us=max((q['offset_us']['p95'] for q in pairs), default=None), max_us=max((q['offset_us']['max'] for q in pairs), default=None),
                median_us=max((q['offset_us']['median'] for q in pairs), default=None),
                dropouts=sum(p['dropouts']['count'] for p in r['players']), dropout_ms=sum(p['dropouts']['total_ms'] for p in r['players']),
                jumps=sum(len(p['jump_list']) for p in r['players']), within_1ms_s=None if None in to else max(to, default=None),
                clicks_s=[p.get('join_to_sound_s') for p in r['players']], stalls_ms=round(sum(x[1] for x in r['rig']['cpu_stalls'])))

def missed(f, bars): return [f'{k} {f[k]}, bar {bar}' for k, bar in bars.items() if f[k] is None or f[k] > bar]

def play(cond, secs, bin_):
    out = f'{place.HOME}/out/suite'; shutil.rmtree(out, ignore_errors=True)
    sys.argv = ['run.py', '--peer', f'{HERE}/peers/partyline.toml', '--set', f'bin={bin_}', '--cond', cond, '--dur', str(secs), '--out', out]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try: run.main()
        except SystemExit: pass
    found = [os.path.join(d, x) for d, _, fs in os.walk(out) for x in fs if x.startswith('result')]
    if not found: raise SystemExit(f'{cond}: no result\n{said.getvalue()}')
    return json.load(open(found[0])), said.getvalue()

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--bin', required=True, help='the server'); ap.add_argument('--full', action='store_true')
    ap.add_argument('--only', help='comma list of conditions'); ap.add_argument('--verbose', action='store_true', help='print the rig\'s tables')
    a = ap.parse_args()
    suite = FULL if a.full else SHORT
    if a.only: suite = {c: FULL[c] for c in a.only.split(',')}
    bad, void, clicks = [], [], []
    for cond, (secs, bars) in suite.items():
        for left in reversed(range(TRIES)):
            r, said = play(cond, secs, os.path.abspath(a.bin))
            f = figures(r); clicks += [c for c in f['clicks_s'] if c is not None]; miss = missed(f, bars)
            print(f"{cond} {secs} s: worst pair median {f['median_us']} p95 {f['p95_us']} max {f['max_us']} us, dropouts {f['dropouts']} ({f['dropout_ms']:.0f} ms), jumps {f['jumps']}, "
                  f"within 1 ms {f['within_1ms_s']} s after the click, click to sound {f['clicks_s']} s; machine stood still {f['stalls_ms']} ms"
                  + (f"; MISSED: {', '.join(miss)}" if miss else ''), flush=True)
            if a.verbose or miss: print(said, end='', flush=True)
            if not miss: break
            # The short form is about the player, and gets as many tries on a busy machine.
            if f['stalls_ms'] <= STALLS_MS and (a.full or not left): bad.append(cond); break
            if not left: void.append(cond)
    if clicks: print(f'click to sound: median {st.median(clicks):.3f}, largest {max(clicks):.3f} s of {len(clicks)}')
    if void: print(f"skipped: {', '.join(void)}: the machine stood still in every one of {TRIES} tries")
    sys.exit(f"bars missed: {', '.join(bad)}" if bad else 0)

if __name__ == '__main__': main()
