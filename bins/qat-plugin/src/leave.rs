//! The command `leave`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use qat_node::Roots;

use crate::args::{Command, LeaveArgs, Line, Places};
use crate::{provision, say};

/// Leaves the node.
///
/// # Errors
///
/// A plugin serves the node, or a file cannot be removed.
pub(crate) fn run(args: &LeaveArgs, places: &Places, roots: &Roots) -> anyhow::Result<ExitCode> {
    let state_dir = places.state_dir.clone();
    let state_dir = state_dir.unwrap_or_else(|| roots.state_dir());
    // Whether a plugin is there is known before anything is touched.
    let labels = places.nfd_file.as_deref();
    let would = qat_node::leave(roots, &state_dir, labels, true)?;
    if args.undo {
        let dry_run = args.dry_run.then_some("--dry-run");
        let typed = ["qat-plugin", "provision", "--undo"];
        let line = Line::parse_from(typed.into_iter().chain(dry_run));
        if let Some(Command::Provision(undo)) = &line.command {
            let code = provision::run(undo, places, roots)?;
            if code != ExitCode::SUCCESS {
                return Ok(code);
            }
        }
    }
    let (word, gone) = if args.dry_run {
        ("would remove", would)
    } else {
        (
            "removed",
            qat_node::leave(roots, &state_dir, labels, false)?,
        )
    };
    let mut text = String::new();
    for path in &gone {
        let _infallible = writeln!(text, "{word} {}", path.display());
    }
    if gone.is_empty() {
        text.push_str("nothing of a plugin is left here\n");
    }
    say::text(&text)
}
