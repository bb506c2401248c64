//! Scripted scenarios: a plan is a list of steps, each with the reason why it is there.

use player_wasm::player::Command;
use player_wasm::stats::State;

use crate::sim::{Fault, Report, World, WorldConfig};

/// Nobody may ever play faster or slower than this, ppm (wire reference 5.5).
const SPEED_PPM_MAX: f64 = 5_000.0;

/// One line of a plan.
#[derive(Clone, Debug)]
pub enum Step {
    /// Lets this many seconds pass, unobserved.
    Run(f64),
    /// Another player joins.
    Join,
    /// Everybody who stopped joins again.
    JoinAgain,
    /// The server goes down; every connection breaks.
    StopServer,
    /// A server comes up, with a clock of another origin.
    StartServer,
    /// Something happens to every player.
    Suffer(Fault),
    /// Every player is told this.
    Tell(Command),
    /// For this many seconds nobody is silent and 99 of 100 looks are in step within this many µs.
    InStep(f64, f64),
    /// For this many seconds nobody is out of step by more than 5 ms for longer than this many milliseconds.
    Bearable(f64, f64),
    /// For this many seconds nobody is heard.
    Silent(f64),
    /// Every player is in this state.
    Is(State),
    /// No player had more than this many underruns and jumps so far.
    Disturbed(u32, u32),
}

/// Plays `plan` in a world for each of `seeds`.
///
/// # Panics
///
/// When a step does not hold, with the seed, the step's reason, and what was found.
pub fn play(config: WorldConfig, seeds: u64, plan: &[(&str, Step)]) {
    for seed in 0..seeds {
        let mut world = World::new(WorldConfig { seed, ..config });
        for (reason, step) in plan {
            if let Err(found) = take(&mut world, step) {
                panic!("seed {seed}: {reason}: {step:?}: {found}");
            }
        }
    }
}

fn take(world: &mut World, step: &Step) -> Result<(), String> {
    match step.clone() {
        Step::Run(seconds) => world.run(seconds),
        Step::Join => world.join(),
        Step::JoinAgain => world.join_again(),
        Step::StopServer => world.stop_server(),
        Step::StartServer => world.start_server(),
        Step::Suffer(fault) => world.suffer(fault),
        Step::Tell(command) => world.command(&command),
        Step::InStep(seconds, within_us) => {
            let mut report = observe(world, seconds)?;
            let p99_us =
                if report.errors_us.is_empty() { f64::INFINITY } else { report.error_us(0.99) };
            if p99_us > within_us || report.silent_looks > 0 {
                return Err(format!("p99 {p99_us} µs, {} silent looks", report.silent_looks));
            }
        }
        Step::Bearable(seconds, astray_ms_max) => {
            let report = observe(world, seconds)?;
            if report.astray_ms > astray_ms_max {
                return Err(format!("out of step for {} ms", report.astray_ms));
            }
        }
        Step::Silent(seconds) => {
            let heard = observe(world, seconds)?.errors_us.len();
            if heard > 0 {
                return Err(format!("heard at {heard} looks"));
            }
        }
        Step::Is(state) => {
            let states: Vec<State> = world.stats().iter().map(|stats| stats.state).collect();
            if states.iter().any(|is| *is != state) {
                return Err(format!("{states:?}"));
            }
        }
        Step::Disturbed(underruns, jumps) => {
            for stats in world.stats() {
                if stats.underruns > underruns || stats.reanchors > jumps {
                    return Err(format!("{stats:?}"));
                }
            }
        }
    }
    Ok(())
}

/// What is heard in the next `seconds`; an error if somebody plays audibly too fast or too slow.
fn observe(world: &mut World, seconds: f64) -> Result<Report, String> {
    world.take_report();
    world.run(seconds);
    let report = world.take_report();
    if report.speed_ppm > SPEED_PPM_MAX {
        return Err(format!("wrong speed by {} ppm", report.speed_ppm));
    }
    Ok(report)
}
