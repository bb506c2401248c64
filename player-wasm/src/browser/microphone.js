// Posts what the microphone hears, in blocks, without a gap. Reads no clock, decides nothing.
registerProcessor("microphone", class extends AudioWorkletProcessor {
  constructor({ processorOptions: { frames } }) {
    super();
    Object.assign(this, { block: new Float32Array(frames), filled: 0, open: true });
    // Any message ends it.
    this.port.onmessage = () => (this.open = false);
  }

  process([[heard = new Float32Array(128)] = []]) {
    for (const sample of heard) {
      this.block[this.filled++] = sample;
      if (this.filled < this.block.length) continue;
      this.port.postMessage(this.block);
      this.filled = 0;
    }
    return this.open;
  }
});
