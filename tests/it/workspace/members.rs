//! What `cargo metadata` says of the members.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A member of the workspace.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// The package's name.
    pub(super) name: String,
    /// The folder below the workspace's root, such as `crates/uevent`.
    pub(super) folder: PathBuf,
    /// The same, from the root of the file system.
    pub(super) path: PathBuf,
    /// Names of the packages that it needs, and for what.
    pub(super) needs: Vec<(String, Need)>,
    /// The root files of its libraries and binaries.
    pub(super) roots: Vec<PathBuf>,
}

/// For what a package is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// To be built: a normal or build dependency.
    Build,
    /// For tests, examples and benches alone.
    Dev,
}

/// The members of the workspace that this file belongs to.
pub(super) fn read() -> Vec<Member> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
            "--manifest-path",
        ])
        .arg(root.join("Cargo.toml"))
        .output()
        .expect("`cargo metadata` must run: is cargo in the PATH?");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = Path::new(metadata["workspace_root"].as_str().unwrap());
    list(&metadata["packages"])
        .iter()
        .map(|package| member(root, package))
        .collect()
}

fn member(root: &Path, package: &Value) -> Member {
    let path = Path::new(text(&package["manifest_path"]))
        .parent()
        .unwrap()
        .to_owned();
    let needs = list(&package["dependencies"]).iter().map(|need| {
        let kind = if need["kind"] == "dev" {
            Need::Dev
        } else {
            Need::Build
        };
        (text(&need["name"]).to_owned(), kind)
    });
    let roots = list(&package["targets"])
        .iter()
        .filter(|target| {
            list(&target["kind"])
                .iter()
                .any(|kind| kind == "lib" || kind == "bin")
        })
        .map(|target| text(&target["src_path"]).into());
    Member {
        name: text(&package["name"]).to_owned(),
        folder: path.strip_prefix(root).unwrap().to_owned(),
        needs: needs.collect(),
        roots: roots.collect(),
        path,
    }
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .expect("a list in the output of `cargo metadata`")
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .expect("a string in the output of `cargo metadata`")
}
