//! The demo track, listened to by numbers.

use super::*;

/// One round, left and right in turn.
fn round(demo: &mut Demo) -> Vec<f32> {
    demo.seek(0);
    let mut samples = Vec::new();
    while let Some(block) = demo.next_block() {
        assert_eq!((block.rate_hz, block.resolution_bits), (RATE_HZ, 24));
        samples.extend(block.samples);
    }
    samples
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}

#[test]
fn it_is_as_loud_as_it_may_be_and_never_clips() {
    let samples = round(&mut Demo::new());
    assert_eq!(samples.len(), LOOP_FRAMES * CHANNELS);
    let peak = samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    let peak_db = 20.0 * peak.log10();
    assert!((-3.0..=-1.0).contains(&peak_db), "peak {peak_db:.2} dBFS");
    let rms_db = 20.0 * rms(&samples).log10();
    assert!((-22.0..=-12.0).contains(&rms_db), "RMS {rms_db:.2} dBFS");
    let mean = samples.iter().sum::<f32>() / samples.len() as f32;
    assert!(mean.abs() < 1e-3, "offset {mean}");
}

#[test]
fn every_bar_sounds_and_the_sides_differ() {
    let samples = round(&mut Demo::new());
    for bar in samples.chunks_exact(STEPS_PER_BAR * STEP_FRAMES * CHANNELS) {
        assert!(rms(bar) > 0.05);
        let difference: Vec<_> = bar.chunks_exact(2).map(|frame| frame[0] - frame[1]).collect();
        assert!(rms(&difference) > 0.01);
    }
}

#[test]
fn rounds_are_the_same_whether_made_or_kept() {
    let mut demo = Demo::new();
    let first = round(&mut demo);
    assert!(first == round(&mut demo));
    assert!(first == round(&mut Demo::new()));
}

#[test]
fn the_loop_has_no_seam() {
    let samples = round(&mut Demo::new());
    let [end, start] = [samples[samples.len() - 2], samples[0]];
    // What one frame of a loud 1 kHz tone changes by. The first kick begins at zero.
    assert!((start - end).abs() < 0.05, "from {end} to {start}");
    // Chords and echoes of the last bar ring on into the first.
    let mut alone = Demo::new();
    alone.notes.retain(|note| note.start >= LOOP_FRAMES - STEPS_PER_BAR * STEP_FRAMES);
    assert!(rms(&make_step(&alone.notes, 0)) > 0.005);
}

#[test]
fn a_step_is_the_sum_of_its_notes_wherever_they_begin() {
    let voice = voice::Voice::Pluck { hz: 440.0 };
    // Begins in the middle of the last step and rings over the end of the loop.
    let start = LOOP_FRAMES - STEP_FRAMES / 2;
    let notes = [Note { start, voice, gain: 1.0, pan: 0.0 }];
    let heard = [make_step(&notes, STEPS - 1), make_step(&notes, 0)].concat();
    for (frame, pair) in heard.chunks_exact(2).enumerate() {
        let age = frame.checked_sub(STEP_FRAMES / 2);
        let expected = age.map_or([0.0; 2], |age| voice.sample(age, 0.0));
        assert_eq!(pair, expected, "frame {frame}");
    }
}

#[test]
fn steps_join_without_a_click() {
    let mut demo = Demo::new();
    demo.notes.retain(|note| matches!(note.voice, voice::Voice::Pad { .. }));
    let pads = round(&mut demo);
    let jump =
        |frame: usize| (pads[frame * 2] - pads[(frame + LOOP_FRAMES - 1) % LOOP_FRAMES * 2]).abs();
    let usual = (0..LOOP_FRAMES).map(jump).fold(0.0_f32, f32::max);
    let at_joins = (0..STEPS).map(|step| jump(step * STEP_FRAMES)).fold(0.0_f32, f32::max);
    assert!(usual < 0.05 && at_joins <= usual, "{at_joins} at joins, {usual} elsewhere");
}
