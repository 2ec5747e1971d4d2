//! A consumer's contract, and what comes of holding an answer against it.

use std::fmt::{self, Display, Formatter};

use super::{Answer, Problem, Rule, Weight};

/// What one consumer reads of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Contract {
    /// A short stable code, for programs and command lines: `kubevirt`.
    pub code: &'static str,
    /// The consumer as people call it.
    pub title: &'static str,
    /// Where the rules were read: a repository and its files.
    pub source: &'static str,
    /// The rules.
    pub rules: &'static [Rule],
}

/// What a consumer makes of an answer.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The contract.
    pub contract: Contract,
    /// Everything that is not as the contract says, in the order of its rules.
    pub problems: Vec<Problem>,
}

/// A verdict in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// The consumer gets what it reads.
    Good,
    /// It does under a condition that the answer does not show.
    Conditional,
    /// The operator chose to leave out what this consumer needs.
    Off,
    /// The consumer does not get its device.
    Broken,
}

impl Contract {
    /// Holds an answer against the contract.
    #[must_use]
    pub fn judge(&self, answer: &Answer<'_>) -> Verdict {
        let problems = self.rules.iter().flat_map(|rule| rule.check(answer));
        Verdict {
            contract: *self,
            problems: problems.collect(),
        }
    }
}

impl Verdict {
    /// The verdict in one word: that of what weighs most. What is broken only because the operator left out
    /// what the consumer needs is not said to be broken.
    #[must_use]
    pub fn standing(&self) -> Standing {
        let has = |weight| {
            self.problems
                .iter()
                .any(|problem| problem.weight() == weight)
        };
        if has(Weight::Choice) {
            Standing::Off
        } else if has(Weight::Fault) {
            Standing::Broken
        } else if has(Weight::Condition) {
            Standing::Conditional
        } else {
            Standing::Good
        }
    }

    /// The problems that make the standing what it is.
    pub fn reasons(&self) -> impl Iterator<Item = &Problem> {
        let wanted = match self.standing() {
            Standing::Off => Weight::Choice,
            Standing::Broken => Weight::Fault,
            Standing::Good | Standing::Conditional => Weight::Condition,
        };
        self.problems
            .iter()
            .filter(move |problem| problem.weight() == wanted)
    }
}

impl Verdict {
    /// The [`reasons`](Self::reasons) in words. Of those with one code the first is told, and how many more there are.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        let mut told: Vec<(&Problem, usize)> = Vec::new();
        for problem in self.reasons() {
            match told
                .iter_mut()
                .find(|(first, _)| first.code() == problem.code())
            {
                Some((_, more)) => *more += 1,
                None => told.push((problem, 0)),
            }
        }
        let sentences = told.into_iter().map(|(first, more)| match more {
            0 => first.to_string(),
            more => format!("{first} (and {more} more like this)"),
        });
        sentences.collect()
    }
}

impl Standing {
    /// A word for people and programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Conditional => "ok if",
            Self::Off => "off",
            Self::Broken => "FAILS",
        }
    }
}

impl Display for Standing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Display for Verdict {
    /// The standing, and why, in a line.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.contract.title, self.standing())?;
        match self.sentences().as_slice() {
            [] => Ok(()),
            sentences => write!(f, ": {}", sentences.join("; ")),
        }
    }
}
