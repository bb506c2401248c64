#!/usr/bin/env python3
"""report.py DIR...              table (Markdown) of all result-*.json below, medians over repetitions
   report.py --redo DIR...       first analyse again the recordings kept by run.py --keep
   --max-others 40 leaves out runs made while other jobs used more CPU than that (default: no limit)"""
import argparse, json, os, statistics as st, sys
HERE = os.path.dirname(os.path.abspath(__file__)); sys.path[:0] = [HERE, f'{HERE}/lib']; sys.dont_write_bytecode = True
import place

def redo(f, refs={}):
    import analyze, audio
    d = os.path.dirname(f); r = json.load(open(f))
    if not os.path.exists(f'{d}/audio/vdac.json'): return
    ref = refs.setdefault('r', None) or refs.__setitem__('r', analyze.Ref(place.MARKER)) or refs['r']
    t0, recs, meta = audio.load(f'{d}/audio'); ev = json.load(open(f'{d}/audio/events.json'))
    cards = r.get('cards') or list(range(len(r['players'])))
    pl = r.get('meta_players') or ev['players']
    if len(pl) != len(cards): pl = [pl[k] for k in cards]
    for p in pl: p.setdefault('kind', p['name'].rstrip('0123456789'))
    o, data = analyze.analyze(ref, [recs[k] for k in cards], t0, pl, r.get('settle', 15.0), events=r['events'])
    keep = {k: r[k] for k in ('peer', 'cond', 'load', 'impaired', 'events', 'probes', 'rig', 'when', 'dur', 'together', 'cards', 'settle') if k in r}
    json.dump({**o, **keep, 'meta_players': pl}, open(f, 'w'), indent=1)
    if os.path.exists(f'{d}/plot-{r["peer"]}.png'): analyze.plot(f'{d}/plot-{r["peer"]}.png', o, data, ref)

def med(v):
    v = [x for x in v if x is not None]
    return st.median(v) if v else None
def fmt(x, n=0): return '-' if x is None else f'{x:.{n}f}'

