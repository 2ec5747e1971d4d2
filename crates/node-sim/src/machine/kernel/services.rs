//! What `qat/cfg_services` takes (`adf_sysfs.c`, `adf_cfg_services.c`).

use super::super::qat::Family;
use super::KernelRelease;

/// Services in the order in which new kernels write them.
const TOKENS: [&str; 5] = ["asym", "sym", "dc", "dcc", "decomp"];

/// The texts of Linux 6.0.
const FIRST: [&str; 2] = ["sym;asym", "dc"];

/// The texts of Linux 6.7.
const EXACT: [&str; 10] = [
    "sym;asym", "dc", "dcc", "sym", "asym", "asym;sym", "asym;dc", "dc;asym", "sym;dc", "dc;sym",
];

/// `ADF_CFG_MAX_VAL_LEN_IN_BYTES`: with its end the text must fit.
const MAX_LEN: usize = 64;

/// The 6xxx came with Linux 6.16, after the parser for tokens.
const G6XXX: u16 = 0x4948;

/// What is kept of a text, or `None` if it is refused.
pub(super) fn kept(text: &str, family: &Family, release: KernelRelease) -> Option<String> {
    let exact = |texts: &[&str]| texts.contains(&text).then(|| text.to_owned());
    match release {
        _ if text.len() >= MAX_LEN => None,
        _ if family.pf == G6XXX => canonical(text, 3, release >= KernelRelease::V6_17),
        KernelRelease::V6_1 => exact(&FIRST),
        KernelRelease::V6_7 | KernelRelease::V6_12 => exact(&EXACT),
        KernelRelease::V6_15 | KernelRelease::V6_17 => canonical(text, 2, false),
    }
}

/// Services in any order, each once, at most `max`, `dcc` alone.
fn canonical(text: &str, max: usize, decomp: bool) -> Option<String> {
    let asked: Vec<&str> = text.split(';').collect();
    let known = |token: &str| TOKENS.contains(&token) && (decomp || token != "decomp");
    let twice = |token: &str| asked.iter().filter(|other| **other == token).count() > 1;
    let bad = |token: &&str| !known(token) || twice(token) || (*token == "dcc" && asked.len() > 1);
    if asked.len() > max || asked.iter().any(bad) {
        return None;
    }
    let ordered: Vec<&str> = TOKENS
        .into_iter()
        .filter(|token| asked.contains(token))
        .collect();
    Some(ordered.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(family: &Family, release: KernelRelease, text: &str, expected: Option<&str>) {
        assert_eq!(
            kept(text, family, release).as_deref(),
            expected,
            "{text:?} {release:?}"
        );
    }

    #[test]
    fn each_kernel_takes_its_own_services() {
        use KernelRelease::{V6_1, V6_7, V6_12, V6_15, V6_17};
        let g4 = &Family::G4XXX;
        for release in [V6_1, V6_7, V6_12, V6_15, V6_17] {
            check(g4, release, "dc", Some("dc"));
            for text in [
                "",
                "sym;",
                ";sym",
                "sym;sym",
                "SYM",
                "sym, asym",
                "sym;asym;dc",
                "decomp",
            ] {
                check(g4, release, text, None);
            }
            check(g4, release, &"sym;".repeat(16), None);
        }
        check(g4, V6_1, "asym;sym", None);
        check(g4, V6_7, "dc;sym", Some("dc;sym"));
        check(g4, V6_12, "sym;asym", Some("sym;asym"));
        check(g4, V6_15, "sym;asym", Some("asym;sym"));
        check(g4, V6_17, "dc;sym", Some("sym;dc"));
        check(g4, V6_17, "dcc;dc", None);
    }

    #[test]
    fn generation_6_takes_three_services() {
        let g6 = &Family::G6XXX;
        check(g6, KernelRelease::V6_12, "dc;sym;asym", Some("asym;sym;dc"));
        check(g6, KernelRelease::V6_15, "decomp", None);
        check(g6, KernelRelease::V6_17, "decomp;sym", Some("sym;decomp"));
        check(g6, KernelRelease::V6_17, "asym;sym;dc;decomp", None);
        check(g6, KernelRelease::V6_17, "dcc", Some("dcc"));
        check(g6, KernelRelease::V6_17, "dcc;sym", None);
    }
}
