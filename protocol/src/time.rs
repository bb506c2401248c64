//! Points and spans of time, one type for each clock.
//!
//! A point in time on one clock means nothing on another, and ten seconds of one crystal are not ten
//! seconds of the next. [`Timestamp`] and [`Span`] therefore carry their clock in the type, and only a
//! [`ClockMapping`](crate::time_filter::ClockMapping) turns one into the other.
//!
//! Resolution is one microsecond, that of the wire. Arithmetic saturates: a peer may send any 64-bit
//! value, and the worst it can get is a time in the far past or future.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Microseconds in a second, the factor between wire time and rates in hertz.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// Names the clock that a [`Timestamp`] was read from. It is not a source of time.
pub trait ClockDomain: Copy + fmt::Debug + PartialEq + 'static {
    /// Short name for logs, for example `server` in `250000us(server)`.
    const NAME: &'static str;
}

/// The server's monotonic clock. Its origin is arbitrary and changes when the server restarts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ServerClock {}

/// The client's monotonic clock, `performance.now()` in a browser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClientClock {}

/// The clock of an audio output: frames put out, in microseconds at the nominal rate.
///
/// It runs at the speed of the output's crystal, so its seconds are neither the client's nor the
/// server's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DeviceClock {}

impl ClockDomain for ServerClock {
    const NAME: &'static str = "server";
}

impl ClockDomain for ClientClock {
    const NAME: &'static str = "client";
}

impl ClockDomain for DeviceClock {
    const NAME: &'static str = "device";
}

/// A point in time on clock `C`, in microseconds since that clock's arbitrary origin.
///
/// Mixing clocks does not compile:
///
/// ```compile_fail,E0308
/// use protocol::time::{ClientTime, ServerTime};
/// let play_at = ServerTime::from_micros(1_000_000);
/// let now = ClientTime::from_micros(250_000);
/// let _wait = play_at - now;
/// ```
///
/// ```compile_fail,E0308
/// use protocol::time::{ClientTime, ServerSpan};
/// let _later = ClientTime::from_micros(0) + ServerSpan::from_millis(20);
/// ```
pub struct Timestamp<C>(i64, PhantomData<fn() -> C>);

/// A signed length of time as measured by clock `C`, in microseconds.
pub struct Span<C>(i64, PhantomData<fn() -> C>);

/// A point in time on the server's clock, as carried by audio chunks.
pub type ServerTime = Timestamp<ServerClock>;
/// A length of time on the server's clock.
pub type ServerSpan = Span<ServerClock>;
/// A point in time on the client's clock.
pub type ClientTime = Timestamp<ClientClock>;
/// A length of time on the client's clock.
pub type ClientSpan = Span<ClientClock>;
/// A point in time on an audio output's clock.
pub type DeviceTime = Timestamp<DeviceClock>;

impl<C> Timestamp<C> {
    /// The time `micros` microseconds after the clock's origin.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros, PhantomData)
    }

    /// Microseconds since the clock's origin.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }
}

impl<C> Span<C> {
    /// No time at all.
    pub const ZERO: Self = Self::from_micros(0);

    /// A span of `micros` microseconds.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros, PhantomData)
    }

    /// A span of `millis` milliseconds. Saturates.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1_000))
    }

    /// A span of `seconds` seconds. Saturates.
    #[must_use]
    pub const fn from_secs(seconds: i64) -> Self {
        Self::from_micros(seconds.saturating_mul(MICROS_PER_SECOND))
    }

    /// The span in microseconds.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The span in seconds, for arithmetic with rates.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / MICROS_PER_SECOND as f64
    }

    /// The same length without its sign. Saturates.
    #[must_use]
    pub const fn abs(self) -> Self {
        Self::from_micros(self.0.saturating_abs())
    }
}

// Written out because a derive would ask the same of `C`, which is only a name.
macro_rules! value_traits {
    ($type:ident) => {
        impl<C> Clone for $type<C> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<C> Copy for $type<C> {}
        impl<C> PartialEq for $type<C> {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }
        impl<C> Eq for $type<C> {}
        impl<C> PartialOrd for $type<C> {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl<C> Ord for $type<C> {
            fn cmp(&self, other: &Self) -> Ordering {
                self.0.cmp(&other.0)
            }
        }
        impl<C> Hash for $type<C> {
            fn hash<H: Hasher>(&self, state: &mut H) {
                self.0.hash(state);
            }
        }
        impl<C: ClockDomain> fmt::Debug for $type<C> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}us({})", self.0, C::NAME)
            }
        }
        impl<C> Serialize for $type<C> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_i64(self.0)
            }
        }
        impl<'de, C> Deserialize<'de> for $type<C> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                i64::deserialize(deserializer).map(Self::from_micros)
            }
        }
    };
}

value_traits!(Timestamp);
value_traits!(Span);

impl<C> Default for Span<C> {
    fn default() -> Self {
        Self::ZERO
    }
}

impl<C> Add<Span<C>> for Timestamp<C> {
    type Output = Self;

    fn add(self, span: Span<C>) -> Self {
        Self::from_micros(self.0.saturating_add(span.0))
    }
}

impl<C> AddAssign<Span<C>> for Timestamp<C> {
    fn add_assign(&mut self, span: Span<C>) {
        *self = *self + span;
    }
}

impl<C> Sub<Span<C>> for Timestamp<C> {
    type Output = Self;

    fn sub(self, span: Span<C>) -> Self {
        Self::from_micros(self.0.saturating_sub(span.0))
    }
}

impl<C> Sub for Timestamp<C> {
    type Output = Span<C>;

    fn sub(self, earlier: Self) -> Span<C> {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl<C> Add for Span<C> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::from_micros(self.0.saturating_add(other.0))
    }
}

impl<C> AddAssign for Span<C> {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl<C> Sub for Span<C> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::from_micros(self.0.saturating_sub(other.0))
    }
}

impl<C> SubAssign for Span<C> {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl<C> Neg for Span<C> {
    type Output = Self;

    fn neg(self) -> Self {
        Self::from_micros(self.0.saturating_neg())
    }
}

impl<C> Mul<i64> for Span<C> {
    type Output = Self;

    fn mul(self, factor: i64) -> Self {
        Self::from_micros(self.0.saturating_mul(factor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let far = ServerTime::from_micros(i64::MAX);
        let near = ServerTime::from_micros(i64::MIN);
        assert_eq!(far + ServerSpan::from_secs(1), far);
        assert_eq!(near - ServerSpan::from_secs(1), near);
        assert_eq!((far - near).as_micros(), i64::MAX);
        assert_eq!((near - far).abs().as_micros(), i64::MAX);
        assert_eq!((-ServerSpan::from_micros(i64::MIN)).as_micros(), i64::MAX);
    }

    #[test]
    fn a_log_line_names_the_clock() {
        assert_eq!(format!("{:?}", ClientTime::from_micros(250_000)), "250000us(client)");
        assert_eq!(format!("{:?}", ServerSpan::from_millis(-1)), "-1000us(server)");
    }
}
