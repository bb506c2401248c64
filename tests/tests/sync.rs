//! N players agree, in virtual time: drift, jitter, stalls, late join, loss of the network and of the server.
//!
//! `PARTYLINE_SEEDS=100` runs the ten-minute worlds with that many seeds; CI takes few.

use e2e::plan::Step::{
    CutConnections, Disturbed, InStep, Is, Join, Run, Silent, StartServer, StopServer, Tell, Use,
};
use e2e::plan::play;
use e2e::sim::{LinkProfile, Report, World, WorldConfig};
use player_wasm::player::Command;
use player_wasm::stats::State;

const HOME: WorldConfig = WorldConfig {
    seed: 0,
    players: 8,
    drift_ppm_max: 100.0,
    device_hz: 48_000,
    link: LinkProfile::HOME,
};

const PAIR: WorldConfig = WorldConfig { players: 2, ..HOME };

/// Ten virtual minutes with eight players, from the first sound on.
fn ten_minutes(device_hz: u32) {
    let seeds = std::env::var("PARTYLINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut all = Report::default();
    for seed in 0..seeds.unwrap_or(2) {
        let mut world = World::new(WorldConfig { seed, device_hz, ..HOME });
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
    assert!(p99 <= 200.0, "sync error p99 is {p99} µs");
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
            ("one message in 200 is 200 ms late", Use(LinkProfile::LOSSY)),
            ("16 ms of jitter and stalls", InStep(120.0, 1_000.0)),
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
            ("the network fails", CutConnections),
            ("the buffer plays on", InStep(0.3, 400.0)),
            ("a new connection comes up and takes over, with a fade of 5 ms", Run(3.0)),
            ("in step as before", InStep(10.0, 1_000.0)),
            ("and nothing was lost", Disturbed(0, 3)),
        ],
    );
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
