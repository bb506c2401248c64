// Test only. Keeps what the page sends to its audio output, and when, and what went wrong on the way.
// Whatever connects to a destination is connected to a recorder as well.
(() => {
  const KEPT_SECONDS = 40;
  const recorder = (window.__recorder = { contexts: [], errors: [], clicked: null, off: false });
  addEventListener('error', (event) => recorder.errors.push(String(event.message)));
  addEventListener('unhandledrejection', (event) => recorder.errors.push(String(event.reason)));
  addEventListener('click', (event) => (recorder.clicked = event.timeStamp), true);

  const PROCESSOR = `registerProcessor('test-recorder', class extends AudioWorkletProcessor {
    constructor() { super(); this.next = 0; this.start(); }
    start() { this.left = []; this.right = []; }
    flush() {
      if (this.left.length > 0) this.port.postMessage([this.frame, this.left, this.right]);
      this.start();
    }
    process([input]) {
      // The count can stand still for some calls and then catch up (Chromium 442866743): calls are right meanwhile.
      const frame = Math.max(currentFrame, this.next);
      if (frame > this.next || this.left.length === 16) this.flush();
      if (this.left.length === 0) this.frame = frame;
      this.next = frame + 128;
      this.left.push(input[0] ? input[0].slice() : new Float32Array(128));
      this.right.push(input[1] ? input[1].slice() : this.left.at(-1));
      return true;
    }
  })`;

  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...rest) {
    const result = connect.call(this, target, ...rest);
    if (!recorder.off && target instanceof AudioDestinationNode && target.context instanceof AudioContext)
      connect.call(this, busOf(target.context));
    return result;
  };

  const buses = new WeakMap();
  function busOf(context) {
    if (!buses.has(context)) {
      const bus = new GainNode(context);
      buses.set(context, bus);
      record(context, bus);
    }
    return buses.get(context);
  }

  function record(context, bus) {
    const entry = { context, rate: context.sampleRate, blocks: [], stamps: [] };
    recorder.contexts.push(entry);
    const keep = (frame, left, right) => {
      entry.blocks.push({ frame, left, right });
      while (frame - entry.blocks[0].frame > KEPT_SECONDS * entry.rate) entry.blocks.shift();
    };
    const stamp = () => {
      const { contextTime, performanceTime } = context.getOutputTimestamp();
      if (contextTime > 0)
        entry.stamps.push([contextTime, performanceTime, context.currentTime, performance.now()]);
      if (entry.stamps.length > KEPT_SECONDS * 50) entry.stamps.shift();
      if (context.state === 'closed') clearInterval(timer);
    };
    const timer = setInterval(stamp, 20);
    if (context.audioWorklet) inWorklet(context, bus, keep).catch((error) => recorder.errors.push(String(error)));
    else inScript(context, bus, keep);
  }

  async function inWorklet(context, bus, keep) {
    const url = URL.createObjectURL(new Blob([PROCESSOR], { type: 'text/javascript' }));
    await context.audioWorklet.addModule(url);
    if (context.state === 'closed') return;
    const node = new AudioWorkletNode(context, 'test-recorder', { channelCount: 2, channelCountMode: 'explicit' });
    node.port.onmessage = ({ data: [frame, left, right] }) => keep(frame, joined(left), joined(right));
    connect.call(bus, node);
    // Silent, but only what leads to the destination is pulled.
    connect.call(node, context.destination);
  }

  // A frame number that means something only in relation to the other blocks: the event does not tell
  // which frame its input began at. A third of a second per block outlasts a busy main thread.
  function inScript(context, bus, keep) {
    const node = context.createScriptProcessor(16384, 2, 2);
    let frame = 0;
    node.onaudioprocess = ({ inputBuffer }) => {
      keep(frame, inputBuffer.getChannelData(0).slice(), inputBuffer.getChannelData(1).slice());
      frame += inputBuffer.length;
    };
    connect.call(bus, node);
    connect.call(node, context.destination);
  }

  function joined(parts) {
    const all = new Float32Array(parts.length * 128);
    parts.forEach((part, index) => all.set(part, index * 128));
    return all;
  }

  function base64(floats) {
    const bytes = new Uint8Array(floats.buffer);
    let text = '';
    for (let at = 0; at < bytes.length; at += 0x8000)
      text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    return btoa(text);
  }

  // The blocks from frame `from` on, of the newest context.
  recorder.read = (from) => {
    const entry = recorder.contexts.at(-1);
    if (!entry) return null;
    const blocks = entry.blocks.filter((block) => block.frame >= from);
    return {
      rate: entry.rate,
      state: entry.context.state,
      timeOrigin: performance.timeOrigin,
      clicked: recorder.clicked,
      stamps: entry.stamps,
      blocks: blocks.map(({ frame, left, right }) => [frame, base64(left), base64(right)]),
    };
  };
  recorder.frames = () => {
    const entry = recorder.contexts.at(-1);
    const last = entry?.blocks.at(-1);
    return last ? last.frame + last.left.length : 0;
  };
})();
