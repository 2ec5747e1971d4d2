//! The pages for people: every link to a file of ours leads somewhere.

use std::fs;
use std::path::{Path, PathBuf};

/// Complains of each relative link in a Markdown page below `root` that leads nowhere.
pub(super) fn complaints(root: &Path) -> Vec<String> {
    let mut complaints = Vec::new();
    for page in pages(root) {
        let text = fs::read_to_string(&page).unwrap();
        let folder = page.parent().unwrap_or(root);
        for link in links(&text) {
            if !folder.join(link).exists() {
                let page = page.strip_prefix(root).unwrap_or(&page).display();
                complaints.push(format!("{page} links to `{link}`, which does not exist"));
            }
        }
    }
    complaints
}

/// Markdown pages of the project itself. What is below `src` is for rustdoc, which has links of its
/// own; what tools leave behind is in `target` or hidden.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type().unwrap().is_dir() {
            if !["target", "src"].contains(&name.as_ref()) && !name.starts_with('.') {
                found.extend(pages(&path));
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The targets of `[text](target)` that are paths, without their `#fragment`.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        let path = !target.is_empty() && !target.contains("://") && !target.contains('`');
        path.then_some(target)
    })
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("there.md"), "").unwrap();
    let text = "[a](there.md#x) [b](gone.md) [c](https://example.com) [d](#here)";
    fs::write(dir.path().join("page.md"), text).unwrap();
    let found = complaints(dir.path());
    assert_eq!(found, ["page.md links to `gone.md`, which does not exist"]);
}
