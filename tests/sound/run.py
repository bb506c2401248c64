#!/usr/bin/env python3
"""Synchronisation rig: play one known track on N players at once, record every player's sound card on one clock,
say how far apart they are.  See README.md.

  run.py --peer peers/partyline.toml --cond steady --dur 60 --out out
  run.py --peer a.toml --peer b.toml --cond steady,late,busy,jitter,outage,throttle,skew --reps 2   (one after another)
  run.py --peer a.toml --peer b.toml --together                                                      (at the same time)
  run.py --url http://10.77.255.1:8080/ --click '#play' --n 3 --server-cmd 'mysrv --listen 10.77.255.1:8080 {marker_wav}'
"""
import argparse, asyncio, json, os, shlex, shutil, signal, socket, subprocess, sys, threading, time, tomllib
HERE = os.path.dirname(os.path.abspath(__file__)); sys.path[:0] = [HERE, f'{HERE}/lib']; sys.dont_write_bytecode = True
import audio, browser, netlab, place

CONDS = {   # what happens to the impaired player(s); times are seconds after the last click
    'steady':   dict(card_ms=170),
    'skew':     dict(ppm=[0, 60, -60, 30, -30, 90, -90, 15]),           # sound-card crystals differ
    'late':     dict(late=30),                                          # the last player joins 30 s after the others
    'busy':     dict(busy=dict(block_ms=1500, every_s=5, start=20)),    # page's main thread blocked
    'jitter':   dict(net=[(0, dict(delay_ms=20, jitter_ms=15, loss=0.01))]),
    'lan':      dict(net=[(0, dict(delay_ms=3, jitter_ms=3, loss=0.001))]),
    'outage':   dict(net=[(0, dict()), (30, dict(outage=True)), (33, dict(outage=False))]),
    'throttle': dict(throttle=4),
    'hidden':   dict(hidden=20),                                        # another tab is put in front of the page
    'restart':  dict(restart=(30, 2)),                                  # the server ends, and is there again 2 s later
    'insecure': dict(insecure=True),                                    # the page is not on a secure origin: no AudioWorklet
    'route':    dict(route=(30, 80)),                                   # the sound takes a way that is 80 ms longer
}

def tree(pid):
    kids = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            try: f = open(f'/proc/{d}/stat').read().rsplit(')', 1)[1].split()
            except OSError: continue
            kids.setdefault(int(f[1]), []).append((int(d), int(f[11]) + int(f[12])))
    out, todo = 0, [pid]
    try:
        f = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split(); out = int(f[11]) + int(f[12])
    except OSError: pass
    while todo:
        for c, t in kids.get(todo.pop(), []): out += t; todo.append(c)
    return out / os.sysconf('SC_CLK_TCK')

def cpu():
    v = [int(x) for x in open('/proc/stat').readline().split()[1:]]
    return dict(t=time.monotonic(), busy=sum(v[:3]) + v[5] + v[6], steal=v[7], total=sum(v[:8]),
                psi=int(open('/proc/pressure/cpu').readline().rsplit('total=', 1)[1]) if os.path.exists('/proc/pressure/cpu') else 0)

class Feeder(threading.Thread):
    """endless PCM into a named pipe (the reader sets the pace)"""
    def __init__(self, path, wav):
        super().__init__(daemon=True); self.path, self.wav, self.end = path, wav, False
    def run(self):
        import wave
        w = wave.open(self.wav, 'rb'); d = w.readframes(w.getnframes())
        fd = os.open(self.path, os.O_WRONLY); p = 0
        while not self.end:
            try: p += os.write(fd, d[p:p + 65536])
            except OSError: break
            if p >= len(d): p = 0

def load_peer(path):
    p = tomllib.load(open(path, 'rb')); p['_dir'] = os.path.dirname(os.path.abspath(path)); p.setdefault('name', os.path.basename(path).split('.')[0])
    return p

