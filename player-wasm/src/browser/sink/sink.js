// Plays each frame on the context frame it is addressed to. Reads no clock, decides nothing.
registerProcessor("sink", class extends AudioWorkletProcessor {
  constructor({ processorOptions: { frames, fade } }) {
    super();
    Object.assign(this, { fade, rendered: 0, ring: [new Float32Array(frames), new Float32Array(frames)] });
    // A block is [frame, left, right]; an empty message clears.
    this.port.onmessage = ({ data: [at, ...pcm] }) => (pcm.length ? this.write(at, pcm) : this.clear());
  }

  // First frame still to be rendered. `currentFrame` alone can stand still for a quantum (Chromium 442866743).
  get head() { return Math.max(currentFrame, this.rendered); }

  // A slot is shared by frames one ring apart, so past and far frames would sound at another time.
  write(at, pcm) {
    const end = Math.min(at + pcm[0].length, this.head + this.ring[0].length);
    for (const [c, slots] of this.ring.entries())
      for (let f = Math.max(at, this.head); f < end; f++) slots[f % slots.length] = pcm[c][f - at];
  }

  clear() {
    for (const slots of this.ring) {
      const next = Array.from({ length: this.fade }, (_, i) => slots[(this.head + i) % slots.length]);
      slots.fill(0);
      next.forEach((v, i) => (slots[(this.head + i) % slots.length] = v * (1 - (i + 1) / this.fade)));
    }
  }

  // Allocates nothing: all memory is the constructor's.
  process(_inputs, [output]) {
    for (let c = 0; c < output.length; c++)
      for (let i = 0; i < output[c].length; i++) {
        const slot = (this.head + i) % this.ring[c].length;
        output[c][i] = this.ring[c][slot];
        this.ring[c][slot] = 0; // Heard once. A slot that is not written again is silence.
      }
    this.rendered = this.head + output[0].length;
    return true;
  }
});
