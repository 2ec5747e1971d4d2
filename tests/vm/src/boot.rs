//! One life of a machine.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::console::plain;
use crate::nested;
use crate::{Archive, Event, Kit, Machine, Modules, Programs};

/// How long a machine may take to switch itself off. One that cannot has a process in the kernel.
const OFF: Duration = Duration::from_secs(20);

/// A machine and what is to happen in it.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The machine.
    pub machine: Machine,
    /// The cases to run, in this order.
    pub cases: Vec<String>,
    /// How long the machine may live.
    pub limit: Duration,
}

/// How a machine ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It ran all cases and switched itself off.
    Finished,
    /// It is gone and has not said that it was done: QEMU refused, or the kernel panicked. QEMU's status
    /// is that of a success then too.
    Died(ExitStatus),
    /// It was killed after its time.
    TimedOut,
}

/// What became of a machine.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub ended: Ended,
    /// Everything that it said for people.
    pub console: Vec<String>,
    /// What it wrote to its second serial port: data for tests on this side.
    pub written: String,
}

impl Boot {
    /// Boots the machine and waits for its end. `heard` gets each line that matters, with what was said
    /// for people since the last one.
    ///
    /// # Errors
    ///
    /// When the machine cannot be put together or QEMU cannot be started.
    pub fn run(
        &self,
        kit: &Kit,
        programs: &Programs,
        heard: &mut dyn FnMut(Event, &[String]),
    ) -> Result<Report> {
        let folder = tempfile::tempdir()?;
        let initrd = folder.path().join("initramfs");
        fs::write(&initrd, self.initramfs(kit, programs)?)?;
        let port = folder.path().join("port");
        let mut qemu = self.start(kit, &initrd, &port)?;
        let lines = listen(&mut qemu);
        let mut deadline = Instant::now() + self.limit;
        let mut console = Vec::new();
        let mut told = 0;
        let mut finished = false;
        let ended = loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match Event::parse(&line) {
                    None => console.push(line),
                    Some(event) => {
                        if event == Event::End {
                            finished = true;
                            deadline = deadline.min(Instant::now() + OFF);
                        }
                        heard(event, console.get(told..).unwrap_or_default());
                        told = console.len();
                    }
                },
                Err(RecvTimeoutError::Disconnected) => {
                    let status = qemu.wait()?;
                    break if finished {
                        Ended::Finished
                    } else {
                        Ended::Died(status)
                    };
                }
                Err(RecvTimeoutError::Timeout) => {
                    qemu.kill()?;
                    qemu.wait()?;
                    break Ended::TimedOut;
                }
            }
        };
        // The terminal of the machine ends lines with a carriage return as well.
        let written = fs::read_to_string(&port)
            .unwrap_or_default()
            .replace('\r', "");
        Ok(Report {
            ended,
            console,
            written,
        })
    }

    /// Our program as the first process, busybox, the binaries, modules, and the plan.
    fn initramfs(&self, kit: &Kit, programs: &Programs) -> Result<Vec<u8>> {
        let mut archive = Archive::default();
        for directory in ["dev", "etc", "proc", "sys", "tmp", "run", "var/lib"] {
            archive.directory(directory)?;
        }
        archive.file("etc/hosts", 0o644, b"127.0.0.1 localhost\n")?;
        archive.copy("init", &programs.path("vm-guest"))?;
        for name in &self.machine.programs {
            archive.copy(&format!("bin/{name}"), &programs.path(name))?;
        }
        archive.copy("bin/busybox", &kit.busybox)?;
        archive.link("bin/sh", "busybox")?;
        if self.machine.hypervisor {
            nested::add(&mut archive, kit)?;
        }
        let mut plan = Vec::new();
        let modules = Modules::find(&kit.modules)?;
        for (name, bytes) in modules.with_needs(&self.machine.modules)? {
            archive.file(&format!("modules/{name}.ko"), 0o644, &bytes)?;
            plan.push(format!("module {name}"));
        }
        archive.copy("modules/fakeqat.ko", &kit.twin)?;
        if !self.machine.pfs.is_empty() {
            plan.push(format!("module fakeqat map={}", self.machine.map()));
        }
        plan.extend(self.cases.iter().map(|case| format!("case {case}")));
        archive.file("plan", 0o644, plan.join("\n").as_bytes())?;
        archive.finish()
    }

    /// QEMU as it was unpacked, with its libraries and firmware from there.
    fn start(&self, kit: &Kit, initrd: &Path, port: &Path) -> Result<Child> {
        let below = |path: &str| kit.qemu.join(path).display().to_string();
        Command::new(below("usr/bin/qemu-system-x86_64"))
            .env("LD_LIBRARY_PATH", kit.library_path())
            .args([
                "-L",
                &below("usr/share/qemu"),
                "-L",
                &below("usr/share/seabios"),
            ])
            .args(self.machine.arguments())
            .arg("-serial")
            .arg(format!("file:{}", port.display()))
            .arg("-kernel")
            .arg(&kit.kernel)
            .arg("-initrd")
            .arg(initrd)
            .args(["-append", &self.machine.command_line()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start QEMU")
    }
}

/// The lines of the console and of QEMU itself, until both are closed.
fn listen(qemu: &mut Child) -> Receiver<String> {
    let (lines, heard) = channel();
    if let Some(stdout) = qemu.stdout.take() {
        forward(stdout, lines.clone());
    }
    if let Some(stderr) = qemu.stderr.take() {
        forward(stderr, lines);
    }
    heard
}

fn forward(from: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            let Ok(line) = line else { return };
            let line = plain(&String::from_utf8_lossy(&line));
            if !line.is_empty() && lines.send(line).is_err() {
                return;
            }
        }
    });
}
