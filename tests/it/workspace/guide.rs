//! The guide for authors shows files that are compiled and tested.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use device_plugin::{ALLOCATE_LIMIT, PRE_START_LIMIT};

/// The page, below the root of the workspace.
const PAGE: &str = "docs/write-a-plugin.md";

/// Before a block that is a piece of a file: `<!-- examples/src/bin/x.rs -->`.
const MARK: &str = "<!-- examples/";

/// Complains of a file that the page does not show as it is. The page may show it in pieces, in
/// order, with text in between; put together they are the whole file.
pub(super) fn complaints(root: &Path) -> Vec<String> {
    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    let shown = shown(&page);
    let mut complaints = Vec::new();
    for (path, text) in &shown {
        let file = fs::read_to_string(root.join(path)).unwrap_or_default();
        if let Some(line) = first_difference(text, &file) {
            complaints.push(format!(
                "{PAGE} shows {path} otherwise than it is, from line {line} of the file on: copy it \
                 over"
            ));
        }
    }
    for (name, limit) in [
        ("ALLOCATE_LIMIT", ALLOCATE_LIMIT),
        ("PRE_START_LIMIT", PRE_START_LIMIT),
    ] {
        let text = format!("{} s (`{name}`", limit.as_secs());
        if !page.contains(&text) {
            complaints.push(format!(
                "{PAGE} does not say `{text}`, which is what the code has"
            ));
        }
    }
    if shown.len() < 2 {
        complaints.push(format!("{PAGE} shows no plugin and its test any more"));
    }
    complaints
}

/// The files that the page shows, each put together from its pieces.
fn shown(page: &str) -> BTreeMap<String, Vec<&str>> {
    let mut files: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(path) = line
            .strip_prefix("<!-- ")
            .filter(|_| line.starts_with(MARK))
        else {
            continue;
        };
        let path = path.trim_end_matches(" -->").to_owned();
        let block = lines
            .by_ref()
            .skip_while(|line| !line.starts_with("```"))
            .skip(1)
            .take_while(|line| *line != "```");
        let file = files.entry(path).or_default();
        file.extend(block.filter(|line| !line.is_empty()));
    }
    files
}

/// The number of the first line that differs. Blank lines do not count.
fn first_difference(shown: &[&str], file: &str) -> Option<usize> {
    let mut shown = shown.iter();
    let lines = file.lines().enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
        if shown.next() != Some(&line) {
            return Some(number + 1);
        }
    }
    shown.next().map(|_| file.lines().count() + 1)
}

#[test]
fn pieces_are_put_together_and_compared() {
    let page = "# x\n<!-- examples/a.rs -->\n\n```rust\none\n\ntwo\n```\ntext\n```sh\nno\n```\n\
                <!-- examples/a.rs -->\n```rust\nthree\n```\n<!-- other -->\n";
    let shown = shown(page);
    let pieces = &shown["examples/a.rs"];
    assert_eq!(shown.len(), 1);
    assert_eq!(first_difference(pieces, "one\ntwo\n\nthree\n"), None);
    assert_eq!(first_difference(pieces, "one\n2\nthree\n"), Some(2));
    assert_eq!(first_difference(pieces, "one\ntwo\n"), Some(3));
    assert_eq!(first_difference(pieces, "one\ntwo\nthree\nfour\n"), Some(4));
}
