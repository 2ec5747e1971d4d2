//! Every finding there is: its number, what it means, why it matters, and what to do.
//!
//! `explain` prints this, `check` takes numbers and severities from it, and `docs/findings.md` is made of it.

mod functions;
mod machine;

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// `QAT0xx` without the letters. It never changes, and is never given again.
    pub(crate) number: u16,
    /// The code in our JSON, logs and metrics.
    pub(crate) code: &'static str,
    pub(crate) severity: Severity,
    /// What is so.
    pub(crate) title: &'static str,
    /// Why that matters.
    pub(crate) why: &'static str,
    /// What to do, a step each. What begins with `$ ` is a command.
    pub(crate) steps: &'static [&'static str],
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Good to know. `check` does not fail for it.
    Info,
    /// Something is not as it should be.
    Warning,
    /// VFs cannot be used.
    Error,
}

/// All of them, by number.
pub(crate) fn entries() -> impl Iterator<Item = &'static Entry> {
    functions::FUNCTIONS.iter().chain(machine::MACHINE)
}

/// What is known of a code. An unknown one is a newer plugin's.
pub(crate) fn entry(code: &str) -> Option<&'static Entry> {
    entries().find(|entry| entry.code == code)
}

/// By code or by number: `not-bound`, `QAT012`, `12`.
pub(crate) fn find(text: &str) -> Option<&'static Entry> {
    let number = text
        .strip_prefix("QAT")
        .or_else(|| text.strip_prefix("qat"))
        .unwrap_or(text);
    let number = number.parse::<u16>().ok();
    entries().find(|entry| entry.code == text || Some(entry.number) == number)
}

impl Entry {
    /// `QAT012`.
    pub(crate) fn id(&self) -> String {
        format!("QAT{:03}", self.number)
    }
}

impl Display for Severity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// As `explain` prints it.
impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} ({})", self.id(), self.code, self.severity)?;
        writeln!(f, "  {}", self.title)?;
        writeln!(f, "\nWhy it matters\n  {}\n\nWhat to do", self.why)?;
        for step in self.steps {
            let indent = if step.starts_with("$ ") {
                "      "
            } else {
                "  - "
            };
            writeln!(f, "{indent}{step}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::{env, fs};

    use super::*;

    #[test]
    fn numbers_and_codes_are_given_once_and_in_order() {
        let numbers: Vec<u16> = entries().map(|entry| entry.number).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        let codes: BTreeSet<_> = entries().map(|entry| entry.code).collect();
        assert_eq!(codes.len(), numbers.len());
    }

    #[test]
    fn each_entry_says_what_to_do_in_plain_sentences() {
        for entry in entries() {
            assert!(!entry.steps.is_empty(), "{}", entry.code);
            for text in [entry.title, entry.why] {
                assert!(
                    text.ends_with('.') && !text.contains("  "),
                    "{}: {text}",
                    entry.code
                );
            }
        }
    }

    /// The page that is made of the entries. `BLESS=1 cargo test -p qat-inspect page` writes it anew.
    #[test]
    fn the_page_has_every_entry() {
        let head = "# Findings\n\n\
            What `qat-inspect check` finds, by number. The same codes are the reasons in the plugin's metrics, in its log at\n\
            debug, and in `state.json`. A number is never given again. `qat-inspect explain QAT012` prints an entry.\n\n\
            An error keeps VFs from being used, a warning is something that is not as it should be; for an info `check` does not\n\
            fail. ADDRESS, GROUP, PF and POD stand for those that a finding names.\n";
        let sections = entries().map(|entry| {
            let steps = entry
                .steps
                .iter()
                .map(|step| match step.strip_prefix("$ ") {
                    Some(command) => format!("  ```sh\n  {command}\n  ```\n"),
                    None => format!("- {step}\n"),
                });
            let steps: Vec<String> = steps.collect();
            let Entry {
                code,
                severity,
                title,
                why,
                ..
            } = entry;
            let id = entry.id();
            format!(
                "\n## {id} `{code}`\n\n*{severity}* — {title}\n\n{why}\n\n{}",
                steps.concat()
            )
        });
        let page = head.to_owned() + &sections.collect::<Vec<_>>().concat();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/findings.md");
        if env::var_os("BLESS").is_some() {
            fs::write(&path, &page).unwrap();
        }
        assert!(
            fs::read_to_string(&path).unwrap() == page,
            "docs/findings.md is not up to date: BLESS=1"
        );
    }

    /// The codes in the sources of those who give them.
    #[test]
    fn every_code_that_is_given_has_an_entry() {
        let sources = [
            include_str!("../../../crates/qat-policy/src/inventory/reason.rs"),
            include_str!("../../../crates/qat-policy/src/inventory/pf.rs"),
            include_str!("../../../crates/qat-node/src/ledger.rs"),
            include_str!("../../../crates/qat-node/src/probe.rs"),
            include_str!("../../../crates/qat-node/src/recheck.rs"),
            include_str!("../../../crates/vfio-host/src/probe.rs"),
        ];
        let codes = sources
            .iter()
            .flat_map(|source| source.lines())
            .filter_map(|line| {
                let (_, code) = line.split_once("=> \"")?;
                let code = code.strip_suffix("\",")?;
                let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                code.chars().all(word).then_some(code)
            });
        let codes: BTreeSet<_> = codes
            .chain(["gone", "unreadable", "moves", "flapping"])
            .chain(["cdi-foreign", "cdi-not-written"])
            .collect();
        assert!(codes.len() > 35, "{codes:?}");
        for code in codes {
            assert!(entry(code).is_some(), "{code}");
        }
    }

    #[test]
    fn an_entry_is_found_by_code_and_number() {
        let found = find("QAT012").unwrap();
        assert_eq!(find("12"), Some(found));
        assert_eq!(find("qat012"), Some(found));
        assert_eq!(find(found.code), Some(found));
        assert_eq!(find("QAT999"), None);
        assert_eq!(find(""), None);
    }
}
