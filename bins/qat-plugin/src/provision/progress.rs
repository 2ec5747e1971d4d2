//! Telling of events while they happen.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write, stdout};
use std::sync::{Mutex, PoisonError};

use qat_node::provision::Event;
use sysfs_pci::PciAddress;

use super::show;

/// Tells of events: as JSON, as a line each, or on a terminal as one line per PF that changes.
#[derive(Debug)]
pub(super) struct Progress {
    style: Style,
    /// What each PF is at, as it is on the terminal now.
    shown: Mutex<BTreeMap<PciAddress, String>>,
}

#[derive(Clone, Copy, Debug)]
enum Style {
    Json,
    Lines,
    Terminal,
}

impl Progress {
    /// Progress of these PFs.
    pub(super) fn new(json: bool, pfs: impl Iterator<Item = PciAddress>) -> Self {
        let style = match json {
            true => Style::Json,
            false if stdout().is_terminal() => Style::Terminal,
            false => Style::Lines,
        };
        let progress = Self {
            style,
            shown: Mutex::new(pfs.map(|pf| (pf, "…".to_owned())).collect()),
        };
        if matches!(style, Style::Terminal) {
            progress.draw(false);
        }
        progress
    }

    /// Tells of an event. That nobody reads is no reason to stop half-way.
    pub(super) fn tell(&self, event: &Event) {
        match self.style {
            Style::Json => {
                // One line at a time, whoever writes.
                let _lines = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
                let _unread = show::event(&mut stdout().lock(), event);
            }
            Style::Lines => {
                if let Some((pf, text)) = show::sentence(event) {
                    let _unread = writeln!(stdout().lock(), "{pf}: {text}");
                }
            }
            Style::Terminal => {
                if let Some((pf, text)) = show::sentence(event) {
                    let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
                    shown.insert(pf, text);
                    drop(shown);
                    self.draw(true);
                }
            }
        }
    }

    /// Draws a line per PF, over those that are there already if `again`.
    fn draw(&self, again: bool) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = stdout().lock();
        if again {
            let _unread = write!(out, "\x1b[{}A", shown.len());
        }
        for (pf, text) in shown.iter() {
            let text: String = text.chars().take(100).collect();
            let _unread = writeln!(out, "\x1b[2K{pf}: {text}");
        }
        let _unread = out.flush();
    }
}
