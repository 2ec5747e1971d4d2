//! Times as classes, so that two recordings of one behaviour are equal.

use std::{fmt, time::Duration};

/// How long something took. The limits lie far from what a kubelet waits for: nothing, one
/// or more tries a second apart, 10 s for a dial, 30 s for `PreStartContainer`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    AtOnce,
    Seconds,
    TenSeconds,
    HalfAMinute,
    Longer,
}

impl Class {
    pub(super) fn of(time: Duration) -> Self {
        match time.as_millis() {
            0..2_000 => Self::AtOnce,
            2_000..8_000 => Self::Seconds,
            8_000..20_000 => Self::TenSeconds,
            20_000..45_000 => Self::HalfAMinute,
            _ => Self::Longer,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "at once",
            Self::Seconds => "after some seconds",
            Self::TenSeconds => "after about 10 s",
            Self::HalfAMinute => "after about 30 s",
            Self::Longer => "after a long time",
        })
    }
}
