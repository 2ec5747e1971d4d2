use std::error::Error;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::field::Empty;
use tracing::subscriber::with_default;

use super::Telemetry;
use crate::{LogFormat, TelemetryError};

/// Keeps what is written, for the test to read.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `telemetry` writes while `events` run.
fn written(telemetry: &Telemetry, colour: bool, events: impl FnOnce()) -> String {
    let page = Page::default();
    let out = page.clone();
    let (subscriber, _level) = telemetry.subscriber(colour, move || out.clone()).unwrap();
    with_default(subscriber, events);
    page.text()
}

fn one_of_each() {
    tracing::error!("at error");
    tracing::info!("at info");
    tracing::debug!("at debug");
    tracing::trace!("at trace");
    tracing::debug!(target: "h2::codec", "a frame");
    tracing::info!(target: "h2::codec", "a goodbye");
}

#[test]
fn verbosity_decides_what_is_written() {
    for (verbosity, expected) in [
        (0, ["at error", "at info", "a goodbye"].as_slice()),
        (1, &["at error", "at info", "a goodbye"]),
        (2, &["at error", "at info", "at debug", "a goodbye"]),
        (
            4,
            &["at error", "at info", "at debug", "at trace", "a goodbye"],
        ),
        (
            255,
            &["at error", "at info", "at debug", "at trace", "a goodbye"],
        ),
    ] {
        let text = written(
            &Telemetry::new(LogFormat::Text, verbosity),
            false,
            one_of_each,
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines.len(),
            expected.len(),
            "verbosity {verbosity}:\n{text}"
        );
        for (line, end) in lines.iter().zip(expected) {
            assert!(line.ends_with(end), "verbosity {verbosity}: `{line}`");
        }
    }
}

#[test]
fn a_filter_replaces_the_verbosity() {
    let telemetry = Telemetry::new(LogFormat::Text, 9).with_filter("error,h2=debug");
    let text = written(&telemetry, false, one_of_each);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(lines[1].ends_with("a frame"), "{text}");
}

#[test]
fn an_empty_filter_is_none() {
    for filter in ["", "  "] {
        let telemetry = Telemetry::new(LogFormat::Text, 1).with_filter(filter);
        assert_eq!(written(&telemetry, false, one_of_each).lines().count(), 3);
    }
}

#[test]
fn a_bad_filter_is_named_and_changes_nothing() {
    for (filter, has_source) in [
        ("device_plugin=loud", true),
        ("info,a=b=c", true),
        ("[unclosed", false),
        ("info,device_plugin[span]=debug", false),
    ] {
        let error = Telemetry::new(LogFormat::Text, 1)
            .with_filter(filter)
            .init()
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(&format!("`{filter}`")) && text.contains("RUST_LOG"),
            "{text}"
        );
        assert_eq!(error.source().is_some(), has_source, "{error:?}");
    }
}

#[test]
fn text_is_plain_without_a_terminal_and_cannot_be_forged() {
    let telemetry = Telemetry::new(LogFormat::Text, 1);
    let outside = "a\nb\r\u{1b}[31mred";
    let event = || tracing::info!(reason = outside, shown = %outside, "a message of {outside}");
    let plain = written(&telemetry, false, event);
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    assert_eq!(plain.lines().count(), 1, "{plain:?}");
    assert!(written(&telemetry, true, event).contains('\u{1b}'));
}

#[test]
fn json_is_one_object_per_line_with_the_fields_on_top() {
    let telemetry = Telemetry::new(LogFormat::Json, 1);
    let text = written(&telemetry, false, || {
        tracing::info!(devices = 16, resource = "example.com/x", "first\nline");
        tracing::warn!("second");
    });
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let first: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(first["message"], "first\nline");
    assert_eq!(first["devices"], 16);
    assert_eq!(first["resource"], "example.com/x");
    assert_eq!(first["level"], "INFO");
    assert!(
        first["timestamp"].as_str().unwrap().ends_with('Z'),
        "{first}"
    );
    assert!(
        first["target"]
            .as_str()
            .unwrap()
            .starts_with("plugin_admin"),
        "{first}"
    );
    let second: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(second["level"], "WARN");
}

#[test]
fn a_writer_that_fails_is_survived() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    for format in [LogFormat::Text, LogFormat::Json] {
        let (subscriber, _level) = Telemetry::new(format, 1)
            .subscriber(false, || Broken)
            .unwrap();
        with_default(subscriber, one_of_each);
    }
}

#[test]
fn how_much_is_logged_changes_while_it_runs() {
    let page = Page::default();
    let out = page.clone();
    let telemetry = Telemetry::new(LogFormat::Text, 1).with_filter("error");
    let (subscriber, level) = telemetry.subscriber(false, move || out.clone()).unwrap();
    let mut read = 0;
    let mut said = || {
        one_of_each();
        let text = page.text();
        let new = text[read..]
            .lines()
            .map(|line| line.split(": ").last().unwrap().to_owned());
        read = text.len();
        new.collect::<Vec<_>>()
    };
    with_default(subscriber, || {
        assert_eq!(said(), ["at error"]);
        assert_eq!(level.louder(), "debug");
        assert_eq!(said(), ["at error", "at info", "at debug", "a goodbye"]);
        assert_eq!(level.clone().louder(), "trace");
        assert_eq!(level.louder(), "trace");
        assert_eq!(said().len(), 5);
        level.usual();
        assert_eq!(said(), ["at error"]);
        assert_eq!(level.louder(), "debug");
    });
}

#[test]
fn a_span_that_ends_says_how_long_it_took() {
    let spans = || {
        let look = tracing::debug_span!("look", calls = Empty);
        look.in_scope(|| look.record("calls", 7));
        drop(look);
    };
    let loud = Telemetry::new(LogFormat::Text, 2);
    let text = written(&loud, false, spans);
    assert!(
        text.contains("look{calls=7}") && text.contains("time.busy="),
        "{text}"
    );
    let text = written(&Telemetry::new(LogFormat::Json, 2), false, spans);
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["span"]["name"], "look");
    assert!(line["time.busy"].is_string(), "{line}");
    let silent = written(&Telemetry::new(LogFormat::Text, 1), false, spans);
    assert_eq!(silent, "");
}

/// The only test that sets the log of the process, since that can be done once.
#[test]
fn the_second_log_of_a_process_is_refused() {
    Telemetry::new(LogFormat::Text, 0)
        .with_filter("off")
        .init()
        .unwrap();
    let error = Telemetry::new(LogFormat::Json, 1).init().unwrap_err();
    assert!(matches!(error, TelemetryError::AlreadySet), "{error:?}");
}
