//! From a number like klog's to the directives of a filter.

use tracing::level_filters::LevelFilter;

/// The libraries between us and a socket. They log each frame at debug and trace.
const TRANSPORT: [&str; 6] = ["h2", "hyper", "hyper_util", "mio", "tonic", "tower"];

/// The level that a verbosity stands for.
pub(crate) const fn of(verbosity: u8) -> LevelFilter {
    match verbosity {
        0 | 1 => LevelFilter::INFO,
        2 | 3 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

/// The filter that a verbosity stands for, in the language of `RUST_LOG`.
pub(crate) fn directives(verbosity: u8) -> String {
    let level = of(verbosity);
    let mut text = level.to_string();
    if level > LevelFilter::INFO {
        for library in TRANSPORT {
            text.push(',');
            text.push_str(library);
            text.push_str("=info");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tracing::level_filters::LevelFilter;

    use super::{directives, of};

    #[test]
    fn the_scale_is_klogs() {
        let levels: Vec<LevelFilter> = (0..=5).map(of).collect();
        assert_eq!(
            levels,
            [
                LevelFilter::INFO,
                LevelFilter::INFO,
                LevelFilter::DEBUG,
                LevelFilter::DEBUG,
                LevelFilter::TRACE,
                LevelFilter::TRACE,
            ]
        );
        assert_eq!(of(u8::MAX), LevelFilter::TRACE);
    }

    #[test]
    fn the_transport_is_held_down_only_where_it_would_speak() {
        assert_eq!(directives(1), "info");
        assert_eq!(
            directives(2),
            "debug,h2=info,hyper=info,hyper_util=info,mio=info,tonic=info,tower=info"
        );
    }
}
