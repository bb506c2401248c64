//! N players agree, in virtual time: drift, jitter, stalls, late join, loss of the network and of the server.
//!
//! `PARTYLINE_SEEDS=100` runs the ten-minute worlds with that many seeds; CI takes few.

use e2e::plan::Step::{
    Bearable, Disturbed, InStep, Is, Join, JoinAgain, Run, Silent, StartServer, StopServer, Suffer,
    Tell,
};
use e2e::plan::play;
use e2e::sim::Fault::{AddLatency, Block, ChangeFormat, CutConnections, Hide, Sleep, Stall, Use};
use e2e::sim::{Fault, LinkProfile, Report, Reports, World, WorldConfig};
use player_wasm::calibration::Doubt;
use player_wasm::player::{Calibration, CalibrationWish, Command, Refusal};
use player_wasm::stats::State;

/// Worlds that every plan is played in.
const SEEDS: u64 = 4;

const PAIR: WorldConfig = WorldConfig { players: 2, ..WorldConfig::HOME };

/// Ten virtual minutes with eight players, from the first sound on.
fn ten_minutes(device_hz: u32) {
    let seeds = std::env::var("PARTYLINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut all = Report::default();
    for seed in 0..seeds.unwrap_or(2) {
        let mut world =
            World::new(WorldConfig { seed, device_hz, players: 8, ..WorldConfig::HOME });
        world.run(600.0);
        let report = world.take_report();
        assert!(
            report.first_heard_us.iter().all(Option::is_some),
            "seed {seed}: not all were heard"
        );
        assert_eq!(report.silent_looks, 0, "seed {seed}: silence after the start");
        for stats in world.stats() {
            assert_eq!((stats.underruns, stats.late_chunks), (0, 0), "seed {seed}: {stats:?}");
        }
        all.extend(&report);
    }
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|quantile| all.error_us(quantile));
    println!("{device_hz} Hz: sync error p50 {p50:.0} µs, p99 {p99:.0} µs, max {max:.0} µs");
    // With eight worlds (`PARTYLINE_SEEDS=8`) it is 195 µs; the two that are run here may lie on either side of that.
    assert!(p99 <= 220.0, "sync error p99 is {p99} µs");
}

#[test]
fn eight_players_stay_in_step_for_ten_minutes() {
    ten_minutes(48_000);
}

#[test]
fn eight_players_stay_in_step_on_44100_hz_outputs() {
    ten_minutes(44_100);
}

#[test]
fn a_late_joiner_is_in_step_and_disturbs_nobody() {
    play(
        PAIR,
        4,
        &[
            ("two are there first", Run(20.0)),
            ("and in step", InStep(5.0, 400.0)),
            ("a third comes", Join),
            ("it is heard within a second and a half", Run(1.5)),
            ("and within a millisecond from then on", InStep(3.0, 1_000.0)),
            ("then closer", Run(15.0)),
            ("as the others", InStep(10.0, 400.0)),
            ("nobody noticed", Disturbed(0, 3)),
        ],
    );
}

#[test]
fn retransmissions_do_not_move_anybody() {
    play(
        PAIR,
        4,
        &[
            ("a home network", Run(20.0)),
            ("one message in 200 is 200 ms late", Suffer(Use(LinkProfile::LOSSY))),
            (
                "16 ms of jitter, and half a round trip that nobody can tell from it",
                InStep(120.0, 1_500.0),
            ),
            ("five seconds were buffered", Disturbed(0, 4)),
            ("and they know", Is(State::Playing)),
        ],
    );
}

#[test]
fn what_is_buffered_plays_on_without_a_connection() {
    play(
        PAIR,
        4,
        &[
            ("in step, five seconds buffered", Run(20.0)),
            ("the network fails", Suffer(CutConnections)),
            ("the buffer plays on", InStep(0.3, 400.0)),
            ("a new connection comes up and takes over", Run(3.0)),
            ("in step as before", InStep(10.0, 1_000.0)),
            ("and nobody heard anything of it", Disturbed(0, 0)),
        ],
    );
}

#[test]
fn a_new_connection_is_not_heard() {
    let mut world = World::new(PAIR);
    world.run(20.0);
    world.suffer(CutConnections);
    world.take_report();
    // A fade is five milliseconds: look closer than that.
    for _ in 0..1_500 {
        world.run(0.002);
        world.look();
    }
    assert!(world.stats().iter().all(|stats| stats.state == State::Playing), "connected again");
    let mut heard = world.take_report();
    assert_eq!(heard.silent_looks, 0, "a hole");
    assert!(heard.error_us(1.0) < 1_000.0, "a jump of {} us", heard.error_us(1.0));
}

