//! Runs the cases, one after the other, and reports each.

use std::fs::{self, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use rustix::fs::OFlags;

use crate::cases;
use crate::guest::{Guest, note};
use crate::plan::Plan;

/// Lines of the kernel's log that are shown when a case has failed.
const LOG: usize = 30;

pub(crate) fn main() {
    let all = cases::all();
    let guest = Guest::new();
    let up = fs::read_to_string("/proc/uptime").unwrap_or_default();
    note(&format!(
        "up after {} s",
        up.split(' ').next().unwrap_or_default()
    ));
    for name in Plan::read().cases {
        let case = all.iter().find(|(known, _)| *known == name);
        let (_, case) = case.expect("the harness has the names from this program");
        println!("@@ start {name}");
        let before = Instant::now();
        let ended = catch_unwind(AssertUnwindSafe(|| case(&guest)));
        let time = before.elapsed().as_millis();
        if ended.is_err() {
            show_kernel_log();
        }
        println!(
            "\n@@ {} {name} {time}",
            if ended.is_ok() { "ok" } else { "failed" }
        );
    }
    println!("@@ end");
}

/// Shows the end of the kernel's log, of which each read gives a line, `6,339,5140900,-;text`.
fn show_kernel_log() {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let log = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open("/dev/kmsg");
    let Ok(mut log) = log else { return };
    let mut lines = Vec::new();
    let mut room = [0; 8192];
    while let Ok(bytes @ 1..) = log.read(&mut room) {
        let line = String::from_utf8_lossy(&room[..bytes]);
        lines.push(line.lines().next().unwrap_or_default().to_owned());
    }
    for line in lines.iter().skip(lines.len().saturating_sub(LOG)) {
        let text = line.split_once(';').map_or(line.as_str(), |(_, text)| text);
        println!("kernel: {text}");
    }
}
