//! What is written down in deploy/ although the code knows it: held to be the same. `BLESS=1 cargo test -p tests deploy` writes it anew.

use std::path::Path;
use std::{env, fs};

use qat_policy::Family;
use serde_json::{Map, Value};

const CHART: &str = "deploy/helm/qat-plugin";

fn read(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn is_up_to_date(path: &str, value: &Value) {
    if env::var_os("BLESS").is_some() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        fs::write(file, serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
    }
    assert!(read(path) == *value, "{path} is not up to date: BLESS=1");
}

/// A wrong key of the configuration is refused when the chart is rendered.
#[test]
fn the_charts_values_know_the_configuration() {
    let mut config = read("docs/schema/config.json");
    let config = config.as_object_mut().unwrap();
    // These belong to a schema that stands by itself.
    config.remove("$schema");
    config.remove("title");
    let config = Value::Object(config.clone());
    let path = format!("{CHART}/values.schema.json");
    let mut schema = read(&path);
    let places = [
        "/properties/config",
        "/properties/nodeGroups/items/properties/config",
    ];
    for place in places {
        *schema.pointer_mut(place).unwrap() = config.clone();
    }
    is_up_to_date(&path, &schema);
}

/// Node Feature Discovery finds every device that the plugin knows.
#[test]
fn the_charts_rule_has_every_device() {
    let families = Family::all().iter().map(|family| {
        let spec = family.spec();
        let ids = [spec.pf.device, spec.vf.device];
        (
            spec.name.to_owned(),
            ids.map(|id| format!("{id:04x}")).into(),
        )
    });
    let families: Map<String, Value> = families.collect();
    is_up_to_date(&format!("{CHART}/files/pci-devices.json"), &families.into());
}
