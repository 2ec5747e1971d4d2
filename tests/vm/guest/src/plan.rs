//! What the harness wants: the file `/plan`, a line each.

use std::fs;

/// What to do.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Modules to load, in order, with their parameters.
    pub(crate) modules: Vec<(String, String)>,
    /// Cases to run, in order.
    pub(crate) cases: Vec<String>,
}

impl Plan {
    pub(crate) fn read() -> Self {
        let mut plan = Self::default();
        for line in fs::read_to_string("/plan")
            .expect("the harness writes a plan")
            .lines()
        {
            match line.split_once(' ') {
                Some(("module", rest)) => {
                    let (name, parameters) = rest.split_once(' ').unwrap_or((rest, ""));
                    plan.modules.push((name.to_owned(), parameters.to_owned()));
                }
                Some(("case", name)) => plan.cases.push(name.to_owned()),
                _ => panic!("the plan has the line `{line}`"),
            }
        }
        plan
    }
}
