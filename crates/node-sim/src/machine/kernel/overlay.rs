//! What was written to a file that held something before.
//!
//! A kernel gets the bytes of the write and no others. A plain file keeps what was behind them if
//! the writer did not truncate it: `0` over `16\n` leaves `06\n`. With a line end it is clear what
//! was written, `0\n` over `16\n` leaves `0\n\n`; without one this guesses.

use super::{target::Knob, words};

/// What was written, given what the file holds and what it held. `is_driver` knows the names of
/// drivers.
pub(super) fn written<'a>(
    knob: Knob,
    held: &[u8],
    holds: &'a [u8],
    is_driver: impl Fn(&str) -> bool,
) -> &'a [u8] {
    let end = holds.iter().position(|byte| *byte == b'\n');
    let line = end.map_or(holds, |end| &holds[..=end]);
    let likely =
        |bytes: &[u8]| words::word(bytes).is_some_and(|word| likely(knob, word, &is_driver));
    match over(held, holds) {
        Some(part) if !likely(line) && likely(part) => part,
        _ => line,
    }
}

/// The shortest write that makes the one content of the other without a truncation.
fn over<'a>(held: &[u8], holds: &'a [u8]) -> Option<&'a [u8]> {
    if held.len() != holds.len() {
        return None;
    }
    let last = held.iter().zip(holds).rposition(|(old, new)| old != new)?;
    Some(&holds[..=last])
}

/// Whether somebody would write this.
fn likely(knob: Knob, word: &str, is_driver: impl Fn(&str) -> bool) -> bool {
    match knob {
        Knob::Override => word.is_empty() || is_driver(word),
        Knob::NumVfs => word
            .parse::<u16>()
            .is_ok_and(|number| number.to_string() == word),
        Knob::State => matches!(word, "up" | "down"),
        Knob::Services => {
            let mut tokens = word.split(';');
            tokens.all(|token| matches!(token, "sym" | "asym" | "dc" | "dcc" | "decomp"))
        }
        Knob::Autoprobe | Knob::AutoReset | Knob::PmIdle | Knob::ResetErrors => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a write of `text` to a file that holds `held` is taken for, as a shell writes and as
    /// a program that does not truncate.
    #[track_caller]
    fn check(knob: Knob, held: &str, text: &str) {
        let is_driver = |name: &str| matches!(name, "vfio-pci" | "qat_vfio_pci" | "c6xx");
        let mut over = held.as_bytes().to_vec();
        let common = text.len().min(over.len());
        over[..common].copy_from_slice(&text.as_bytes()[..common]);
        over.extend(&text.as_bytes()[common..]);
        for holds in [text.as_bytes(), &over] {
            let found = written(knob, held.as_bytes(), holds, is_driver);
            let shown = (
                found.escape_ascii().to_string(),
                holds.escape_ascii().to_string(),
            );
            assert_eq!(
                words::word(found),
                words::word(text.as_bytes()),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn a_write_is_found_in_what_it_leaves() {
        for end in ["", "\n"] {
            for (knob, held, text) in [
                (Knob::NumVfs, "16\n", "0"),
                (Knob::NumVfs, "0\n", "16"),
                (Knob::State, "up\n", "down"),
                (Knob::State, "down\n", "up"),
                (Knob::Services, "sym;asym\n", "dc"),
                (Knob::Services, "sym;asym\n", "asym;sym"),
                (Knob::Services, "sym;asym\n", "sym;dc"),
                (Knob::Services, "sym;asym\n", "asym"),
                (Knob::Services, "dc\n", "sym;asym"),
                (Knob::Override, "(null)\n", "vfio-pci"),
                (Knob::Override, "qat_vfio_pci\n", "vfio-pci"),
                (Knob::Override, "vfio-pci\n", "qat_vfio_pci"),
                (Knob::Override, "vfio-pci\n", "c6xx"),
                (Knob::Autoprobe, "1\n", "0"),
            ] {
                check(knob, held, &format!("{text}{end}"));
            }
        }
        check(Knob::Override, "vfio-pci\n", "\n");
    }
}