#[test]
fn a_delay_is_heard_within_a_tenth_of_a_second() {
    for ms in [80_i16, -40] {
        let mut world = World::new(PAIR);
        world.run(20.0);
        world.command(&Command::SetDelay(ms));
        world.run(0.1);
        world.take_report();
        world.run(5.0);
        let errors_us = world.take_report().errors_us;
        let asked_us = f64::from(ms.abs()) * 1e3;
        assert!(!errors_us.is_empty());
        assert!(
            errors_us.iter().all(|us| (us - asked_us).abs() < 1_000.0),
            "{ms} ms: {errors_us:?}"
        );
        assert!(world.stats().iter().all(|stats| stats.reanchors == 0), "counted as a disturbance");
    }
}

#[test]
fn a_server_that_restarts_is_followed_without_help() {
    play(
        PAIR,
        4,
        &[
            ("in step", Run(10.0)),
            ("the server goes down", StopServer),
            ("long enough for the buffer to run dry", Run(8.0)),
            ("the page says so", Is(State::Reconnecting)),
            ("another clock, another timeline", StartServer),
            ("one retry is at most 15 s away", Run(20.0)),
            ("in step again", InStep(10.0, 1_000.0)),
            ("and known to be", Is(State::Playing)),
        ],
    );
}

/// What may come of a fault.
#[derive(Clone, Copy)]
struct Bounds {
    /// Longest time that anybody is audibly out of step, milliseconds.
    astray_ms: f64,
    /// Sync error of 99 of 100 looks from two seconds after the end of the cause on, µs.
    error_us: f64,
    /// How often sound breaks off, and how often it jumps.
    disturbances: (u32, u32),
}

/// In step is within a millisecond, as the specification has it (wire reference 5.5).
const BOUNDS: Bounds = Bounds { astray_ms: 200.0, error_us: 1_000.0, disturbances: (0, 0) };

/// Something happens to two players in step; two seconds after it ended they are in step again.
fn survives(fault: Fault, lasts_s: f64, bounds: Bounds) {
    let (underruns, jumps) = bounds.disturbances;
    play(
        PAIR,
        SEEDS,
        &[
            ("in step, five seconds buffered", Run(20.0)),
            ("it happens", Suffer(fault)),
            ("nobody is heard out of step meanwhile", Bearable(lasts_s, bounds.astray_ms)),
            ("nor in the two seconds after", Bearable(2.0, bounds.astray_ms)),
            ("in step again", InStep(10.0, bounds.error_us)),
            ("and nothing else was heard", Disturbed(underruns, jumps)),
            ("and known to be", Is(State::Playing)),
        ],
    );
}

#[test]
fn stalls_shorter_than_the_buffer_are_not_heard() {
    for seconds in [0.3, 1.0, 3.0] {
        survives(Stall(seconds), seconds, BOUNDS);
    }
}

#[test]
fn a_stall_longer_than_the_buffer_is_one_hole() {
    survives(Stall(8.0), 8.0, Bounds { disturbances: (1, 0), ..BOUNDS });
}

#[test]
fn a_page_that_is_busy_is_not_heard() {
    for seconds in [0.2, 1.0, 2.0] {
        survives(Block(seconds), seconds, BOUNDS);
    }
}

#[test]
fn a_machine_that_slept_comes_back_in_step() {
    for seconds in [3.0, 60.0, 3_600.0] {
        // One jump when it wakes, one when the clock is known again; in one world of fifty another one.
        survives(Sleep(seconds), seconds, Bounds { disturbances: (1, 3), ..BOUNDS });
    }
}

#[test]
fn another_way_for_the_sound_is_taken_into_account_at_once() {
    for ms in [4.0, 20.0, 80.0, 250.0, -25.0] {
        // What is rendered already is heard after the new latency, 30 ms and this: nobody can change that.
        let astray_ms = BOUNDS.astray_ms + f64::max(0.0, 30.0 + ms);
        survives(AddLatency(ms), 0.5, Bounds { astray_ms, disturbances: (0, 1), ..BOUNDS });
    }
}

#[test]
fn hidden_pages_play_on() {
    for seconds in [1.0, 60.0] {
        survives(Hide(seconds), 120.0, BOUNDS);
    }
}

#[test]
fn lies_about_the_output_do_not_move_anybody() {
    for (reports, jumps) in [
        (Reports::Stale, 1),
        (Reports::Future, 1),
        (Reports::Zero, 1),
        (Reports::WrongScale, 1),
        (Reports::WrongSlope, 1),
        (Reports::Absent, 1),
        (Reports::Erratic, 2),
    ] {
        let disturbances = (0, jumps);
        survives(Fault::Report(reports), 5.0, Bounds { disturbances, ..BOUNDS });
    }
}

