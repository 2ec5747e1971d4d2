//! The funnel for file system calls counts what it does.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{create_dir, write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::spawn;

use sysfs_pci::{AttrError, fs};

fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = fs::calls();
    let result = work();
    (result, fs::calls() - before)
}

#[test]
fn every_function_makes_the_calls_that_it_says() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let link = directory.path().join("link");
    write(&file, "12\n").unwrap();
    symlink("../drivers/one", &link).unwrap();

    assert_eq!(counted(|| fs::read_text(&file).unwrap()), ("12".into(), 3));
    assert_eq!(counted(|| fs::read_number::<u8>(&file).unwrap()), (12, 3));
    assert_eq!(counted(|| fs::link_name(&link).unwrap()), ("one".into(), 1));
    assert_eq!(counted(|| fs::link_target(&link).unwrap()).1, 1);
    assert_eq!(
        counted(|| fs::list(directory.path()).unwrap().len()),
        (2, 4)
    );
    assert_eq!(counted(|| fs::stat(&file).unwrap()).1, 1);
    // A directory opens, and fails to be read: it is closed all the same.
    assert_eq!(
        counted(|| fs::read_text(directory.path()).is_err()),
        (true, 3)
    );

    let missing = directory.path().join("missing");
    assert_eq!(counted(|| fs::read_text(&missing).is_err()), (true, 1));
    assert_eq!(counted(|| fs::list(&missing).is_err()), (true, 1));
    assert_eq!(counted(|| fs::link_name(&missing).is_err()), (true, 1));
}

#[test]
fn each_thread_counts_for_itself() {
    let before = fs::calls();
    let elsewhere = spawn(|| {
        let start = fs::calls();
        fs::stat(Path::new("/")).unwrap();
        (start, fs::calls())
    });
    assert_eq!(elsewhere.join().unwrap(), (0, 1));
    assert_eq!(fs::calls(), before);
}

#[test]
fn a_read_is_one_page_and_trimmed_at_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    for (content, expected) in [("0\n\0", "0"), (" a b \n\n", " a b"), ("", ""), ("\n", "")] {
        write(&file, content).unwrap();
        assert_eq!(fs::read_text(&file).unwrap(), expected);
    }
    write(&file, "x".repeat(10_000)).unwrap();
    assert_eq!(fs::read_text(&file).unwrap().len(), 4096);
}

#[test]
fn errors_say_what_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    let error = fs::read_text(&file).unwrap_err();
    assert!(error.is_gone());
    assert_eq!(error.path(), file);

    write(&file, b"\xff").unwrap();
    let error = fs::read_text(&file).unwrap_err();
    assert_eq!(error, AttrError::NotText { path: file.clone() });

    for content in ["-1", "+1", "256", "1 2", "0x10", ""] {
        write(&file, content).unwrap();
        let error = fs::read_number::<u8>(&file).unwrap_err();
        assert!(matches!(error, AttrError::Invalid { .. }), "{error:?}");
    }

    // A path that cannot even be handed to the kernel.
    let error = fs::read_text(Path::new("a\0b")).unwrap_err();
    assert!(matches!(error, AttrError::Read { .. }), "{error:?}");
}

#[test]
fn a_list_has_every_name_once_and_takes_any_bytes() {
    let directory = tempfile::tempdir().unwrap();
    for index in 0..3000 {
        create_dir(
            directory
                .path()
                .join(format!("entry-with-a-long-name-{index}")),
        )
        .unwrap();
    }
    let raw = OsStr::from_bytes(b"\xffname");
    write(directory.path().join(raw), "").unwrap();
    let (entries, calls) = counted(|| fs::list(directory.path()).unwrap());
    assert!(calls > 4, "more than one buffer, {calls} calls");
    let names: BTreeSet<_> = entries.iter().map(|e| &e.name).collect();
    assert_eq!((entries.len(), names.len()), (3001, 3001));
    assert!(names.contains(&"\u{fffd}name".to_owned()));
}

#[test]
fn stat_follows_links_to_the_device() {
    let directory = tempfile::tempdir().unwrap();
    let node = directory.path().join("node");
    symlink("/dev/null", &node).unwrap();
    let stat = fs::stat(&node).unwrap();
    assert!(stat.is_char_device && !stat.is_dir);
    assert_eq!(stat.device_numbers, (1, 3));
    assert!(fs::stat(directory.path()).unwrap().is_dir);
}
