//! What was written, and what came of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use rustix::io::Errno;

/// One write to a file below `/sys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteRecord {
    /// The file, below `/sys`, with no link on the way: `devices/pci0000:6b/0000:6b:00.1/driver_override`.
    pub path: PathBuf,
    /// What was written.
    pub bytes: Vec<u8>,
    /// What came of it.
    pub outcome: WriteOutcome,
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteOutcome {
    /// The kernel did it.
    Taken,
    /// The kernel refused it with this errno, and nothing changed.
    Refused(i32),
    /// The kernel has begun and waits for somebody to release a function.
    Waiting,
    /// The file does nothing here when it is written, and now holds what was written.
    Ignored,
}

/// The records in the order in which the writes came.
#[derive(Debug, Default)]
pub(super) struct Log {
    next: u64,
    records: BTreeMap<u64, WriteRecord>,
}

/// Names a record.
pub(super) type Ticket = u64;

impl Log {
    pub(super) fn add(&mut self, path: &Path, bytes: &[u8], outcome: WriteOutcome) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let record = WriteRecord {
            path: path.to_owned(),
            bytes: bytes.to_owned(),
            outcome,
        };
        self.records.insert(ticket, record);
        ticket
    }

    pub(super) fn settle(&mut self, ticket: Ticket, answer: Result<(), Errno>) {
        if let Some(record) = self.records.get_mut(&ticket) {
            record.outcome = match answer {
                Ok(()) => WriteOutcome::Taken,
                Err(errno) => WriteOutcome::Refused(errno.raw_os_error()),
            };
        }
    }

    pub(super) fn outcome(&self, ticket: Ticket) -> Option<WriteOutcome> {
        self.records.get(&ticket).map(|record| record.outcome)
    }

    pub(super) fn records(&self) -> Vec<WriteRecord> {
        self.records.values().cloned().collect()
    }

    /// Forgets what is over.
    pub(super) fn clear(&mut self) {
        self.records
            .retain(|_, record| record.outcome == WriteOutcome::Waiting);
    }
}
