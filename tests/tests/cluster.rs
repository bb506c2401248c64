//! Origin, edges and players in virtual time: the same sample at the same instant, whichever edge one is at.

use e2e::plan::{Step, play};
use e2e::sim::{Fault, LinkProfile, Report, World, WorldConfig};
use player_wasm::stats::State;

use Step::{Bearable, InStep, Is, Run, Silent, StartServer, StopServer, Suffer};

/// 5 ± 3 ms each way.
const SITES: LinkProfile =
    LinkProfile { delay_us: 2_000.0, jitter_us: 6_000.0, ..LinkProfile::NONE };

/// Four players at two edges.
const TWO_EDGES: WorldConfig =
    WorldConfig { players: 4, edges: 2, uplink: SITES, ..WorldConfig::HOME };

/// Worlds for each plan: `PARTYLINE_SEEDS`, or a few.
fn seeds() -> u64 {
    std::env::var("PARTYLINE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(3)
}

#[test]
fn players_of_two_edges_are_together() {
    let (mut apart, mut clocks, mut all) = (Vec::new(), Vec::new(), Report::default());
    for seed in 0..seeds() {
        let mut world = World::new(WorldConfig { seed, ..TWO_EDGES });
        world.run(10.0);
        world.take_report();
        world.run(300.0);
        let mut report = world.take_report();
        assert_eq!(report.silent_looks, 0, "seed {seed}");
        apart.push(report.apart_us(0.95));
        clocks.push(report.clock_error_us(0.99));
        all.extend(&report);
    }
    println!("players of different edges, p95 of each world, us: {apart:.0?}");
    println!("edge clocks, p99 of each world, us: {clocks:.0?}");
    println!("of all worlds: {:.0} and {:.0} us", all.apart_us(0.95), all.clock_error_us(0.99));
    assert!(all.apart_us(0.95) <= 300.0 && all.clock_error_us(0.99) <= 150.0, "{apart:.0?}");
}

#[test]
fn a_network_that_is_away_for_a_while_is_not_heard() {
    for seconds in [1.0, 5.0] {
        play(
            TWO_EDGES,
            seeds(),
            &[
                ("the party gets under way", Run(15.0)),
                ("the network between the sites is away", Suffer(Fault::CutUplinks(seconds))),
                ("edges play on from what they have", InStep(10.0, 700.0)),
                ("and are where they were", InStep(30.0, 1_000.0)),
            ],
        );
    }
}

#[test]
fn a_network_that_is_away_for_long_is_a_pause_for_everybody() {
    play(
        TWO_EDGES,
        seeds(),
        &[
            ("the party gets under way", Run(15.0)),
            ("longer than anything that is buffered", Suffer(Fault::CutUplinks(30.0))),
            ("what is there is played", InStep(8.0, 700.0)),
            ("then it is over", Run(4.0)),
            ("and everybody waits", Silent(15.0)),
            ("the network is back", Run(8.0)),
            ("all go on in step", InStep(20.0, 1_000.0)),
            ("without having left the page", Is(State::Playing)),
        ],
    );
}

#[test]
fn an_origin_that_comes_back_with_another_clock_is_followed() {
    play(
        TWO_EDGES,
        seeds(),
        &[
            ("the party gets under way", Run(15.0)),
            ("the origin's machine goes down", StopServer),
            ("nobody is out of step meanwhile", Bearable(6.0, 10.0)),
            ("another one takes its place", StartServer),
            ("edges and players find it", Run(12.0)),
            ("and play what it plays", InStep(20.0, 1_500.0)),
            ("the clocks are compared for a while", Run(30.0)),
            ("as well as before", InStep(20.0, 500.0)),
        ],
    );
}

#[test]
fn chunks_that_get_lost_on_the_way_are_fetched() {
    play(
        TWO_EDGES,
        seeds(),
        &[
            ("one in five is lost", Suffer(Fault::LoseChunks(5))),
            ("the party gets under way", Run(10.0)),
            ("nobody notices", InStep(60.0, 1_000.0)),
        ],
    );
}
