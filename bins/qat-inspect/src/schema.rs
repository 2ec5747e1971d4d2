//! The schema of our JSON, made of the types that are printed. Only tests need it: they keep the file in `docs/schema` as it
//! should be.

use std::path::Path;
use std::{env, fs};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::json;

use crate::checkup::Checkup;
use crate::groups::Groups;
use crate::pods::Pods;
use crate::pools::Pools;
use crate::report::Report;
use crate::show::Shown;
use crate::tree::Tree;

/// A process, as `vfio_host::Holder` is printed.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct Process {
    /// Its number, as `qat-inspect` sees it.
    pid: u32,
    /// Its name, at most 15 bytes.
    name: String,
}

/// The schema of one answer, complete in itself.
fn of<T: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
    settings.into_generator().into_root_schema_for::<T>()
}

/// `BLESS=1 cargo test -p qat-inspect schema` writes it anew.
#[test]
fn the_file_is_that_of_the_types() {
    // Without it `check` knows fewer kinds of things.
    if cfg!(not(feature = "probe")) {
        return;
    }
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What qat-inspect prints with --output json",
        "description": "One definition for each command. A new field may come at any time; when one goes away or changes its meaning, \
            the number in `schema` rises.",
        "$defs": {
            "list": of::<Report>(),
            "show": of::<Shown>(),
            "tree": of::<Tree>(),
            "groups": of::<Groups>(),
            "pools": of::<Pools>(),
            "pods": of::<Pods>(),
            "check": of::<Checkup>(),
        },
    });
    let text = serde_json::to_string_pretty(&schema).unwrap() + "\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schema/qat-inspect.json");
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == text,
        "docs/schema/qat-inspect.json is not up to date: BLESS=1"
    );
}