def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('dirs', nargs='+'); ap.add_argument('--redo', action='store_true'); ap.add_argument('--max-others', type=float, default=1e9)
    a = ap.parse_args()
    fs = sorted(os.path.join(dp, f) for d in a.dirs for dp, _, ff in os.walk(d) for f in ff if f.startswith('result-') and f.endswith('.json'))
    if a.redo:
        for f in fs: redo(f)
    rs = [json.load(open(f)) for f in fs]; skipped = sum(r['load']['others_pct'] > a.max_others for r in rs)
    rs = [r for r in rs if r['load']['others_pct'] <= a.max_others]
    keys = []
    for r in rs:
        if (r['peer'], r['cond']) not in keys: keys.append((r['peer'], r['cond']))
    print('Pair offsets, settled part (15 s after the later click .. end), 1 s medians; us. worst = largest 10 ms window. Medians over runs.\n')
    print('| peer | condition | pair kind | hit? | pairs x runs | median | p95 | max | worst | wander rms | drift ppm | <1 ms after s | <5 ms after s |')
    print('|---|---|---|---|---|---|---|---|---|---|---|---|---|')
    for peer, cond in keys:
        R = [r for r in rs if (r['peer'], r['cond']) == (peer, cond)]
        cl = {}
        for r in R:
            imp = set(r.get('impaired') or []) if cond != 'late' else {r['players'][-1]['name']}
            for q in r['pairs']:
                k = '-'.join(sorted((q['a'].rstrip('0123456789'), q['b'].rstrip('0123456789'))))
                cl.setdefault((k, bool({q['a'], q['b']} & imp)), []).append(q)
        for (k, hit), Q in sorted(cl.items()):
            O = [q['offset_us'] for q in Q if q['offset_us']]
            if not O: print(f'| {peer} | {cond} | {k} | {"hit" if hit else ""} | {len(Q)} | no common sound | | | | | | | |'); continue
            t1, t5 = [q.get('to_1ms_s') for q in Q], [q.get('to_5ms_s') for q in Q]
            def t(v): n = sum(x is None for x in v); return fmt(med(v), 1) + (f' ({n}/{len(v)} never)' if n else '')
            print(f'| {peer} | {cond} | {k} | {"hit" if hit else ""} | {len(Q)} | {fmt(med([o["median"] for o in O]))} | {fmt(med([o["p95"] for o in O]))} | {fmt(med([o["max"] for o in O]))} | '
                  f'{fmt(med([q["offset_us_10ms"]["max"] for q in Q if q["offset_us_10ms"]]))} | {fmt(med([q.get("wander_us_rms") for q in Q]), 1)} | {fmt(med([abs(q["drift_ppm"]) for q in Q if q["drift_ppm"] is not None]), 1)} | {t(t1)} | {t(t5)} |')
    print('\nPlayers. jumps = position jumps per minute: under 2 samples / 2..48 samples / 1 ms and more; dropouts per minute.\n')
    print('| peer | condition | player kind | hit? | runs | click to sound s | jumps/min | dropouts/min | dropout ms (total, longest) | lost % | damaged % | level dB | CPU % of a core | silent |')
    print('|---|---|---|---|---|---|---|---|---|---|---|---|---|---|')
    for peer, cond in keys:
        R = [r for r in rs if (r['peer'], r['cond']) == (peer, cond)]
        cl = {}
        for r in R:
            imp = set(r.get('impaired') or []) if cond != 'late' else {r['players'][-1]['name']}
            for p in r['players']:
                cpu = next((v for n, v in r['load']['cpu_pct'].items() if n.split('@')[0] == p['name']), None)
                cl.setdefault((p['name'].rstrip('0123456789'), p['name'] in imp), []).append((p, cpu))
        for (k, hit), P in sorted(cl.items()):
            ok = [p for p, _ in P if not p.get('silent')]
            mn = lambda p: max(0.1, (p['last_sound_s'] - p['first_sound_s']) / 60)
            j = lambda n: fmt(med([p['jumps'][n] / mn(p) for p in ok]), 1)
            print(f'| {peer} | {cond} | {k} | {"hit" if hit else ""} | {len(P)} | {fmt(med([p.get("join_to_sound_s") for p in ok]), 2)} | {j("micro_lt2smp")} / {j("small_lt1ms")} / {j("big_ge1ms")} | '
                  f'{fmt(med([p["dropouts"]["count"] / mn(p) for p in ok]), 1)} | {fmt(med([p["dropouts"]["total_ms"] for p in ok]), 0)}, {fmt(med([p["dropouts"]["longest_ms"] for p in ok]), 0)} | {fmt(med([p["lost_windows_pct"] for p in ok]), 2)} | '
                  f'{fmt(med([p["damaged_windows_pct"] for p in ok]), 2)} | {fmt(med([sum(p["level_db"]) / 2 for p in ok]), 1)} | {fmt(med([c for _, c in P]), 0)} | {sum(bool(p.get("silent")) for p, _ in P)} |')
    out = [(r['peer'], q['a'] + '-' + q['b'], q['outage_recover_s']) for r in rs for q in r['pairs'] if q.get('outage_recover_s') and q.get('same_kind', True)]
    if out:
        print('\nAfter the 3 s outage, seconds until the hit player is back within 5 ms / 1 ms of an unhit one of its kind:')
        for o in out: print(f'  {o[0]} {o[1]}: {o[2]["to_5ms"]} / {o[2]["to_1ms"]}')
    print(f'\nruns: {len(rs)} (left out for load: {skipped}); other jobs\' CPU while measuring: ' + ', '.join(f'{r["peer"]}/{r["cond"]} {r["load"]["others_pct"]:.0f}%' for r in rs))

if __name__ == '__main__': main()
