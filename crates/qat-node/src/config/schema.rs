//! The JSON schema of the file and its reference, made of the types that read it. Only tests need it: they keep
//! `docs/schema/config.json` and `docs/configuration.md` as they should be.
#![expect(dead_code, reason = "only the schemas of these types are used")]

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use plugin_admin::LogFormat;
use qat_policy::{Family, Service};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::NodeConfig;
use super::yaml::parse;

/// A word, or a list of words.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "words")]
pub(super) enum Words<T> {
    One(T),
    Many(Vec<T>),
}

/// A text of some form.
macro_rules! text {
    ($name:ident: $key:literal = $value:expr) => {
        #[derive(JsonSchema)]
        #[schemars(transparent, extend($key = $value))]
        pub(super) struct $name(String);
    };
}

text!(FamilyName: "enum" = families());
text!(Address: "pattern" = r"^[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[01][0-9a-fA-F]\.[0-7]$");
text!(ServiceNames: "pattern" = services());
text!(Vfs: "enum" = ["all", "none", "keep"]);
text!(BindDriver: "enum" = ["vfio-pci", "qat_vfio_pci", "keep"]);
text!(AcceptedDriver: "enum" = ["vfio-pci", "igb_uio"]);
text!(Spelling: "enum" = ["canonical", "as-read"]);
text!(Format: "enum" = LogFormat::NAMES);
text!(Name: "pattern" = r"^[A-Za-z]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$");
text!(Time: "pattern" = r"^[0-9]+(ms|s|m)?$");
text!(FileMode: "pattern" = r"^[0-7]{1,4}$");
text!(Numbers: "pattern" = r"^[0-9]+(-[0-9]+)?$");

fn families() -> Vec<&'static str> {
    let families = Family::all().iter();
    families.map(|family| family.spec().name).collect()
}

/// Words with `;` between them.
fn services() -> String {
    let words = Service::all().iter().map(|service| service.as_str());
    let word = words.collect::<Vec<_>>().join("|");
    format!("^({word})(;({word}))*$")
}

/// `true`, or `on`.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(super) enum Switch {
    Bool(bool),
    Text(OnOff),
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnOff {
    On,
    Off,
}

