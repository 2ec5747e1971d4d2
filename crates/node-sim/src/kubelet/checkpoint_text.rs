//! The checkpoint as JSON, with the sum that the kubelet demands.

use std::{collections::BTreeMap, fmt::Display};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checkpoint::{Checkpoint, CheckpointEntry};

/// How the devices of an entry are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Kubernetes 1.20 and later.
    ByNumaNode,
    /// Before.
    Flat,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct File {
    data: Data,
    checksum: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    /// `null` if there is none, as Go writes a slice that was never filled.
    pod_device_entries: Option<Vec<Entry>>,
    registered_devices: BTreeMap<String, Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "PodUID")]
    pod_uid: String,
    container_name: String,
    resource_name: String,
    #[serde(rename = "DeviceIDs")]
    device_ids: Ids,
    alloc_resp: String,
}

/// Serde cannot read an untagged map with numbers for keys, so reading goes over [`Value`].
#[derive(Serialize, Deserialize)]
#[serde(untagged, try_from = "Value")]
enum Ids {
    ByNumaNode(BTreeMap<i64, Vec<String>>),
    Flat(Vec<String>),
}

impl TryFrom<Value> for Ids {
    type Error = serde_json::Error;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        if value.is_array() {
            serde_json::from_value(value).map(Self::Flat)
        } else {
            serde_json::from_value(value).map(Self::ByNumaNode)
        }
    }
}

/// Fails with the reason.
pub(super) fn print(checkpoint: &Checkpoint, shape: Shape) -> Result<String, String> {
    let entries: Vec<_> = checkpoint
        .entries
        .iter()
        .map(|entry| Entry {
            pod_uid: entry.pod_uid.clone(),
            container_name: entry.container.clone(),
            resource_name: entry.resource.clone(),
            device_ids: match shape {
                Shape::ByNumaNode => Ids::ByNumaNode(entry.devices.clone()),
                Shape::Flat => Ids::Flat(entry.ids()),
            },
            alloc_resp: STANDARD.encode(&entry.answer),
        })
        .collect();
    let data = Data {
        pod_device_entries: (!entries.is_empty()).then_some(entries),
        registered_devices: checkpoint.registered.clone(),
    };
    let checksum = sum(&data)?;
    serde_json::to_string(&File { data, checksum }).map_err(|error| error.to_string())
}

/// Fails with the reason.
pub(super) fn parse(text: &str) -> Result<Checkpoint, String> {
    let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let expected = sum(&file.data)?;
    if file.checksum != expected {
        let found = file.checksum;
        return Err(format!("the checksum is {found}, not {expected}"));
    }
    let entries = file.data.pod_device_entries.unwrap_or_default();
    let entries = entries.into_iter().map(|entry| {
        Ok(CheckpointEntry {
            pod_uid: entry.pod_uid,
            container: entry.container_name,
            resource: entry.resource_name,
            devices: match entry.device_ids {
                Ids::ByNumaNode(devices) => devices,
                Ids::Flat(ids) => BTreeMap::from([(-1, ids)]),
            },
            answer: bytes(&entry.alloc_resp)?,
        })
    });
    Ok(Checkpoint {
        entries: entries.collect::<Result<_, String>>()?,
        registered: file.data.registered_devices,
    })
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    STANDARD.decode(text).map_err(|error| error.to_string())
}

/// FNV-1a over the data as the kubelet's debug printer shows it, types included: what
/// `checksum.New` of the kubelet's checkpoint manager computes.
fn sum(data: &Data) -> Result<u64, String> {
    let mut text =
        "(checkpoint.checkpointData){PodDeviceEntries:([]checkpoint.PodDevicesEntry)".to_owned();
    match &data.pod_device_entries {
        None => text.push_str("<nil>"),
        Some(entries) => {
            let entries: Result<Vec<_>, _> = entries.iter().map(show_entry).collect();
            text.push_str(&show_list(&entries?));
        }
    }
    text.push_str(" RegisteredDevices:(map[string][]string)");
    text.push_str(&show_map(&data.registered_devices));
    text.push('}');
    let fold = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    Ok(text.bytes().fold(0x811c_9dc5_u32, fold).into())
}

fn show_entry(entry: &Entry) -> Result<String, String> {
    let Entry {
        pod_uid,
        container_name,
        resource_name,
        device_ids,
        alloc_resp,
    } = entry;
    let ids = match device_ids {
        Ids::ByNumaNode(devices) => format!("(checkpoint.DevicesPerNUMA){}", show_map(devices)),
        Ids::Flat(ids) => format!("([]string){}", show_list(ids)),
    };
    let answer = show_list(&bytes(alloc_resp)?);
    Ok(format!(
        "{{PodUID:(string){pod_uid} ContainerName:(string){container_name} \
         ResourceName:(string){resource_name} DeviceIDs:{ids} AllocResp:([]uint8){answer}}}"
    ))
}

fn show_list(items: &[impl Display]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(" "))
}

fn show_map(map: &BTreeMap<impl Display, Vec<String>>) -> String {
    let pairs = map.iter();
    let pairs: Vec<_> = pairs
        .map(|(key, list)| format!("{key}:{}", show_list(list)))
        .collect();
    format!("map{}", show_list(&pairs))
}

#[cfg(test)]
mod tests {
    use super::parse;

    /// Files that real kubelets wrote, as their users have shown them in public.
    #[test]
    fn the_sum_is_the_one_of_real_kubelets() {
        let idle = r#"{"Data":{"PodDeviceEntries":null,"RegisteredDevices":{"nvidia.com/gpu":["GPU-0650a168-e770-3ea8-8ac3-8a1d419763e0"]}},"Checksum":3952659280}"#;
        assert_eq!(parse(idle).unwrap().entries, []);
        let busy = r#"{"Data":{"PodDeviceEntries":[{"PodUID":"bf52b2cd-b611-4e79-86b1-280b283185c3","ContainerName":"check","ResourceName":"nvidia.com/gpu","DeviceIDs":{"-1":["tegra"]},"AllocResp":"Ch8KFk5WSURJQV9WSVNJQkxFX0RFVklDRVMSBXRlZ3Jh"}],"RegisteredDevices":{"nvidia.com/gpu":["tegra"]}},"Checksum":3660592824}"#;
        assert_eq!(parse(busy).unwrap().entries[0].ids(), ["tegra"]);
        let other = busy.replace("tegra", "tegrb");
        assert!(parse(&other).unwrap_err().contains("checksum"));
    }
}
