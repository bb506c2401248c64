//! Tells a live sender from one that is faster, and follows the clock of a live one.
//!
//! A sender that is faster than real time keeps what is held full, and is held back: it needs no following. One that does
//! not, and whose lead does not grow, is live: its sound card has a clock of its own, and what is in hand would run dry or
//! over within hours. From the lead this tells how much faster or slower to read, so that the lead stays.
//!
//! What comes through a network comes in bursts, and a burst can be late but never early. So the lead is taken at its
//! highest in a stretch of time, which is when the least late burst had just come. From there on it is a
//! proportional-integral controller, near critical damping, slow enough that nobody hears it: see `lore` D5 and the tests.

use std::time::Duration;

/// How long a sender has to look live before it is taken for live.
const WATCH: Duration = Duration::from_secs(5);

/// A lead that grows by this much within [`WATCH`], in seconds, is being filled by a sender that is faster.
const FILLING_S: f64 = 0.25;

/// Time over which the highest lead is taken: some forty bursts, and short against the loop's own time.
const WINDOW: Duration = Duration::from_secs(10);

/// Weight of a new window in the smoothed lead, which then is that of the last minute or so.
const SMOOTHING: f64 = 0.15;

/// Rate per lead that is missing, ppm/s. A loop of 250 s: a step of 80 ppm moves the lead by about 8 ms at most.
const PROPORTIONAL: f64 = 8_000.0;

/// Rate per lead that is missing for a second, ppm/s²: a quarter of the square of the other, for critical damping.
const INTEGRAL: f64 = 16.0;

/// Fastest and slowest, ppm. Sound cards are within 100; 500 is a hundredth of a semitone.
const PPM_MAX: f64 = 500.0;

/// Most change of the rate, ppm for each second.
const SLEW_PPM: f64 = 20.0;

/// A lead that is further from its target than this, in seconds, counts as this: a stall is no drift.
const ERROR_MAX_S: f64 = 0.1;

/// The follower.
#[derive(Debug)]
pub(super) struct Follow {
    /// Shortest lead that is aimed at, in seconds.
    lead_s: f64,
    phase: Phase,
    /// What the rate has been found to be, ppm. Kept when the sound stops and goes on.
    drift_ppm: f64,
    /// The rate to go to, and the rate that is read at, ppm.
    wanted_ppm: f64,
    ppm: f64,
    seen: Duration,
    window: Option<Window>,
}

#[derive(Debug)]
enum Phase {
    /// It may be anything; it has looked live since then, and had this lead.
    Watching { since: Duration, lead_s: f64 },
    /// It is live, and the smoothed lead is to be at the target.
    Following { target_s: f64, smooth_s: f64 },
}

/// A stretch of time and the highest lead in it.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Duration,
    highest_s: f64,
}

impl Follow {
    /// Aims at `lead` at least.
    pub(super) fn new(lead: Duration) -> Self {
        let phase = Phase::Watching { since: Duration::ZERO, lead_s: 0.0 };
        let (drift_ppm, wanted_ppm, ppm) = (0.0, 0.0, 0.0);
        let (lead_s, seen) = (lead.as_secs_f64(), Duration::ZERO);
        Self { lead_s, phase, drift_ppm, wanted_ppm, ppm, seen, window: None }
    }

    /// Aims at `lead` at least, from the next [`Self::restart`] on.
    pub(super) fn set_lead(&mut self, lead: Duration) {
        self.lead_s = lead.as_secs_f64();
    }

    /// The sound begins, or goes on after a silence.
    pub(super) fn restart(&mut self, now: Duration) {
        let is_live = self.is_live();
        self.window = None;
        self.phase = if is_live {
            Phase::Following { target_s: self.lead_s, smooth_s: self.lead_s }
        } else {
            Phase::Watching { since: now, lead_s: 0.0 }
        };
    }

