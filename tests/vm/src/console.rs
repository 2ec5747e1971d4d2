//! What the guest says on its serial console.
//!
//! Lines that begin with [`MARK`] are for the harness; everything else is for people.

/// At the beginning of a line for the harness.
const MARK: &str = "@@ ";

/// A line that matters.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A case begins.
    Start(String),
    /// A case has passed, after so many milliseconds.
    Passed(String, u64),
    /// A case has failed.
    Failed(String, u64),
    /// Something that is worth telling even if all is well.
    Note(String),
    /// All cases were run.
    End,
}

impl Event {
    /// Reads a line; `None`: it is for people.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.strip_prefix(MARK)?;
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let timed = || {
            let (name, time) = rest.rsplit_once(' ')?;
            Some((name.to_owned(), time.parse().ok()?))
        };
        match verb {
            "start" => Some(Self::Start(rest.to_owned())),
            "ok" => timed().map(|(name, time)| Self::Passed(name, time)),
            "failed" => timed().map(|(name, time)| Self::Failed(name, time)),
            "note" => Some(Self::Note(rest.to_owned())),
            "end" => Some(Self::End),
            _ => None,
        }
    }
}

/// A line without what only a terminal understands.
pub(crate) fn plain(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(char) = rest.next() {
        match char {
            // An escape sequence ends with its first letter.
            '\u{1b}' => {
                rest.find(char::is_ascii_alphabetic);
            }
            _ if char.is_control() && char != '\t' => {}
            _ => text.push(char),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Event, plain};

    #[test]
    fn lines_for_the_harness_are_told_from_others() {
        assert_eq!(
            Event::parse("@@ ok pci::a 12"),
            Some(Event::Passed("pci::a".to_owned(), 12))
        );
        assert_eq!(Event::parse("@@ end"), Some(Event::End));
        for line in ["@@ ok pci::a", "@@ ok pci::a x", "x @@ end", "@@ other", ""] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }

    #[test]
    fn escape_sequences_are_left_out() {
        assert_eq!(plain("\u{1b}c\u{1b}[?7l\u{1b}[2Ja b\tc\r"), "a b\tc");
    }
}
