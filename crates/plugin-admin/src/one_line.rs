//! One event, one line, whatever it says.

use std::io::{self, Write};

/// Writes what it is given with the control characters inside it made visible.
///
/// The log hands over one event at a time, the line break at its end included. Text that comes from
/// outside could hold more of them, and so forge lines, or escape sequences, and so rewrite what
/// a terminal shows. `tracing-subscriber` takes care of the message alone, not of fields that are
/// shown with `%`. JSON has no control characters to begin with.
pub(crate) struct OneLine<W> {
    /// Where the line goes.
    pub(crate) out: W,
    /// The log itself writes escape sequences, so those have to stay.
    pub(crate) colour: bool,
}

impl<W> OneLine<W> {
    fn hides(&self, character: char) -> bool {
        match character {
            '\n' | '\r' => true,
            '\t' => false,
            other => !self.colour && other.is_control(),
        }
    }
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (body, end) = match text.strip_suffix('\n') {
            Some(body) => (body, "\n"),
            None => (&*text, ""),
        };
        if !body.contains(|character| self.hides(character)) {
            return self.out.write_all(event).map(|()| event.len());
        }
        let mut line = String::with_capacity(event.len() + 16);
        for character in body.chars() {
            if self.hides(character) {
                line.extend(character.escape_default());
            } else {
                line.push(character);
            }
        }
        line.push_str(end);
        self.out.write_all(line.as_bytes()).map(|()| event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::OneLine;

    fn written(event: &str, colour: bool) -> String {
        let mut out = Vec::new();
        OneLine {
            out: &mut out,
            colour,
        }
        .write_all(event.as_bytes())
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_the_last_break_is_one() {
        for (event, expected) in [
            ("plain\n", "plain\n"),
            ("a\nb\r\nc\n", "a\\nb\\r\\nc\n"),
            ("tab\tstays", "tab\tstays"),
            ("\n", "\n"),
            ("", ""),
        ] {
            assert_eq!(written(event, false), expected);
            assert_eq!(written(event, true), expected);
        }
    }

    #[test]
    fn escape_sequences_are_shown_unless_they_may_be_ours() {
        let event = "\u{1b}[31m\u{9b}\u{7}ü\n";
        assert_eq!(written(event, false), "\\u{1b}[31m\\u{9b}\\u{7}ü\n");
        assert_eq!(written(event, true), event);
    }
}
