//! How long things took. They are told, and nothing depends on them.

use std::{collections::BTreeMap, fmt, time::Duration};

/// Times by what happened, until the truth was told.
#[derive(Default)]
pub(crate) struct Figures {
    times: BTreeMap<&'static str, Vec<Duration>>,
    /// How often a socket could not be made.
    pub(crate) failed_sockets: u32,
}

impl Figures {
    pub(crate) fn add(&mut self, what: &'static str, took: Duration) {
        self.times.entry(what).or_default().push(took);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "from what happened to the truth, in ms:   50 %   90 %   99 %  100 %"
        )?;
        for (what, times) in &self.times {
            let mut times = times.clone();
            times.sort_unstable();
            write!(f, "{:6} x {what:30}", times.len())?;
            for percent in [50, 90, 99, 100] {
                let time = times[(times.len() - 1) * percent / 100];
                write!(f, " {:6.1}", time.as_secs_f64() * 1e3)?;
            }
            writeln!(f)?;
        }
        let failed = self.failed_sockets;
        write!(f, "{failed:6} x a socket could not be made at first")
    }
}
