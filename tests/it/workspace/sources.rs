//! What the files of a member must and must not hold.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::members::Member;

/// The words that a crate must not say, in any file, in any case, as a part of any name.
const WORDS: [(&str, &[&str]); 4] = [
    ("device-plugin", &["pci", "vfio", "qat"]),
    ("passthrough", &["qat"]),
    ("sysfs-pci", &["qat"]),
    ("vfio-host", &["qat"]),
];

/// A file that cannot be read in one sitting.
const MAX_LINES: usize = 500;

/// A binary parses, wires and runs; all else is in a crate, where it can be tested.
const MAX_MAIN_LINES: usize = 60;

/// Complains if `member` goes without the lints of the workspace.
pub(super) fn lints_complaint(member: &Member) -> Option<String> {
    let manifest = fs::read_to_string(member.path.join("Cargo.toml")).unwrap();
    (!has_lints(&manifest)).then(|| {
        format!(
            "{}/Cargo.toml does without the lints of the workspace: add `[lints]` with `workspace \
             = true`",
            member.folder.display()
        )
    })
}

fn has_lints(manifest: &str) -> bool {
    let lines = manifest
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim());
    let mut lines = lines
        .filter(|line| !line.is_empty())
        .skip_while(|line| *line != "[lints]");
    lines.nth(1) == Some("workspace = true")
}

/// The one crate that talks to the kernel by ioctl, and the module that does it.
const UNSAFE: (&str, &str) = ("vfio-host", "mod ioctl;");

/// Complains about the roots of `member` that do not forbid unsafe code. In [`UNSAFE`] they forbid it
/// without the feature `probe` and otherwise deny it, and one module opts out.
pub(super) fn unsafe_complaints(member: &Member) -> Vec<String> {
    let excepted = member.name == UNSAFE.0;
    let accepted = if excepted {
        "#![cfg_attr(not(feature = \"probe\"), forbid(unsafe_code))]\n#![deny(unsafe_code)]\n"
    } else {
        "#![forbid(unsafe_code)]\n"
    };
    let lacks = |root: &&PathBuf| {
        let text = read(root);
        let at_line = text.starts_with(accepted) || text.contains(&format!("\n{accepted}"));
        !at_line || (excepted && !only_one_opts_out(&text))
    };
    let complain = |root: &PathBuf| {
        format!(
            "{}: add `{}` below the crate's documentation, and let no module opt out{}",
            root.display(),
            accepted.trim_end().replace('\n', " "),
            if excepted { " but `ioctl`" } else { "" },
        )
    };
    let roots = member.roots.iter().filter(lacks).map(complain);
    let elsewhere = files(&member.path.join("src")).into_iter().filter(|file| {
        let root = excepted && member.roots.contains(file);
        file.extension() == Some(OsStr::new("rs")) && !root && opts_out(&read(file)) > 0
    });
    let elsewhere = elsewhere.map(|file| {
        format!(
            "{}: unsafe code belongs in crates/vfio-host/src/ioctl.rs",
            file.display()
        )
    });
    roots.chain(elsewhere).collect()
}

/// How often a source opts out of the ban on unsafe code, however the attribute is laid out.
fn opts_out(text: &str) -> usize {
    let dense: String = text.split_whitespace().collect();
    dense.matches("allow(unsafe_code").count() + dense.matches("expect(unsafe_code").count()
}

/// Whether the one module of [`UNSAFE`] is all that opts out, if that.
fn only_one_opts_out(text: &str) -> bool {
    let dense: String = text.split_whitespace().collect();
    match opts_out(text) {
        0 => true,
        1 => {
            let rest = dense
                .split_once("(unsafe_code,reason=")
                .map(|(_, rest)| rest);
            let after = rest.and_then(|rest| rest.split_once(")]"));
            let module: String = UNSAFE.1.split_whitespace().collect();
            after.is_some_and(|(_, item)| item.starts_with(&module))
        }
        _ => false,
    }
}

/// Complains about the words that `member` must not say.
pub(super) fn word_complaints(member: &Member) -> Vec<String> {
    let Some((_, words)) = WORDS.iter().find(|(name, _)| *name == member.name) else {
        return Vec::new();
    };
    let mut complaints = Vec::new();
    for file in files(&member.path) {
        let path = member.folder.join(file.strip_prefix(&member.path).unwrap());
        let name = file.strip_prefix(&member.path).unwrap().to_string_lossy();
        for word in said(&name, words) {
            complaints.push(format!(
                "{}: rename the file, it says `{word}`",
                path.display()
            ));
        }
        for (line, text) in read(&file).lines().enumerate() {
            for word in said(text, words) {
                complaints.push(format!(
                    "{}:{} says `{word}`, which `{}` must not know: speak of what it is to this \
                     crate, or move it to a crate that knows the word",
                    path.display(),
                    line + 1,
                    member.name
                ));
            }
        }
    }
    complaints
}

