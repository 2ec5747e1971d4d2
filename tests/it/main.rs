//! End-to-end tests and the rules of the workspace, one module for each subject.
#![forbid(unsafe_code)]

mod bad_input;
mod drop_in;
mod lifecycle;
mod profiles;
mod render;
mod workspace;