#[test]
fn an_output_that_settles_slowly_is_borne() {
    let config = WorldConfig { reports: Reports::Astray, ..PAIR };
    play(
        config,
        SEEDS,
        &[
            ("nobody is audibly out of step from the first sound on", Run(0.5)),
            ("while the reported clock is milliseconds astray", Bearable(15.0, BOUNDS.astray_ms)),
            ("in step when it has come back", InStep(20.0, 1_000.0)),
            ("and steady", InStep(10.0, 300.0)),
        ],
    );
}

/// Nobody can tell a path that is longer one way from a clock that is ahead: half the difference is an error that only
/// the delay trim takes away.
#[test]
fn a_path_that_is_longer_one_way_shifts_by_half_of_that_and_no_more() {
    let link = |delay_us| LinkProfile { delay_us, ..LinkProfile::LAN };
    let mut world = World::new(WorldConfig { up: link(5_000.0), down: link(25_000.0), ..PAIR });
    world.run(20.0);
    world.take_report();
    world.run(20.0);
    let mut report = world.take_report();
    for quantile in [0.01, 0.99] {
        let error_us = report.error_us(quantile);
        assert!((error_us - 10_000.0).abs() < 400.0, "{error_us} us");
    }
}

#[test]
fn another_format_in_mid_stream_is_not_heard() {
    for bits in [24, 16] {
        survives(ChangeFormat(bits), 5.0, BOUNDS);
    }
}

#[test]
fn who_stops_and_joins_again_is_in_step_at_once() {
    play(
        PAIR,
        SEEDS,
        &[
            ("in step", Run(20.0)),
            ("a person presses Stop", Tell(Command::Stop)),
            ("and Join, a while later", Run(7.0)),
            ("on the same page", JoinAgain),
            ("it is heard within a second and a half", Run(1.5)),
            // 1 ms is the bar of 99 of 100 looks in a thousand worlds; the worst of those had 1.3.
            ("and about within a millisecond from then on", InStep(10.0, 1_500.0)),
            ("soon better than that", InStep(10.0, 500.0)),
            ("and known to be", Is(State::Playing)),
        ],
    );
}

#[test]
fn who_stops_is_silent() {
    play(
        PAIR,
        2,
        &[
            ("in step", Run(5.0)),
            ("a person presses Stop", Tell(Command::Stop)),
            ("what the device has taken is played", Run(0.1)),
            ("and nothing else", Silent(10.0)),
            ("nor is it tried again", Is(State::Idle)),
        ],
    );
}

/// Two players chirp in place of the stream, each by its own clocks; one hears both, and is put right by that.
#[test]
fn a_detour_that_no_browser_knows_of_is_measured_and_made_up_for() {
    for (seed, astray_ms) in [(1, 43.0), (2, -18.4), (3, 220.7)] {
        let mut world = World::new(WorldConfig { seed, ..PAIR });
        world.run(20.0);
        world.lead_astray(1, astray_ms);
        world.tell(0, Command::Calibrate(CalibrationWish::PlayAlong));
        world.tell(1, Command::Calibrate(CalibrationWish::Measure));
        world.run_aloud(20.0);
        let Calibration::Done { late_ms, within_ms, delay_ms, before_ms } = world.calibrations()[1]
        else {
            panic!("seed {seed}: {:?}", world.calibrations());
        };
        println!("{astray_ms} ms astray: {late_ms:.3} ms measured, ± {within_ms:.2} ms");
        assert_eq!(before_ms, 0);
        assert_eq!(f64::from(delay_ms), late_ms.round());
        assert!((late_ms - astray_ms).abs() <= within_ms - 0.5, "{late_ms} ± {within_ms} ms");
        assert!(within_ms <= 1.5, "± {within_ms} ms");
        world.tell(0, Command::Calibrate(CalibrationWish::End));
        world.run(1.0);
        world.take_report();
        world.run(5.0);
        let mut report = world.take_report();
        assert_eq!(report.silent_looks, 0, "seed {seed}: the music is back");
        let error_us = report.error_us(0.99);
        assert!(error_us <= 1e3 * within_ms, "seed {seed}: {error_us} µs");
        for stats in world.stats() {
            assert_eq!((stats.reanchors, stats.underruns), (0, 0), "seed {seed}: {stats:?}");
        }
    }
}

#[test]
fn a_device_that_does_not_play_along_is_missed_and_nothing_is_moved() {
    let mut world = World::new(PAIR);
    world.run(20.0);
    world.tell(1, Command::Calibrate(CalibrationWish::Measure));
    world.run_aloud(31.0);
    let missed = Calibration::Refused(Refusal::Doubt(Doubt::OtherNotHeard));
    assert_eq!(world.calibrations(), [Calibration::Off, missed]);
    world.take_report();
    world.run(5.0);
    let mut report = world.take_report();
    assert_eq!(report.silent_looks, 0);
    assert!(report.error_us(0.99) <= 400.0);
}