async def run_once(peers, cond, dur, out, a, spec):
    """peers: list of peer dicts played at the same time; returns one result per peer"""
    shutil.rmtree(out, ignore_errors=True); os.makedirs(out)
    players = []
    for g, p in enumerate(peers):
        names = a.players.split(',') if a.players else p['players']
        cnt = {}
        for q in names:
            cnt[q] = cnt.get(q, 0) + 1
            d = dict(p['player'][q]); d.update(g=g, kind=d.get('kind', 'web'), name=f'{q}{cnt[q]}', peer=p, li=sum(1 for z in players if z['g'] == g))
            players.append(d)
    n = len(players)
    local = [int(x) for x in a.impair.split(',')] if a.impair else None
    for k, d in enumerate(players):
        imp = local if local is not None else d['peer'].get('impaired', [1])
        d['k'], d['impaired'] = k, d['li'] in imp
    tag = f'rig{os.getpid()}'
    lab = netlab.NetLab(tag, n, tun=[d['k'] for d in players if d['impaired'] and spec.get('net')])
    ppm = spec.get('ppm'); 
    au = audio.Audio(f'{out}/audio', n, [ppm[d['li'] % len(ppm)] for d in players] if ppm else None, a.backend, spec.get('card_ms', 85))
    procs, browsers, boosters, feeders, events = [], [], [], [], []
    T = lambda: time.monotonic()
    def ev(what, **kw): events.append(dict(t=T(), what=what, **kw))
    nice = a.nice
    def pre():
        if nice: os.setpriority(os.PRIO_PROCESS, 0, nice)
    try:
        if not a.no_boost: audio.pin()
        lab.start(); au.start()
        for g, p in enumerate(peers):
            s = p.get('server', {})
            v = dict(srv=netlab.SRV, dir=f'{out}/srv{g}', rig=HERE, marker_wav=a.marker, marker_flac=a.marker.replace('.wav', '.flac'),
                     peerdir=p['_dir'], py=sys.executable, epoch=str(int(time.time() * 1000) - 20000))
            v.update({k: str(x).format(**v) for k, x in p.get('vars', {}).items()})
            v.update(dict(kv.split('=', 1) for kv in a.set))
            p['_v'] = v
            os.makedirs(v['dir'])
            for f, txt in s.get('files', {}).items(): open(f'{v["dir"]}/{f}', 'w').write(txt.format(**v))
            for dst, src in s.get('links', {}).items():
                dst = f'{v["dir"]}/{dst}'; os.makedirs(os.path.dirname(dst), exist_ok=True); os.symlink(src.format(**v), dst)
            if 'feed_fifo' in s:
                ff = s['feed_fifo'].format(**v); os.mkfifo(ff); fd = Feeder(ff, a.marker); fd.start(); feeders.append(fd)
            if 'cmd' in s:
                c = s['cmd']; c = shlex.split(c) if isinstance(c, str) else c
                c = [x.format(**v) for x in c]
                def serve(p=p, c=c, v=v, s=s):
                    e = dict(os.environ, **{k: str(x).format(**v) for k, x in s.get('env', {}).items()})
                    p['_proc'] = subprocess.Popen(lab.nsenter(lab.srv()) + c, stdout=open(f'{v["dir"]}/server.log', 'a'), stderr=subprocess.STDOUT,
                                                  stdin=subprocess.DEVNULL, preexec_fn=pre, env=e, cwd=v['dir'])
                    procs.append((f'server-{p["name"]}', p['_proc']))
                p['_serve'] = serve; serve()
            if 'port' in s:
                for i in range(600):
                    if procs and procs[-1][1].poll() is not None: raise RuntimeError('server ended: ' + open(f'{v["dir"]}/server.log').read()[-1500:])
                    r = subprocess.run(lab.nsenter(lab.srv()) + [sys.executable, '-c', f'import socket;socket.create_connection(("{netlab.SRV}",{s["port"]}),1)'], capture_output=True)
                    if r.returncode == 0: break
                    await asyncio.sleep(0.2)
                else: raise RuntimeError('server port did not open')
        for d in players:
            k, p, v = d['k'], d['peer'], dict(d['peer']['_v'], i=d['li'], k=d['k'], name=d['name'])
            v.update({x: str(y[d['li'] % len(y)]) for x, y in p.get('per_player', {}).items()})
            d['v'] = v
            if spec.get('net') and d['impaired']:
                lab.impair(k, **spec['net'][0][1])
            if d['kind'] == 'web':
                url = d['url'].format(**v); origin = '/'.join(url.split('/')[:3])
                b = browser.Browser(d['name'], f'{out}/{p["name"]}-{d["name"]}', au.env(k), lab.nsenter(lab.ns(k)), None if spec.get('insecure') and d['impaired'] else origin, nice, a.chromium, d.get('flags', []), not a.no_calm)
                d['b'] = b; browsers.append(b); await b.start()
                await b.override([(u, f.format(**v), ct) for u, f, ct in p.get('override', [])])
                await b.goto(url)
                if d.get('click'): await b.wait_for(f'!!document.querySelector({json.dumps(d["click"])})')
                if d.get('ready'): await b.wait_for(d['ready'])
        await asyncio.sleep(p.get('warmup', 3))
        boosters = [] if a.no_boost else [audio.Booster([b.p.pid for b in browsers]), audio.Booster([], None)]
        for x in boosters: x.start()
        async def join(d):
            if d['kind'] == 'web':
                b = d['b']
                if boosters: boosters[0].soon()
                if spec.get('throttle') and d['impaired']:
                    await b.cmd('Emulation.setCPUThrottlingRate', rate=spec['throttle']); ev('throttle', player=d['name'])
                if d.get('click'): d['clicked'] = await b.click(d['click'])
                else: d['clicked'] = T(); await b.eval(d['start'].format(**d['v']), gesture=True)
                if d.get('after'): await b.eval(d['after'])
            else:
                d['clicked'] = T()
                c = d['cmd']; c = shlex.split(c) if isinstance(c, str) else c
                d['p'] = subprocess.Popen(lab.nsenter(lab.ns(d['k'])) + [x.format(**d['v']) for x in c], env=au.env(d['k']), stdin=subprocess.DEVNULL,
                                          stdout=open(f'{out}/{d["peer"]["name"]}-{d["name"]}.log', 'w'), stderr=subprocess.STDOUT, preexec_fn=pre)
                procs.append((d['name'], d['p']))
                if boosters: boosters[1].soon(d['p'].pid)
            ev('join', player=d['name'], peer=d['peer']['name'])
        late = [d for d in players if spec.get('late') and d['li'] == max(x['li'] for x in players if x['g'] == d['g'])]
        for d in players:
            if d not in late: await join(d); await asyncio.sleep(a.stagger)
        base = T()
        jobs = []
        async def at(t, f): 
            await asyncio.sleep(max(0, base + t - T())); await f()
        for d in late: jobs.append(asyncio.create_task(at(spec['late'], lambda d=d: join(d))))
        if spec.get('busy'):
            async def busy(d):
                q = spec['busy']; t = q['start']
                while True:
                    await asyncio.sleep(max(0, base + t - T()))
                    ev('busy', player=d['name'], peer=d['peer']['name'])
                    try: await d['b'].eval(f'{{const e=performance.now()+{q["block_ms"]};while(performance.now()<e);}}')
                    except Exception as e: ev('busy-failed', err=str(e)[:100])
                    t += q['every_s']
            for d in players:
                if d['impaired'] and d['kind'] == 'web': jobs.append(asyncio.create_task(busy(d)))
        for d in players:
            if spec.get('hidden') and d['impaired'] and d['kind'] == 'web':
                async def hide(d=d):
                    await d['b'].send('Target.createTarget', url='about:blank', background=False); await asyncio.sleep(1)
                    ev('hidden', player=d['name'], peer=d['peer']['name'], state=await d['b'].eval('document.visibilityState'))
                jobs.append(asyncio.create_task(at(spec['hidden'], hide)))
        if spec.get('restart'):
            async def restart(p):
                p['_proc'].terminate(); await asyncio.to_thread(p['_proc'].wait, 10); ev('server-ended', peer=p['name'])
                await asyncio.sleep(spec['restart'][1]); p['_serve'](); ev('server-started', peer=p['name'])
            for p in peers:
                if '_serve' in p: jobs.append(asyncio.create_task(at(spec['restart'][0], lambda p=p: restart(p))))
        if spec.get('route'):
            for d in players:
                if d['impaired']:
                    async def longer(d=d): au.lengthen(d['k'], spec['route'][1]); ev('route', player=d['name'], peer=d['peer']['name'])
                    jobs.append(asyncio.create_task(at(spec['route'][0], longer)))
        for t, kw in (spec.get('net') or [])[1:]:
            for d in players:
                if d['impaired']:
                    async def f(d=d, kw=kw): lab.impair(d['k'], **kw); ev('net', player=d['name'], peer=d['peer']['name'], **kw)
                    jobs.append(asyncio.create_task(at(t, f)))
        total = dur + (spec.get('late') or 0)
        await asyncio.sleep(10)
        def own(): return {d['name'] + f"@{d['g']}": tree(d['b'].p.pid if 'b' in d else d['p'].pid if 'p' in d else 0) for d in players if 'b' in d or 'p' in d} | \
            {'rig': tree(au.pa.pid) + tree(au.rec.pid) + sum(tree(e.pid) for e in lab.emu.values())} | {x: tree(q.pid) for x, q in procs if x.startswith('server')}
        c0, o0 = cpu(), own()
        await asyncio.sleep(max(0, base + total - T()))
        c1, o1 = cpu(), own()
        for j in jobs:
            if j.done() and not j.cancelled() and j.exception(): ev('job-failed', err=str(j.exception())[:200])
            j.cancel()
        stop = T()
        for d in players:
            d['stop'] = stop
            if d.get('probe') and 'b' in d:
                try: d['probed'] = await d['b'].eval(d['probe'])
                except Exception as e: d['probed'] = str(e)[:200]
        w = c1['t'] - c0['t']; tot = c1['total'] - c0['total']; ncpu = os.cpu_count()
        ours = sum(o1.get(k, 0) - o0.get(k, 0) for k in o0 if k in o1)
        busy_ = (c1['busy'] - c0['busy']) / tot * 100 * ncpu
        load = dict(cpus=ncpu, busy_pct=round(busy_, 1), ours_pct=round(ours / w * 100, 1), others_pct=round(busy_ - ours / w * 100, 1),
                    steal_pct=round((c1['steal'] - c0['steal']) / tot * 100 * ncpu, 1), psi_some_pct=round((c1['psi'] - c0['psi']) / 1e6 / w * 100, 1),
                    loadavg=os.getloadavg()[0], cpu_pct={k: round((o1[k] - o0[k]) / w * 100, 1) for k in o0 if k in o1})
    finally:
        for x in boosters: x.stop()
        for b in browsers:
            try: await b.stop()
            except Exception as e: print('browser stop', e)
        for _, q in reversed(procs):
            if q.poll() is None:
                q.terminate()
                try: q.wait(8)
                except subprocess.TimeoutExpired: q.kill(); q.wait()
        for f in feeders: f.end = True
        au.stop(); lab.stop()
        for b in browsers:
            json.dump(b.console, open(f'{b.dir}/console.json', 'w')); shutil.rmtree(f'{b.dir}/profile', ignore_errors=True)
    import analyze
    t0, recs, meta = audio.load(f'{out}/audio')
    ref = REFS.setdefault(a.marker, None) or REFS.__setitem__(a.marker, analyze.Ref(a.marker)) or REFS[a.marker]
    results = []
    for g, p in enumerate(peers):
        grp = [d for d in players if d['g'] == g]
        pl = [dict(name=d['name'], kind=d['kind'], click=d.get('clicked'), stop=d.get('stop')) for d in grp]
        gev = [dict(e, t=round(e['t'] - t0, 3)) for e in events if e.get('peer', p['name']) == p['name']]
        r, data = analyze.analyze(ref, [recs[d['k']] for d in grp], t0, pl, a.settle, events=gev)
        r.update(peer=p['name'], cond=cond, load=load, impaired=[d['name'] for d in grp if d['impaired']] if cond != 'steady' and cond != 'skew' else [],
                 events=gev, cards=[d['k'] for d in grp], settle=a.settle, meta_players=pl, probes={d['name']: d.get('probed') for d in grp if d.get('probed') is not None},
                 rig=dict(backend=a.backend, stalls=meta.get('stalls', []), cpu_stalls=meta.get('cpu_stalls', []), max_late_ms=meta.get('max_late_ms'), underrun_ms=[round(sum(l for f, l in meta['cards'][d['k']].get('underrun_events', []) if f < (d['stop'] - t0) * 48000) / 48, 1) for d in grp]),
                 when=time.strftime('%F %T'), dur=dur, together=[x['name'] for x in peers])
        json.dump(r, open(f'{out}/result-{p["name"]}.json', 'w'), indent=1)
        if a.plot: analyze.plot(f'{out}/plot-{p["name"]}.png', r, data, ref)
        print(f'== {p["name"]} / {cond}   cpu: others {load["others_pct"]}% ours {load["ours_pct"]}% steal {load["steal_pct"]}% psi {load["psi_some_pct"]}%  CPU stalls>5ms {len(r["rig"]["cpu_stalls"])} (sum {sum(x[1] for x in r["rig"]["cpu_stalls"]):.0f}, max {max([x[1] for x in r["rig"]["cpu_stalls"]] or [0]):.0f} ms) sink underruns {r["rig"]["underrun_ms"]} ms')
        print(analyze.table(r), flush=True)
        results.append(r)
    json.dump(dict(players=[dict(name=d['name'], click=d.get('clicked'), stop=d.get('stop')) for d in players], cond=cond, load=load), open(f'{out}/audio/events.json', 'w'))
    if not a.keep: shutil.rmtree(f'{out}/audio', ignore_errors=True)
    return results
