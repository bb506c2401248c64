//! One contract for both sinks, kept by what an `OfflineAudioContext` renders: every sample is compared.

use std::ops::Range;

use player_wasm::browser::audio_output::Fader;
use player_wasm::browser::sink::buffer_source::BufferSourceSink;
use player_wasm::browser::sink::worklet::WorkletSink;
use player_wasm::browser::sink::{AHEAD_S_MAX, FADE_S, Sink};
use player_wasm::output_clock::ContextFrame;
use player_wasm::scheduler::Block;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::rig::Step::{self, Clear, Play, RunTo};
use crate::rig::{Kind, Probe, Rendered, Take, Tape, block, context, render, sample};

/// What a listener hears on each frame, by frames and take.
type Heard = [(Range<i64>, Take)];

/// Every sample is that of the take that is due on its frame, bit for bit, and silence elsewhere.
fn assert_heard(rendered: &Rendered, heard: &Heard) {
    for (channel, samples) in (0..).zip(rendered) {
        for (frame, &got) in (0..).zip(samples) {
            let due = heard.iter().find(|(frames, _)| frames.contains(&frame));
            let want = due.map_or(0.0, |&(_, take)| sample(take, channel, frame));
            assert_eq!(got, want, "channel {channel}, frame {frame}");
        }
    }
}

/// Renders half a second and two rings at most, and compares.
async fn assert_plan(kind: Kind, steps: &[Step], heard: &Heard) {
    assert_heard(&render(kind, 48_000.0, 24_000, steps).await, heard);
}

