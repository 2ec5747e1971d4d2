//! A recording as text: for people, for `diff`, and to be read again.

use std::fmt;

use anyhow::{Context, Result, bail};

/// What a kubelet did during the script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recording {
    /// The version of the kubelet, as in `v1.37.2`.
    pub kubelet: String,
    /// The day, as in `2026-11-28`.
    pub date: String,
    /// The scenarios of the script, in its order.
    pub scenarios: Vec<RecordedScenario>,
}

/// One scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedScenario {
    /// Name and purpose.
    pub title: String,
    /// Its steps, in order.
    pub steps: Vec<RecordedStep>,
}

/// One step, and what the kubelet did in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RecordedStep {
    /// The step of the script.
    pub title: String,
    /// What the kubelet did, a line each.
    pub facts: Vec<String>,
}

/// Where two recordings differ: the lines of one step that only one of them has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepDifference {
    /// The name of the scenario and the step.
    pub step: String,
    /// The lines of the first recording.
    pub left: Vec<String>,
    /// The lines of the second one.
    pub right: Vec<String>,
}

const HEADER: &str =
    "# What the kubelet does, as a device plugin sees it. Made by `kubelet-record`; do not edit.";

impl Recording {
    /// Reads the text of a recording.
    ///
    /// # Errors
    ///
    /// The text is no recording.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let mut field = |name: &str| {
            let line = lines.next().unwrap_or_default();
            let value = line.strip_prefix(name).map(str::trim);
            value
                .map(ToOwned::to_owned)
                .with_context(|| format!("`{line}` should begin with `{name}`"))
        };
        let (kubelet, date) = (field("kubelet:")?, field("recorded:")?);
        let mut scenarios: Vec<RecordedScenario> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            if let Some(title) = line.strip_prefix("== ") {
                let (title, steps) = (title.to_owned(), Vec::new());
                scenarios.push(RecordedScenario { title, steps });
                continue;
            }
            let Some(scenario) = scenarios.last_mut() else {
                bail!("`{line}` is in no scenario");
            };
            match (line.strip_prefix("    "), scenario.steps.last_mut()) {
                (None, _) => scenario.steps.push(RecordedStep {
                    title: line.to_owned(),
                    facts: Vec::new(),
                }),
                (Some(fact), Some(step)) => step.facts.push(fact.to_owned()),
                (Some(fact), None) => bail!("`{fact}` is in no step"),
            }
        }
        Ok(Self {
            kubelet,
            date,
            scenarios,
        })
    }

    /// Compares what the kubelets did. Version and date do not matter.
    ///
    /// # Errors
    ///
    /// The recordings are of different scripts.
    pub fn compare(&self, other: &Self) -> Result<Vec<StepDifference>> {
        let steps = |recording: &Self| -> Vec<(String, Vec<String>)> {
            let scenarios = recording.scenarios.iter();
            scenarios
                .flat_map(|scenario| {
                    let name = scenario.title.split(':').next().unwrap_or_default();
                    let steps = scenario.steps.iter();
                    steps.map(move |step| (format!("{name}: {}", step.title), step.facts.clone()))
                })
                .collect()
        };
        let (left, right) = (steps(self), steps(other));
        let place = left.iter().zip(&right).find(|(l, r)| l.0 != r.0);
        if let Some(((l, _), (r, _))) = place {
            bail!("the scripts differ: `{l}` and `{r}`; make a new recording");
        }
        if left.len() != right.len() {
            bail!("one script is longer than the other; make a new recording");
        }
        let pairs = left.into_iter().zip(right);
        Ok(pairs
            .filter_map(|((step, left), (_, right))| {
                let (left, right) = middles(&left, &right);
                (left != right).then_some(StepDifference { step, left, right })
            })
            .collect())
    }
}

/// What is left of two lists without their common beginning and end.
fn middles(left: &[String], right: &[String]) -> (Vec<String>, Vec<String>) {
    let same = |(l, r): &(&String, &String)| l == r;
    let front = left.iter().zip(right).take_while(same).count();
    let (left, right) = (&left[front..], &right[front..]);
    let back = left.iter().rev().zip(right.iter().rev());
    let back = back.take_while(same).count();
    let cut = |list: &[String]| list[..list.len() - back].to_vec();
    (cut(left), cut(right))
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        writeln!(f, "kubelet: {}\nrecorded: {}", self.kubelet, self.date)?;
        for scenario in &self.scenarios {
            writeln!(f, "\n== {}", scenario.title)?;
            for step in &scenario.steps {
                writeln!(f, "{}", step.title)?;
                for fact in &step.facts {
                    writeln!(f, "    {fact}")?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for StepDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.step)?;
        for line in &self.left {
            writeln!(f, "    - {line}")?;
        }
        for line in &self.right {
            writeln!(f, "    + {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{RecordedScenario, RecordedStep, Recording};

    fn recording(facts: &[&str]) -> Recording {
        let facts = facts.iter().map(|&fact| fact.to_owned()).collect();
        let (title, other) = ("register".to_owned(), "wait".to_owned());
        let none = Vec::new();
        Recording {
            kubelet: "v1.2.3".to_owned(),
            date: "2026-11-28".to_owned(),
            scenarios: vec![RecordedScenario {
                title: "first: A plugin".to_owned(),
                steps: vec![
                    RecordedStep { title, facts },
                    RecordedStep {
                        title: other,
                        facts: none,
                    },
                ],
            }],
        }
    }

    #[test]
    fn parses_what_it_prints() {
        let recording = recording(&["answer: OK", "    indented"]);
        assert_eq!(Recording::parse(&recording.to_string()).unwrap(), recording);
    }

    #[test]
    fn differences_are_the_lines_of_one_side() {
        let (left, right) = (
            recording(&["a", "b", "c"]),
            recording(&["a", "x", "y", "c"]),
        );
        let differences = left.compare(&right).unwrap();
        assert_eq!(differences.len(), 1);
        assert_eq!(differences[0].step, "first: register");
        assert_eq!(differences[0].left, ["b"]);
        assert_eq!(differences[0].right, ["x", "y"]);
        assert_eq!(left.compare(&left).unwrap(), []);
    }

    #[test]
    fn another_script_is_an_error() {
        let mut other = recording(&[]);
        "answer".clone_into(&mut other.scenarios[0].steps[1].title);
        recording(&[]).compare(&other).unwrap_err();
    }
}
