//! The kubelet's own file.

use super::holdings::{Holder, Holdings, Pod};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The name of the kubelet's checkpoint in the directory of the sockets.
pub const CHECKPOINT: &str = "kubelet_internal_checkpoint";

/// The largest checkpoint that is read, in bytes. One of 10,000 devices in use has some 5 MB.
const MAX_SIZE: u64 = 64 << 20;

/// Why the checkpoint tells nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// It cannot be read.
    #[error("cannot read the kubelet's checkpoint `{}`", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is larger than any kubelet makes it.
    #[error("the kubelet's checkpoint `{}` has more than {MAX_SIZE} bytes", path.display())]
    TooLarge {
        /// Its path.
        path: PathBuf,
    },
    /// It is not what a kubelet writes.
    #[error("the kubelet's checkpoint `{}` is damaged, or of an unknown version", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// Where and how.
        source: serde_json::Error,
    },
}

/// What of the file matters here; newer kubelets write more. The kubelet's checksum is left alone: it
/// is a hash of the text in which Go prints its own structures. A kubelet that finds it wrong forgets
/// everything, and to count those devices as held is the safe side.
#[derive(Deserialize)]
struct Checkpoint {
    #[serde(rename = "Data")]
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    /// A kubelet without allocations writes `null`.
    #[serde(rename = "PodDeviceEntries")]
    entries: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    #[serde(rename = "PodUID")]
    pod_uid: String,
    container_name: String,
    resource_name: String,
    #[serde(rename = "DeviceIDs")]
    device_ids: Option<DeviceIds>,
}

/// The IDs: by NUMA node since Kubernetes 1.20, a plain list before.
#[derive(Deserialize)]
#[serde(untagged)]
enum DeviceIds {
    ByNode(BTreeMap<String, Option<Vec<String>>>),
    Plain(Vec<String>),
}

/// Reads the checkpoint of a kubelet, of version 1.10 to at least 1.36.
///
/// A file that is not there means that the kubelet has given nothing away yet. It makes the file
/// with the first list of devices that it gets.
///
/// # Errors
///
/// * [`CheckpointError::Io`] when it is there and cannot be read.
/// * [`CheckpointError::TooLarge`] and [`CheckpointError::Malformed`] when it is not what a
///   kubelet writes.
pub fn read_checkpoint(path: &Path) -> Result<Holdings, CheckpointError> {
    let io_error = |source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        // Nothing was given away yet. Where there is not even the directory, nobody can say so.
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_directory(path) => {
            return Ok(Holdings::default());
        }
        Err(error) => return Err(io_error(error)),
    };
    let mut text = Vec::new();
    let size = file.take(MAX_SIZE + 1).read_to_end(&mut text);
    if u64::try_from(size.map_err(io_error)?).is_ok_and(|size| size > MAX_SIZE) {
        let path = path.to_owned();
        return Err(CheckpointError::TooLarge { path });
    }
    parse(&text).map_err(|source| CheckpointError::Malformed {
        path: path.to_owned(),
        source,
    })
}

fn parse(text: &[u8]) -> Result<Holdings, serde_json::Error> {
    let checkpoint: Checkpoint = serde_json::from_slice(text)?;
    let mut held = Holdings::default();
    for entry in checkpoint.data.entries.unwrap_or_default() {
        let ids: Vec<String> = match entry.device_ids {
            None => Vec::new(),
            Some(DeviceIds::Plain(ids)) => ids,
            Some(DeviceIds::ByNode(nodes)) => nodes.into_values().flatten().flatten().collect(),
        };
        for id in ids {
            let holder = Holder {
                pod: Pod::Uid(entry.pod_uid.clone()),
                container: entry.container_name.clone(),
            };
            held.insert(&entry.resource_name, &id, holder);
        }
    }
    Ok(held)
}

fn has_directory(path: &Path) -> bool {
    path.parent().is_some_and(Path::is_dir)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use tempfile::tempdir;

    fn ids(held: &Holdings) -> Vec<(&str, &str, String)> {
        let all = held.iter();
        all.map(|(id, resource, holder)| (id, resource, holder.to_string()))
            .collect()
    }

    #[test]
    fn both_shapes_are_read() {
        let by_node = br#"{"Data":{"PodDeviceEntries":[
            {"PodUID":"u1","ContainerName":"c","ResourceName":"example.com/x",
             "DeviceIDs":{"-1":["b"],"0":["a"],"1":null},"AllocResp":"EgA="},
            {"PodUID":"u2","ContainerName":"d","ResourceName":"example.com/y","DeviceIDs":null}],
            "RegisteredDevices":{"example.com/x":["a","b"]}},"Checksum":1}"#;
        let plain = br#"{"Data":{"PodDeviceEntries":[
            {"PodUID":"u1","ContainerName":"c","ResourceName":"example.com/x",
             "DeviceIDs":["a","b"]}]},"Checksum":1}"#;
        let who = || "container c of the pod with UID u1".to_owned();
        let wanted = vec![("a", "example.com/x", who()), ("b", "example.com/x", who())];
        assert_eq!(ids(&parse(by_node).unwrap()), wanted);
        let newer = r#"{"BootID":"b","Data":{"PodDeviceEntries":null,"More":[]},"Checksum":1}"#;
        assert!(parse(newer.as_bytes()).unwrap().is_empty());
        assert_eq!(ids(&parse(plain).unwrap()), wanted);
        assert!(
            parse(br#"{"Data":{"PodDeviceEntries":null}}"#)
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn absent_is_empty_and_damaged_is_an_error() {
        let dir = tempdir().unwrap();
        let path = dir.path().join(CHECKPOINT);
        assert!(read_checkpoint(&path).unwrap().is_empty());
        for text in [
            "",
            "{",
            "[]",
            r#"{"Data":{"PodDeviceEntries":[{"PodUID":7}]}}"#,
        ] {
            fs::write(&path, text).unwrap();
            let error = read_checkpoint(&path).unwrap_err();
            assert!(
                matches!(error, CheckpointError::Malformed { .. }),
                "{text}: {error}"
            );
        }
        let error = read_checkpoint(dir.path()).unwrap_err();
        assert!(matches!(error, CheckpointError::Io { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _read = parse(&text).is_ok();
        }
    }
}