/// Those of `words` that `text` contains.
fn said<'a>(text: &str, words: &'a [&str]) -> impl Iterator<Item = &'a str> {
    let text = text.to_ascii_lowercase();
    words
        .iter()
        .copied()
        .filter(move |word| text.contains(word))
}

/// Complains about source files of `member` that have grown too long.
pub(super) fn length_complaints(member: &Member) -> Vec<String> {
    let sources = files(&member.path).into_iter().filter(|file| {
        file.extension() == Some(OsStr::new("rs"))
            && !file
                .components()
                .any(|part| part.as_os_str() == "generated")
    });
    let main = member
        .folder
        .starts_with("bins")
        .then(|| member.path.join("src/main.rs"));
    sources
        .filter_map(|file| {
            let max = if main.as_ref() == Some(&file) {
                MAX_MAIN_LINES
            } else {
                MAX_LINES
            };
            let lines = read(&file).lines().count();
            let path = member.folder.join(file.strip_prefix(&member.path).unwrap());
            (lines > max).then(|| {
                format!(
                    "{} has {lines} lines, {max} are allowed: split it by what it is about",
                    path.display()
                )
            })
        })
        .collect()
}

/// A plugin on our framework has fewer lines than this.
const PLUGIN_LINES: usize = 60;

/// Complains about plugins of `member`, in its src/bin, that have grown too long to be copied: each
/// is one file with fewer than 60 lines of code. Imports and `main` count; blank lines and comments
/// do not.
pub(super) fn plugin_complaints(member: &Member) -> Vec<String> {
    let plugins = files(&member.path.join("src/bin"));
    let mut complaints = Vec::new();
    if plugins.len() < 3 {
        complaints.push(format!(
            "{}/src/bin has {} plugins: three kinds are to be shown",
            member.folder.display(),
            plugins.len()
        ));
    }
    for file in plugins {
        let text = read(&file);
        let code = text.lines().map(str::trim);
        let lines = code.filter(|line| !line.is_empty() && !line.starts_with("//"));
        let lines = lines.count();
        if lines >= PLUGIN_LINES {
            complaints.push(format!(
                "{} has {lines} lines of code, and a plugin has fewer than {PLUGIN_LINES}: see what \
                 the framework could do for it",
                member.folder.join(file.strip_prefix(&member.path).unwrap()).display()
            ));
        }
    }
    complaints
}