    /// Whether the sender is live, as far as is known.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Following { .. })
    }

    /// What was found at `now`: how long everything in hand lasts, and whether the sender is being held back. Returns how
    /// many ppm faster to read; `None` is as it is.
    pub(super) fn observe(&mut self, now: Duration, lead_s: f64, is_full: bool) -> Option<f64> {
        let elapsed_s = now.saturating_sub(self.seen).as_secs_f64();
        self.seen = now;
        if is_full {
            self.phase = Phase::Watching { since: now, lead_s };
            self.window = None;
            return None;
        }
        if let Phase::Watching { since, lead_s: before_s } = &mut self.phase
            && lead_s > *before_s + FILLING_S
        {
            (*since, *before_s) = (now, lead_s);
            self.window = None;
        }
        let window = self.window.get_or_insert(Window { since: now, highest_s: lead_s });
        window.highest_s = window.highest_s.max(lead_s);
        if now.saturating_sub(window.since) >= WINDOW {
            let Window { since, highest_s } = *window;
            self.window = None;
            self.steer(now, highest_s, now.saturating_sub(since).as_secs_f64());
        }
        self.is_live().then(|| {
            let slew = SLEW_PPM * elapsed_s;
            self.ppm = self.wanted_ppm.clamp(self.ppm - slew, self.ppm + slew);
            self.ppm
        })
    }

    /// Takes in the highest lead of the last `elapsed_s` seconds.
    fn steer(&mut self, now: Duration, highest_s: f64, elapsed_s: f64) {
        match &mut self.phase {
            Phase::Watching { since, .. } => {
                if now.saturating_sub(*since) >= WATCH {
                    // More than was asked for is kept, as a radio's first burst is: it bridges holes.
                    let target_s = highest_s.max(self.lead_s);
                    self.phase = Phase::Following { target_s, smooth_s: highest_s };
                    (self.wanted_ppm, self.ppm) = (self.drift_ppm, 0.0);
                }
            }
            Phase::Following { target_s, smooth_s } => {
                let seen_s = highest_s.clamp(*target_s - ERROR_MAX_S, *target_s + ERROR_MAX_S);
                *smooth_s += SMOOTHING * (seen_s - *smooth_s);
                let error_s = (*smooth_s - *target_s).clamp(-ERROR_MAX_S, ERROR_MAX_S);
                let wanted = self.drift_ppm + PROPORTIONAL * error_s;
                // At the limit it learns nothing: it would have to be unlearned.
                if wanted.abs() < PPM_MAX {
                    self.drift_ppm += INTEGRAL * error_s * elapsed_s;
                }
                self.wanted_ppm = wanted.clamp(-PPM_MAX, PPM_MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sender whose clock is off, behind a network, in virtual time.
    struct Sender {
        drift_ppm: f64,
        /// Seconds of its sound that have come.
        come_s: f64,
        /// When the next burst comes.
        next_s: f64,
        random: u64,
    }

    /// How late a burst is.
    enum Network {
        /// All that was made until a burst comes comes with it.
        Bursts,
        /// Each burst is late by itself.
        Late,
    }

    impl Sender {
        fn new(drift_ppm: f64) -> Self {
            Self { drift_ppm, come_s: 0.0, next_s: 0.0, random: 0x9E37_79B9_7F4A_7C15 }
        }

        /// 100 to 400 ms.
        fn pause_s(&mut self) -> f64 {
            // Marsaglia's xorshift, 64 bits.
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            0.1 + 0.3 * (self.random >> 11) as f64 / (1_u64 << 53) as f64
        }

        /// Seconds of sound that have come by `now_s`.
        fn by(&mut self, now_s: f64, network: &Network) -> f64 {
            while self.next_s <= now_s {
                let late_s = match network {
                    Network::Bursts => 0.0,
                    Network::Late => self.pause_s(),
                };
                let made_s = (self.next_s - late_s).max(0.0) * (1.0 + self.drift_ppm * 1e-6);
                self.come_s = self.come_s.max(made_s);
                self.next_s += self.pause_s();
            }
            self.come_s
        }
    }

    struct Course {
        lowest_s: f64,
        /// How far the mean lead of five minutes went from that of the first ten, at most.
        wander_s: f64,
        /// Standard deviation of the rate in the second hour.
        ripple_ppm: f64,
        /// Largest change of the rate within a second.
        jump_ppm: f64,
        mean_ppm: f64,
    }

    /// Two hours of a live source of which one second is in hand at the start.
    fn two_hours(drift_ppm: f64, network: &Network) -> Course {
        let mut follow = Follow::new(Duration::from_secs(1));
        let mut sender = Sender::new(drift_ppm);
        let (mut taken_s, mut given_s, mut before_ppm) = (0.0, 0.0, 0.0);
        let (mut lately, mut means, mut rates) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lowest_s, mut jump_ppm) = (f64::MAX, 0.0_f64);
        // One second is collected, and then it is played.
        let start_s = (50..).map(|step| f64::from(step) * 0.02);
        let start_s = start_s.into_iter().find(|now_s| sender.by(*now_s, network) >= 1.0).unwrap();
        follow.restart(Duration::from_secs_f64(start_s));
        for step in 0..2 * 3_600 * 50 {
            let now_s = start_s + f64::from(step) * 0.02;
            let come_s = sender.by(now_s, network);
            let lead_s = given_s - (now_s - start_s);
            let news_s = come_s - taken_s;
            let ppm = follow.observe(Duration::from_secs_f64(now_s), lead_s + news_s, false);
            given_s += news_s / (1.0 + ppm.unwrap_or(0.0) * 1e-6);
            taken_s = come_s;
            let lead_s = given_s - (now_s - start_s);
            lowest_s = f64::min(lowest_s, lead_s);
            lately.push(lead_s);
            if lately.len() == 15_000 {
                means.push(lately.drain(..).sum::<f64>() / 15_000.0);
            }
            if step % 50 == 0 {
                let ppm = ppm.unwrap_or(0.0);
                jump_ppm = jump_ppm.max((ppm - before_ppm).abs());
                before_ppm = ppm;
                if step > 3_600 * 50 {
                    rates.push(ppm);
                }
            }
        }
        let begins_s = f64::midpoint(means[0], means[1]);
        let wander_s = means.iter().map(|lead_s| (lead_s - begins_s).abs()).fold(0.0, f64::max);
        let mean_ppm = rates.iter().sum::<f64>() / rates.len() as f64;
        let variance = rates.iter().map(|ppm| (ppm - mean_ppm).powi(2)).sum::<f64>();
        let ripple_ppm = (variance / rates.len() as f64).sqrt();
        Course { lowest_s, wander_s, ripple_ppm, jump_ppm, mean_ppm }
    }

    #[test]
    fn two_hours_of_a_clock_that_is_off_neither_run_dry_nor_over() {
        for network in [Network::Bursts, Network::Late] {
            for drift_ppm in [80.0, -80.0, 0.0] {
                let Course { lowest_s, wander_s, ripple_ppm, jump_ppm, mean_ppm } =
                    two_hours(drift_ppm, &network);
                println!(
                    "{drift_ppm} ppm: lowest {lowest_s:.3} s, wander {:.1} ms, ripple {ripple_ppm:.1} ppm, \
                     jump {jump_ppm:.1} ppm, mean {mean_ppm:.1} ppm",
                    wander_s * 1e3
                );
                assert!(lowest_s > 0.3, "{drift_ppm} ppm: {lowest_s} s in hand");
                assert!(wander_s < 0.02, "{drift_ppm} ppm: the lead went {wander_s} s away");
                assert!(ripple_ppm < 40.0, "{drift_ppm} ppm: ripple of {ripple_ppm} ppm");
                assert!(jump_ppm < 21.0, "{drift_ppm} ppm: a jump of {jump_ppm} ppm");
                assert!((mean_ppm - drift_ppm).abs() < 3.0, "{drift_ppm} ppm: found {mean_ppm}");
            }
        }
    }

    #[test]
    fn a_sender_that_is_held_back_is_never_followed() {
        let mut follow = Follow::new(Duration::from_secs(1));
        for step in 0..6_000 {
            let now = Duration::from_millis(20 * step);
            // Full now and then is enough, and so is a lead that still grows.
            let (lead_s, is_full) =
                if step < 2_000 { (step as f64 * 0.002, false) } else { (5.0, step % 100 == 0) };
            assert_eq!(follow.observe(now, lead_s, is_full), None, "at {now:?}");
        }
    }

    #[test]
    fn a_first_burst_is_kept_and_a_stall_is_no_drift() {
        let mut follow = Follow::new(Duration::from_secs(1));
        for step in 0..3_000_u32 {
            let now = Duration::from_millis(20 * u64::from(step));
            // A stall of two seconds in a lead of four.
            let stalled =
                if (1_500..1_600).contains(&step) { f64::from(step - 1_500) * 0.02 } else { 0.0 };
            let ppm = follow.observe(now, 4.0 - stalled, false).unwrap_or(0.0);
            assert!(ppm.abs() < 100.0, "{ppm} ppm at {now:?}");
        }
        assert!(follow.is_live());
    }
}
