//! QEMU's monitor protocol: a JSON object a line, in both directions (docs/interop/qmp-spec in QEMU).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::guest::wait_until;
use crate::scene::DEADLINE;

/// A monitor that takes commands.
pub(crate) struct Qmp {
    lines: BufReader<UnixStream>,
}

impl Qmp {
    /// Waits for the socket, and through the greeting.
    pub(crate) fn connect(path: &Path) -> Self {
        wait_until("QEMU opens its monitor", || path.exists());
        let mut stream = None;
        wait_until("QEMU's monitor can be reached", || {
            stream = UnixStream::connect(path).ok();
            stream.is_some()
        });
        let stream = stream.unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut qmp = Self {
            lines: BufReader::new(stream),
        };
        let greeting = qmp.read();
        assert!(greeting["QMP"].is_object(), "{greeting}");
        qmp.ask("qmp_capabilities");
        qmp
    }

    /// Gives a command without arguments, and returns what comes of it.
    pub(crate) fn ask(&mut self, command: &str) -> Value {
        let line = format!("{}\n", json!({"execute": command}));
        self.lines.get_mut().write_all(line.as_bytes()).unwrap();
        loop {
            let mut answer = self.read();
            // Events come in between.
            if answer.get("return").is_some() || answer.get("error").is_some() {
                assert!(answer.get("error").is_none(), "{command}: {answer}");
                return answer["return"].take();
            }
        }
    }

    /// The PCI functions of the machine: vendor and device.
    pub(crate) fn pci(&mut self) -> Vec<(u64, u64)> {
        let buses = self.ask("query-pci");
        let buses = buses.as_array().unwrap();
        let devices = buses
            .iter()
            .flat_map(|bus| bus["devices"].as_array().unwrap());
        let id = |device: &Value, key| device["id"][key].as_u64().unwrap();
        devices
            .map(|device| (id(device, "vendor"), id(device, "device")))
            .collect()
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: `{line}`"))
    }
}