/// Each test once for each sink.
macro_rules! contract {
    ($($test:ident)*) => {
        mod worklet {
            use super::*;
            $(#[wasm_bindgen_test] async fn $test() { super::$test(Kind::Worklet).await; })*
        }
        mod buffer_source {
            use super::*;
            $(#[wasm_bindgen_test] async fn $test() { super::$test(Kind::BufferSource).await; })*
        }
    };
}

contract! {
    a_block_is_heard_on_its_frames_and_nowhere_else
    blocks_join_without_a_seam_at_any_rate
    a_block_that_is_handed_over_while_it_plays_is_heard_from_there_on
    a_late_block_is_not_heard
    a_block_too_far_ahead_is_not_heard
    a_later_block_replaces_the_frames_it_shares
    a_block_can_be_replaced_while_it_plays
    what_is_cleared_fades_and_what_follows_is_heard
}

async fn a_block_is_heard_on_its_frames_and_nowhere_else(kind: Kind) {
    let ring = (AHEAD_S_MAX * 48_000.0) as i64;
    // Up to where the worklet's ring comes round to the same place.
    let rendered = render(kind, 48_000.0, ring + 6_000, &[Play(1, 5_000..5_300)]).await;
    assert_heard(&rendered, &[(5_000..5_300, 1)]);
    assert_plan(kind, &[Play(1, 0..1)], &[(0..1, 1)]).await;
}

async fn blocks_join_without_a_seam_at_any_rate(kind: Kind) {
    for rate_hz in [44_100.0, 48_000.0, 96_000.0] {
        let ends = (0..400).map(|i| 3_000 + i * 441 + i % 7);
        let steps: Vec<_> =
            ends.clone().zip(ends.skip(1)).map(|(from, to)| Play(1, from..to)).collect();
        let rendered = render(kind, rate_hz, 180_000, &steps).await;
        assert_heard(&rendered, &[(3_000..3_000 + 399 * 441, 1)]);
    }
}

async fn a_block_that_is_handed_over_while_it_plays_is_heard_from_there_on(kind: Kind) {
    let steps = [RunTo(12_800), Play(1, 12_700..13_000)];
    assert_plan(kind, &steps, &[(12_800..13_000, 1)]).await;
}

async fn a_late_block_is_not_heard(kind: Kind) {
    let ring = (AHEAD_S_MAX * 48_000.0) as i64;
    for frames in [5_000..5_300, 12_700..12_800, -300..0] {
        // Up to where it would be heard if it were taken for another one.
        let rendered =
            render(kind, 48_000.0, ring + 13_000, &[RunTo(12_800), Play(1, frames)]).await;
        assert_heard(&rendered, &[]);
    }
}

async fn a_block_too_far_ahead_is_not_heard(kind: Kind) {
    let ring = (AHEAD_S_MAX * 48_000.0) as i64;
    let rendered = render(kind, 48_000.0, ring + 1_000, &[Play(1, ring - 10..ring + 500)]).await;
    assert_heard(&rendered, &[(ring - 10..ring, 1)]);
}

async fn a_later_block_replaces_the_frames_it_shares(kind: Kind) {
    let first = Play(1, 5_000..6_000);
    for (second, heard) in [
        (5_300..5_700, vec![(5_000..5_300, 1), (5_300..5_700, 2), (5_700..6_000, 1)]),
        (4_900..5_100, vec![(4_900..5_100, 2), (5_100..6_000, 1)]),
        (5_900..6_100, vec![(5_000..5_900, 1), (5_900..6_100, 2)]),
        (5_000..6_000, vec![(5_000..6_000, 2)]),
        (4_000..7_000, vec![(4_000..7_000, 2)]),
    ] {
        assert_plan(kind, &[first.clone(), Play(2, second)], &heard).await;
    }
}

async fn a_block_can_be_replaced_while_it_plays(kind: Kind) {
    let steps = [
        Play(1, 5_000..20_000),
        RunTo(12_800),
        Play(2, 12_000..13_000),
        RunTo(14_080),
        Play(3, 14_100..15_001),
    ];
    let heard = [
        (5_000..12_800, 1),
        (12_800..13_000, 2),
        (13_000..14_100, 1),
        (14_100..15_001, 3),
        (15_001..20_000, 1),
    ];
    assert_plan(kind, &steps, &heard).await;
}

async fn what_is_cleared_fades_and_what_follows_is_heard(kind: Kind) {
    let steps = [
        Play(1, 5_000..20_000),
        Play(1, 20_000..21_000),
        RunTo(12_800),
        Clear,
        Play(2, 14_000..14_500),
    ];
    let mut rendered = render(kind, 48_000.0, 24_000, &steps).await;
    let fade = (FADE_S * 48_000.0) as usize;
    for (channel, samples) in (0..).zip(&mut rendered) {
        let fading = &mut samples[12_800..12_800 + fade];
        for (i, got) in fading.iter_mut().enumerate() {
            let want = sample(1, channel, 12_800 + i as i64) * (1.0 - i as f32 / fade as f32);
            assert!((*got - want).abs() <= 0.01, "channel {channel}, {i} into the fade");
            *got = 0.0;
        }
    }
    assert_heard(&rendered, &[(5_000..12_800, 1), (14_000..14_500, 2)]);
}

#[wasm_bindgen_test]
async fn blocks_wait_for_the_script() {
    let context = context(24_000, 48_000.0);
    let probe = Probe::new(&context, "").await;
    let sink = WorkletSink::new(&context, &context.destination());
    sink.play(block(1, 1_000..2_000));
    sink.clear();
    sink.play(block(2, 3_000..4_000));
    sink.play(block(3, 3_500..5_000));
    sink.load(|what| panic!("{what}")).await.unwrap();
    probe.until_taken(2).await;
    let rendered = Tape::new(&context, &[]).run_to_end().await;
    assert_heard(&rendered, &[(3_000..3_500, 2), (3_500..5_000, 3)]);
}

/// Lets the worklet's clock stand still in every third quantum, as Chromium's does now and then while the page
/// changes the audio graph: its issue 442866743.
const STALE_CLOCK: &str = "
const clock = Object.getOwnPropertyDescriptor(globalThis, 'currentFrame');
Object.defineProperty(globalThis, 'currentFrame', { get() {
  const now = clock.get.call(globalThis);
  return now % 384 === 256 ? now - 128 : now;
} });
";

#[wasm_bindgen_test]
async fn a_clock_that_stands_still_for_a_quantum_does_not_harm_the_worklet() {
    let context = context(24_000, 48_000.0);
    let probe = Probe::new(&context, STALE_CLOCK).await;
    let sink = WorkletSink::new(&context, &context.destination());
    sink.load(|what| panic!("{what}")).await.unwrap();
    sink.play(block(1, 3_000..9_000));
    probe.until_taken(1).await;
    let rendered = Tape::new(&context, &[]).run_to_end().await;
    assert_heard(&rendered, &[(3_000..9_000, 1)]);
}

#[wasm_bindgen_test]
async fn frames_that_the_browser_may_be_rendering_are_left_alone() {
    let context = context(24_000, 48_000.0);
    let sink = BufferSourceSink::new(&context, &context.destination(), 0.010);
    sink.play(block(1, 100..2_000));
    let rendered = Tape::new(&context, &[]).run_to_end().await;
    assert_heard(&rendered, &[(480..2_000, 1)]);
}

#[wasm_bindgen_test]
async fn gain_acts_at_once_and_without_a_click() {
    let context = context(24_000, 48_000.0);
    let mut tape = Tape::new(&context, &[RunTo(12_800)]);
    let fader = Fader::new(&context, &context.destination()).unwrap();
    let sink = BufferSourceSink::new(&context, fader.input(), 0.0);
    sink.play(Block { at: ContextFrame(0), pcm: [vec![1.0; 24_000], vec![1.0; 24_000]] });
    fader.set(0.5);
    tape.run_to_next_stop().await;
    fader.set(f32::NAN);
    fader.set(0.1);
    let [samples, _] = tape.run_to_end().await;
    assert!(samples[0] < 0.01, "begins silent, not with {}", samples[0]);
    // One time constant is 720 frames: 63 % of the way.
    assert!((samples[720] - 0.5 * 0.632).abs() < 0.01, "{}", samples[720]);
    assert!((samples[12_799] - 0.5).abs() < 0.001);
    assert!((samples[12_800 + 720] - (0.1 + 0.4 * 0.368)).abs() < 0.01);
    assert!((samples[23_999] - 0.1).abs() < 0.001);
    let steps = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs());
    let step = steps.fold(0.0, f32::max);
    assert!(step < 0.001, "a step of {step}");
}
