//! Colour, on a terminal only.

use std::env;
use std::io::{IsTerminal as _, stdout};

use crate::catalogue::{Severity, find};

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const BLUE: &str = "\u{1b}[34m";
const PLAIN: &str = "\u{1b}[0m";

/// Whether standard output wants colour: it is a terminal, and nobody forbids it (<https://no-color.org>).
pub(crate) fn is_wanted() -> bool {
    let forbidden = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stdout().is_terminal() && !forbidden
}

/// Colours a text for people: headings, numbers of findings by severity, and words that say good or bad.
pub(crate) fn paint(text: &str) -> String {
    text.split_inclusive('\n').map(line).collect()
}

fn line(line: &str) -> String {
    let (body, end) = line
        .strip_suffix('\n')
        .map_or((line, ""), |body| (body, "\n"));
    let word = body.split(' ').next().unwrap_or_default();
    let heading = body.len() > 4
        && !body
            .bytes()
            .any(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if heading {
        return format!("{BOLD}{body}{PLAIN}{end}");
    }
    if let Some(entry) = word.starts_with("QAT").then(|| find(word)).flatten() {
        let colour = match entry.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
            Severity::Info => BLUE,
        };
        return format!("{colour}{word}{PLAIN}{}{end}", &body[word.len()..]);
    }
    for (start, colour) in [("  ok if ", YELLOW), ("  ok ", GREEN), ("  FAILS ", RED)] {
        if let Some(rest) = body.strip_prefix(start) {
            return format!("{colour}{start}{PLAIN}{rest}{end}");
        }
    }
    for (mark, colour) in [
        ("not offered: ", YELLOW),
        (", in trouble", RED),
        (", in the way", RED),
    ] {
        if let Some((before, after)) = body.split_once(mark) {
            return format!("{before}{colour}{mark}{after}{PLAIN}{end}");
        }
    }
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_painted_says_the_same() {
        let text = "PF            ID         FAMILY\n0000:6b:00.0  8086:4940\nQAT012 not-bound (VF x): no driver\nQAT999 x\n  ok     dpdk  x\n\
                    └─ 0000:6b:00.1  group 3  not offered: node\n\nlast";
        let painted = paint(text);
        let mut plain = painted.clone();
        for code in [BOLD, RED, GREEN, YELLOW, BLUE, PLAIN] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, text);
        assert!(painted.starts_with(BOLD), "{painted:?}");
        assert!(
            painted.contains(&format!("{YELLOW}QAT012{PLAIN} not-bound")),
            "{painted:?}"
        );
        assert!(painted.contains("\nQAT999 x\n"), "{painted:?}");
        assert!(
            painted.contains(&format!("{YELLOW}not offered: node{PLAIN}")),
            "{painted:?}"
        );
    }
}
