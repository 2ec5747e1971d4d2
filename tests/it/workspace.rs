//! The rules that hold the workspace together: who may know whom, which words a crate must not
//! say, how large a file may grow.
//!
//! Each rule is a function that returns what breaks it, a sentence each that says what to do; so
//! that a rule can be shown to bite, it is also run on a workspace that breaks it.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a workspace that cannot be read fails the test that reads it"
)]

mod arrows;
mod guide;
mod members;
mod pages;
mod sources;

use std::path::Path;

use self::members::Member;

/// Fails with every complaint at once.
fn hold(complaints: &[String]) {
    assert!(
        complaints.is_empty(),
        "the workspace breaks {} of its rules:\n  {}\n",
        complaints.len(),
        complaints.join("\n  ")
    );
}

/// The members of this workspace.
fn members() -> Vec<Member> {
    let members = members::read();
    assert!(
        members.len() >= 14,
        "`cargo metadata` shows {} members only",
        members.len()
    );
    members
}

#[test]
fn dependencies_follow_the_arrows() {
    hold(&arrows::complaints(&members()));
}

#[test]
fn links_of_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    hold(&pages::complaints(root));
}

#[test]
fn the_guide_shows_the_files_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    hold(&guide::complaints(root));
}

#[test]
fn a_plugin_for_other_hardware_stays_short() {
    hold(
        &members()
            .iter()
            .filter(|member| member.folder == Path::new("examples"))
            .flat_map(sources::plugin_complaints)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_member_takes_the_lints_of_the_workspace() {
    hold(
        &members()
            .iter()
            .filter_map(sources::lints_complaint)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn unsafe_code_is_forbidden_in_every_root() {
    hold(
        &members()
            .iter()
            .flat_map(sources::unsafe_complaints)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn a_generic_crate_never_says_the_specific_word() {
    hold(
        &members()
            .iter()
            .flat_map(sources::word_complaints)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn files_stay_readable() {
    hold(
        &members()
            .iter()
            .flat_map(sources::length_complaints)
            .collect::<Vec<_>>(),
    );
}