REFS = {}
LIMIT_S = 300     # of a run, besides the time that is measured

def main():
    def bye(*_): raise KeyboardInterrupt
    for s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(s, bye)      # also when started in the background
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument('--peer', action='append', default=[]); ap.add_argument('--cond', default='steady', help=','.join(CONDS))
    ap.add_argument('--dur', type=float, default=60, help='seconds after the last regular click'); ap.add_argument('--reps', type=int, default=1)
    ap.add_argument('--out', default=f'{place.HOME}/out'); ap.add_argument('--marker', default=place.MARKER)
    ap.add_argument('--players', help='comma list of player names of the peer file (default: its `players`)')
    ap.add_argument('--impair', help='comma list of player indices hit by the condition (default: peer file, else 1)')
    ap.add_argument('--backend', default='dac', choices=['dac', 'null']); ap.add_argument('--settle', type=float, default=15)
    ap.add_argument('--stagger', type=float, default=0.7); ap.add_argument('--nice', type=int, default=-5)
    ap.add_argument('--together', action='store_true'); ap.add_argument('--keep', action='store_true', help='keep the recordings')
    ap.add_argument('--plot', action='store_true'); ap.add_argument('--chromium', default='chromium')
    ap.add_argument('--no-boost', action='store_true', help='leave audio threads at their own priority, pin no program files')
    ap.add_argument('--no-calm', action='store_true', help='let pages animate (software compositing eats a core)')
    ap.add_argument('--set', action='append', default=[], help='name=value for {name} in the peer file')
    ap.add_argument('--max-others', type=float, default=None, help='wait (up to 10 min) until other jobs use less CPU %% than this')
    ap.add_argument('--url'); ap.add_argument('--click'); ap.add_argument('--n', type=int, default=3); ap.add_argument('--server-cmd'); ap.add_argument('--port', type=int)
    ap.add_argument('--name', default='adhoc')
    a = ap.parse_args()
    peers = [load_peer(p) for p in a.peer]
    if a.url:
        s = dict(cmd=a.server_cmd) if a.server_cmd else {}
        if a.port: s['port'] = a.port
        peers.append(dict(name=a.name, _dir=os.getcwd(), server=s, players=['web'] * a.n, player=dict(web=dict(url=a.url, click=a.click))))
    if not peers: ap.error('no --peer and no --url')
    if not os.path.exists(a.marker): subprocess.run([sys.executable, f'{HERE}/gen_marker.py', a.marker], check=True)
    groups = [peers] if a.together else [[p] for p in peers]
    failed = 0
    for rep in range(a.reps):
        for cond in a.cond.split(','):
            for g in groups:
                if a.max_others is not None:
                    for _ in range(60):
                        x = cpu(); time.sleep(5); y = cpu(); u = (y['busy'] - x['busy']) / (y['total'] - x['total']) * 100 * os.cpu_count()
                        if u <= a.max_others: break
                        time.sleep(5)
                nm = '+'.join(p['name'] for p in g)
                out = f'{a.out}/{nm}-{cond}-{time.strftime("%H%M%S")}'
                try: asyncio.run(asyncio.wait_for(run_once(g, cond, a.dur, os.path.abspath(out), a, CONDS[cond]), a.dur + LIMIT_S))
                except Exception as e:
                    failed += 1; print(f'!! {nm} / {cond} failed: {type(e).__name__}: {e}', flush=True)
    sys.exit(1 if failed else 0)

if __name__ == '__main__': main()
