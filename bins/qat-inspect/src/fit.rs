//! Long lines on a terminal.

use std::io::stdout;

use rustix::termios::tcgetwinsize;

/// How far the rest of a line is moved in.
const INDENT: usize = 4;

/// Narrower than this nobody can read.
const NARROWEST: usize = 20;

/// How wide the terminal is. None if standard output is none.
pub(crate) fn width() -> Option<usize> {
    let columns = tcgetwinsize(stdout()).ok()?.ws_col;
    (columns > 0).then(|| NARROWEST.max(columns.into()))
}

/// Breaks lines that are wider than the terminal between words.
pub(crate) fn fit(text: &str, width: usize) -> String {
    text.split_inclusive('\n')
        .flat_map(|line| broken(line, width))
        .collect()
}

fn broken(line: &str, width: usize) -> Vec<String> {
    let (body, end) = line
        .strip_suffix('\n')
        .map_or((line, ""), |body| (body, "\n"));
    if body.chars().count() <= width {
        return vec![line.to_owned()];
    }
    let mut lines = Vec::new();
    let mut current = String::new();
    for word in body.split_inclusive(' ') {
        let long = current.chars().count() + word.trim_end().chars().count();
        if long > width && !current.trim().is_empty() {
            lines.push(current.trim_end().to_owned() + "\n");
            current = " ".repeat(INDENT);
        }
        current.push_str(word);
    }
    lines.push(current + end);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_short_ones_stay() {
        let text = "short\nQAT012 not-bound (VF x): no driver is bound\nlast line of all, too long";
        assert_eq!(
            fit(text, 24),
            "short\nQAT012 not-bound (VF x):\n    no driver is bound\nlast line of all, too\n    long"
        );
        assert_eq!(fit(text, 200), text);
    }

    #[test]
    fn a_word_that_is_too_long_stays_whole() {
        let path = "/sys/bus/pci/devices/0000:6b:00.1/driver_override";
        for width in [20, 40] {
            let fitted = fit(&format!("see {path} now"), width);
            assert!(fitted.contains(path), "{fitted}");
        }
    }

    #[test]
    fn nothing_is_lost_at_any_width() {
        let text = "a  table   row  with   blanks that is long\n\nüber alles hinweg gebrochen\n";
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        for width in 1..60 {
            assert_eq!(words(&fit(text, width)), words(text));
        }
    }
}
