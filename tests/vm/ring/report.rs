//! What people see.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use vm_tests::{Boot, Ended, Event, Report};

/// Lines of the console that are shown of a machine that died.
const TAIL: usize = 40;

/// Counts, and tells.
pub(crate) struct Tally {
    /// Whether to show everything that is said.
    all: bool,
    /// The cases of this machine that are done.
    done: BTreeSet<String>,
    passed: usize,
    failed: Vec<String>,
}

impl Tally {
    pub(crate) fn new(all: bool) -> Self {
        Self {
            all,
            done: BTreeSet::new(),
            passed: 0,
            failed: Vec::new(),
        }
    }

    pub(crate) fn heard(&mut self, event: Event, said: &[String]) {
        let failed = matches!(event, Event::Failed(..));
        if failed || self.all {
            for line in said {
                println!("    | {line}");
            }
        }
        match event {
            Event::Passed(case, time) => {
                println!("test {case} ... ok ({})", seconds(time));
                self.passed += 1;
                self.done.insert(case);
            }
            Event::Failed(case, time) => {
                println!("test {case} ... FAILED ({})", seconds(time));
                self.failed.push(case.clone());
                self.done.insert(case);
            }
            Event::Note(text) => println!("     {text}"),
            Event::Start(_) | Event::End => {}
        }
    }

    /// Counts what a machine has not run as failed.
    pub(crate) fn ended(&mut self, boot: &Boot, report: &Report, time: Duration) {
        let missing: Vec<_> = boot
            .cases
            .iter()
            .filter(|case| !self.done.contains(*case))
            .collect();
        match report.ended {
            Ended::Finished => println!("machine off after {:.1} s", time.as_secs_f64()),
            Ended::Died(status) => println!(
                "THE MACHINE DIED ({status}) after {:.1} s",
                time.as_secs_f64()
            ),
            Ended::TimedOut => println!("THE MACHINE WAS KILLED after {} s", boot.limit.as_secs()),
        }
        if report.ended != Ended::Finished && !self.all {
            let from = report.console.len().saturating_sub(TAIL);
            for line in report.console.iter().skip(from) {
                println!("    | {line}");
            }
        }
        for case in missing {
            println!("test {case} ... FAILED (has not ended)");
            self.failed.push(case.clone());
        }
        self.done.clear();
    }

    /// Counts what was looked at on this side, after a machine was off.
    pub(crate) fn compared(&mut self, name: &str, result: Result<()>) {
        match result {
            Ok(()) => {
                println!("test {name} ... ok");
                self.passed += 1;
            }
            Err(error) => {
                println!("test {name} ... FAILED: {error:#}");
                self.failed.push(name.to_owned());
            }
        }
    }

    /// Whether all passed. That nothing was run is no success.
    pub(crate) fn finish(self) -> bool {
        let ok = self.failed.is_empty() && self.passed > 0;
        let word = if ok { "ok" } else { "FAILED" };
        println!(
            "\ntest result: {word}. {} passed; {} failed",
            self.passed,
            self.failed.len()
        );
        for case in &self.failed {
            println!("    {case}");
        }
        ok
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a case takes less than 2^52 milliseconds"
)]
fn seconds(milliseconds: u64) -> String {
    format!("{:.2} s", milliseconds as f64 / 1000.0)
}