/// The files below `folder`, sorted, without what is built there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_file() {
                found.push(entry.path());
            } else if kind.is_dir() && entry.file_name() != "target" {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::{
        has_lints, length_complaints, lints_complaint, plugin_complaints, unsafe_complaints,
        word_complaints,
    };
    use crate::workspace::members::Member;

    /// A member made of these files.
    fn member(name: &str, folder: &str, files: &[(&str, &str)]) -> (TempDir, Member) {
        let root = TempDir::new().unwrap();
        let path = root.path().join(folder);
        for (name, text) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let roots = files.iter().filter(|(name, _)| name.ends_with("lib.rs"));
        let member = Member {
            name: name.to_owned(),
            folder: folder.into(),
            roots: roots.map(|(name, _)| path.join(name)).collect(),
            path,
            needs: Vec::new(),
        };
        (root, member)
    }

    #[test]
    fn lints_are_found_however_they_are_laid_out() {
        assert!(has_lints("[package]\n[lints]\nworkspace = true\n"));
        assert!(has_lints(
            "[lints] # all\n\n# of them\nworkspace = true # yes\n[dependencies]"
        ));
        assert!(!has_lints("[lints]\nworkspace = false\n"));
        assert!(!has_lints("[package]\n# [lints]\nworkspace = true\n"));
        assert!(!has_lints("[lints]\n[dependencies]\nworkspace = true\n"));
        let (_root, lax) = member("x", "crates/x", &[("Cargo.toml", "[package]\n")]);
        assert!(
            lints_complaint(&lax)
                .unwrap()
                .starts_with("crates/x/Cargo.toml")
        );
    }

    #[test]
    fn a_root_that_allows_unsafe_code_is_named() {
        for (name, text, expected) in [
            ("x", "//! X.\n#![forbid(unsafe_code)]\n", 0),
            ("x", "//! X.\n#![deny(unsafe_code)]\n", 1),
            ("x", "//! X: `#![forbid(unsafe_code)]`.\n", 1),
            ("vfio-host", "//! X.\n#![deny(unsafe_code)]\n", 1),
            ("vfio-host", "//! X.\n#![forbid(unsafe_code)]\n", 1),
        ] {
            let (_root, member) = member(name, "crates/x", &[("src/lib.rs", text)]);
            assert_eq!(
                unsafe_complaints(&member).len(),
                expected,
                "`{name}`: {text}"
            );
        }
    }

    #[test]
    fn one_module_of_one_crate_may_opt_out() {
        let root = "//! X.\n#![cfg_attr(not(feature = \"probe\"), forbid(unsafe_code))]\n\
                    #![deny(unsafe_code)]\n";
        let out = "#[expect(\n    unsafe_code,\n    reason = \"r\"\n)]\n";
        let count = |name: &str, lib: &str, module: &str| {
            let files = [("src/lib.rs", lib), ("src/live.rs", module)];
            let (_root, member) = member(name, "crates/x", &files);
            unsafe_complaints(&member).len()
        };
        let ioctl = format!("{root}{out}mod ioctl;\nmod live;\n");
        assert_eq!(count("vfio-host", root, ""), 0);
        assert_eq!(count("vfio-host", &ioctl, ""), 0);
        let other = format!("{root}mod ioctl;\n{out}mod live;\n");
        assert_eq!(count("vfio-host", &other, ""), 1);
        let two = format!("{ioctl}{out}mod more;\n");
        assert_eq!(count("vfio-host", &two, ""), 1);
        assert_eq!(count("vfio-host", &ioctl, "#![allow(unsafe_code)]"), 1);
        assert_eq!(count("x", &ioctl, ""), 2);
    }

    #[test]
    fn a_word_is_found_in_any_form_and_named_with_its_line() {
        let files = [
            ("src/lib.rs", "//! Fine.\nstruct SysfsPci;\n"),
            ("README.md", "A QAT card, equated to nothing.\n"),
            ("target/x", "pci vfio qat"),
            ("src/vfio.rs", ""),
        ];
        let (_root, generic) = member("device-plugin", "crates/device-plugin", &files);
        let complaints = word_complaints(&generic);
        assert_eq!(complaints.len(), 3, "{complaints:?}");
        assert!(complaints[0].starts_with("crates/device-plugin/README.md:1 says `qat`"));
        assert!(complaints[1].starts_with("crates/device-plugin/src/lib.rs:2 says `pci`"));
        assert!(complaints[2].starts_with("crates/device-plugin/src/vfio.rs: rename"));
        let (_root, specific) = member("qat-policy", "crates/qat-policy", &files);
        assert_eq!(word_complaints(&specific), [""; 0]);
    }

    #[test]
    fn a_file_that_is_too_long_is_named() {
        let (long, main) = ("\n".repeat(501), "\n".repeat(61));
        let files = [
            ("src/long.rs", long.as_str()),
            ("src/generated/long.rs", &long),
            ("src/main.rs", &main),
            ("src/notes.md", &long),
        ];
        let (_root, binary) = member("x", "bins/x", &files);
        let complaints = length_complaints(&binary);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].starts_with("bins/x/src/long.rs has 501 lines, 500 are allowed"));
        assert!(complaints[1].starts_with("bins/x/src/main.rs has 61 lines, 60 are allowed"));
        let (_root, library) = member("x", "crates/x", &files);
        assert_eq!(length_complaints(&library).len(), 1);
    }

    #[test]
    fn a_plugin_that_is_too_long_is_named() {
        let short = "//! Header.\n\n".repeat(60) + &"code();\n".repeat(59);
        let long = short.clone() + "    // A comment.\n    code();\n";
        let files = [
            ("src/bin/a.rs", short.as_str()),
            ("src/bin/b.rs", &long),
            ("src/lib.rs", &long),
        ];
        let (_root, member) = member("examples", "examples", &files);
        let complaints = plugin_complaints(&member);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].contains("has 2 plugins"), "{complaints:?}");
        assert!(complaints[1].starts_with("examples/src/bin/b.rs has 60 lines of code"));
    }
}