/// A number, or a text.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(super) enum Scalar {
    Number(u64),
    Text(Numbers),
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Interface {
    Group,
    Cdev,
    Both,
    None,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cdi {
    Off,
    Spec,
    Field,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Policy {
    None,
    Packed,
    Balanced,
}

fn schema() -> Schema {
    let settings = SchemaSettings::draft2020_12()
        .for_deserialize()
        .with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<NodeConfig>();
    schema.insert(
        "title".to_owned(),
        "Configuration of qat-plugin, version 1".into(),
    );
    schema
}

/// `BLESS=1 cargo test -p qat-node schema` writes it anew.
fn is_up_to_date(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs")
        .join(file);
    if env::var_os("BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == text,
        "docs/{file} is not up to date: BLESS=1 cargo test -p qat-node schema"
    );
}

#[test]
fn the_schema_is_that_of_the_types() {
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    is_up_to_date("schema/config.json", &text);
}

#[test]
fn the_reference_has_every_key() {
    let mut page = include_str!("reference.md").to_owned();
    let schema = schema().to_value();
    section(&mut page, "", "The file", &schema);
    is_up_to_date("configuration.md", &page);
}

/// Writes a table of an object's keys, and of each object in it.
fn section(page: &mut String, path: &str, title: &str, schema: &Value) {
    writeln!(page, "\n## {title}\n").unwrap();
    if !path.is_empty() {
        let text = schema["description"].as_str().unwrap_or_default();
        writeln!(page, "{}\n", one_line(text)).unwrap();
    }
    writeln!(page, "| key | form | meaning |\n|---|---|---|").unwrap();
    let mut inner = Vec::new();
    for (key, value) in schema["properties"].as_object().unwrap() {
        let text = one_line(value["description"].as_str().unwrap_or_default());
        let object = object(value);
        let form = if object.is_some() && value["type"] == "array" {
            format!("list, [below](#{})", anchor(path, key))
        } else if object.is_some() {
            format!("keys, [below](#{})", anchor(path, key))
        } else {
            form(value)
        };
        writeln!(page, "| `{key}` | {form} | {text} |").unwrap();
        // What an override can say stands above.
        inner.extend(
            object
                .filter(|_| path != "overrides")
                .map(|object| (key, object)),
        );
    }
    for (key, object) in inner {
        let path = path_of(path, key);
        section(page, &path, &path, object);
    }
}

fn path_of(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// The anchor of that title, as renderers of Markdown make it.
fn anchor(path: &str, key: &str) -> String {
    let path = if path == "overrides" { "" } else { path };
    path_of(path, key).replace('.', "").to_lowercase()
}

/// The object that a value is, or is a list of.
fn object(value: &Value) -> Option<&Value> {
    let alternatives = value["anyOf"].as_array().into_iter().flatten();
    [value, &value["items"]]
        .into_iter()
        .chain(alternatives)
        .find(|one| one["properties"].is_object())
}

/// How a value is written.
fn form(value: &Value) -> String {
    if let Some(words) = value["enum"].as_array() {
        let words = words.iter().filter(|word| !word.is_null());
        return words
            .map(|word| {
                format!(
                    "`{}`",
                    word.as_str().map_or(word.to_string(), str::to_owned)
                )
            })
            .collect::<Vec<_>>()
            .join(", ");
    }
    let kind = |kind: &str| match kind {
        "array" => Some("list"),
        "string" => Some("text"),
        "integer" => Some("number"),
        "boolean" => Some("true or false"),
        _ => None,
    };
    if let Some(any) = value["anyOf"].as_array() {
        let mut forms: Vec<String> = any
            .iter()
            .map(form)
            .filter(|form| !form.is_empty())
            .collect();
        forms.dedup();
        return forms.join(", or ");
    }
    match &value["type"] {
        Value::String(one) => kind(one).unwrap_or_default().to_owned(),
        Value::Array(some) => {
            let kinds = some.iter().filter_map(Value::as_str).filter_map(kind);
            kinds.collect::<Vec<_>>().join(", or ")
        }
        _ => String::new(),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The parser and the schema take and refuse the same. What only the parser can know (whether pool rules fit together) is not here.
#[test]
fn the_schema_takes_what_the_parser_takes() {
    let schema = schema().to_value();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (text, good) in [
        ("version: 1", true),
        (
            "version: 1\noffer: { families: [4xxx], maxDevices: 3, allocationPolicy: packed, rescanInterval: 30s }",
            true,
        ),
        (
            "version: 1\nprovisioning: [{ services: [sym, asym], autoReset: on, vfs: none, driver: keep }]",
            true,
        ),
        (
            "version: 1\npools: [{ name: fast, select: { pf: '0000:6b:00.0', vfs: 3, numaNode: 0, services: dc } }]",
            true,
        ),
        (
            "version: 1\npools: [{ pool: dc, cdi: field, owner: { gid: 107, mode: '0660' }, topology: off, vfio: cdev }]",
            true,
        ),
        (
            "version: 1\noverrides: [{ nodes: ['edge-*'], health: { falls: 2, quiet: 5m }, admin: { verbosity: 4 } }]",
            true,
        ),
        (
            "version: 1\nprovisioning: [{ pf: 0000:6B:00.0, services: sym;asym, vfs: all }, { family: c62x, driver: qat_vfio_pci }]",
            true,
        ),
        (
            "version: 1\noffer: { driver: igb_uio, resourceNames: as-read, families: 4xxx }\nadmin: { logFormat: json }",
            true,
        ),
        ("{}", false),
        ("version: one", false),
        ("version: 2", false),
        ("version: 1\nprovisioning: [{ services: sim }]", false),
        ("version: 1\nprovisioning: [{ services: [sym, ''] }]", false),
        ("version: 1\nprovisioning: [{ pf: '6b:00.0' }]", false),
        ("version: 1\nprovisioning: [{ vfs: some }]", false),
        ("version: 1\nprovisioning: [{ driver: vfio }]", false),
        (
            "version: 1\npools: [{ name: -fast, select: { vfs: 1 } }]",
            false,
        ),
        (
            "version: 1\npools: [{ name: fast, select: { pf: ['6b:00.0'] } }]",
            false,
        ),
        (
            "version: 1\npools: [{ name: fast, select: { vfs: '1-' } }]",
            false,
        ),
        (
            "version: 1\npools: [{ cdi: field, owner: { mode: '0888' } }]",
            false,
        ),
        ("version: 1\noffer: { families: [4xx] }", false),
        ("version: 1\noffer: { driver: qat_vfio_pci }", false),
        ("version: 1\noffer: { resourceNames: other }", false),
        ("version: 1\noffer: { rescanInterval: 1h }", false),
        ("version: 1\nadmin: { logFormat: xml }", false),
        (
            "version: 1\noverrides: [{ hardware: qat, offer: {} }]",
            false,
        ),
        ("version: 1\npoolz: []", false),
        ("version: 1\npools: { cdi: spec }", false),
        ("version: 1\npools: [{ cdi: maybe }]", false),
        ("version: 1\nhealth: { goodChecks: many }", false),
        ("version: 1\nhealth: { falls: 0 }", false),
        ("version: 1\noffer: { maxDevices: 0 }", false),
        ("version: 1\nadmin: { verbosity: 300 }", false),
        (
            "version: 1\noverrides: [{ hardware: [4xxx], offer: { maxDevices: 8 } }]",
            true,
        ),
        (
            "version: 1\noverrides: [{ hardware: 4xxx, nodes: edge-1 }]\noffer: { families: c62x }",
            true,
        ),
        ("version: 1\noffer: { families: }", true),
        (
            "version: 1\noverrides: [{ hardware: { family: 4xxx } }]",
            false,
        ),
        ("version: 1\npools: [{ topology: perhaps }]", false),
    ] {
        let parsed = parse("config.yaml".into(), text);
        assert_eq!(parsed.is_ok(), good, "the parser on: {text}\n{parsed:?}");
        let value: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(validator.is_valid(&value), good, "the schema on: {text}");
    }
}
