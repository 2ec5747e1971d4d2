//! How an answer is printed: one set of facts in several forms.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::fit::{fit, width};
use crate::paint::{is_wanted, paint};

/// A form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For people with a wide terminal: more columns
    Wide,
    /// For programs; docs/inspect.md has the fields
    Json,
    /// The same as YAML
    Yaml,
    /// Only the names, one on each line
    Name,
}

/// Which form is wanted.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Form of the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORM")]
    output: Format,

    /// The same as `--output json`
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Facts that can be printed.
pub(crate) trait Answer: Serialize {
    /// For people. `wide`: with more columns.
    fn text(&self, wide: bool) -> String;

    /// The names of what it is about.
    fn names(&self) -> Vec<String>;
}

impl Output {
    /// Puts an answer into the form that is wanted.
    pub(crate) fn render(self, answer: &impl Answer) -> anyhow::Result<String> {
        let format = if self.json { Format::Json } else { self.output };
        Ok(match format {
            Format::Table => for_the_terminal(&answer.text(false)),
            Format::Wide => for_the_terminal(&answer.text(true)),
            Format::Json => {
                let json = serde_json::to_string_pretty(answer).context("cannot write JSON")?;
                json + "\n"
            }
            Format::Yaml => serde_saphyr::to_string(answer).context("cannot write YAML")?,
            Format::Name => answer
                .names()
                .into_iter()
                .fold(String::new(), |all, name| all + &name + "\n"),
        })
    }
}

/// What is for people, on a terminal: long lines broken, and in colour. A program gets it as it is.
pub(crate) fn for_the_terminal(text: &str) -> String {
    let text = width().map_or_else(|| text.to_owned(), |width| fit(text, width));
    if is_wanted() { paint(&text) } else { text }
}
