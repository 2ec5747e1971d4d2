//! Images that read a variable for each function.

use super::super::{Contract, Rule};

/// Images that read numbered variables, `<PREFIX>0`, `<PREFIX>1` and so on until one is missing.
pub const NUMBERED: Contract = Contract {
    code: "numbered",
    title: "images with numbered variables",
    source: "intel/intel-device-plugins-for-kubernetes demo/",
    rules: &[Rule::Numbered],
};
