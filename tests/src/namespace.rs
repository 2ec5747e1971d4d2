//! Tests in user, network and mount namespaces of their own, where an ordinary user may make the kernel's events and mount.

use std::env;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Set in the namespace.
const INSIDE: &str = "TESTS_INSIDE_NAMESPACE";

/// Runs an ignored test of this binary in namespaces of its own. Where the machine forbids such namespaces that is
/// said, to whoever reads the output and in the file named by `TEST_SKIPS`, and the test counts as passed.
///
/// # Errors
///
/// When the test fails there; with its output.
pub fn in_a_namespace(test: &str) -> anyhow::Result<()> {
    let unshare = |program: &str| {
        let mut command = Command::new("unshare");
        let own = ["--user", "--map-root-user", "--net", "--mount"];
        command.args(own).args(["--", program]);
        command
    };
    let possible = unshare("true").output();
    if !possible.is_ok_and(|output| output.status.success()) {
        return skip(
            test,
            "no user, network and mount namespaces of one's own here",
        );
    }
    let myself = env::current_exe().context("who am I")?;
    let myself = myself.to_str().context("a path of text")?;
    let output = unshare(myself)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .context("cannot start the test in its namespace")?;
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success() && stdout.contains("1 passed"),
        "{stdout}\n{stderr}"
    );
    Ok(())
}

/// Whether this process was started by [`in_a_namespace`]; else such a test has nothing to do.
pub fn is_in_a_namespace() -> bool {
    env::var_os(INSIDE).is_some()
}

fn skip(test: &str, reason: &str) -> anyhow::Result<()> {
    let line = format!("tests {test}: {reason}\n");
    if let Some(path) = env::var_os("TEST_SKIPS") {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        // One write, so that lines of several processes stay whole.
        file.write_all(line.as_bytes())?;
    }
    Ok(())
}
