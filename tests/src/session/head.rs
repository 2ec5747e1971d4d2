//! The head of a request: what a framework hides from a plugin.

use std::{
    task::{Context, Poll},
    time::Duration,
};

use tonic::codegen::{
    Service,
    http::{self, uri::Authority},
};

use super::timing::Class;

/// Pseudo-headers and headers, sorted, one line each.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Head {
    pub(super) lines: Vec<String>,
    /// How long the kubelet waits, from `grpc-timeout`.
    pub(super) deadline: Option<Class>,
}

impl Head {
    fn of<B>(request: &http::Request<B>) -> Self {
        let uri = request.uri();
        let or_none = |text: Option<&str>| text.unwrap_or("none").to_owned();
        let mut lines = vec![
            format!(":method: {}", request.method()),
            format!(":scheme: {}", or_none(uri.scheme_str())),
            format!(
                ":authority: {}",
                or_none(uri.authority().map(Authority::as_str))
            ),
            format!(":path: {}", uri.path()),
        ];
        let mut deadline = None;
        for (name, value) in request.headers() {
            let value = String::from_utf8_lossy(value.as_bytes());
            match name.as_str() {
                "grpc-timeout" => {
                    deadline = parse_timeout(&value).map(Class::of);
                    let class = deadline.map_or("malformed".to_owned(), |class| class.to_string());
                    lines.push(format!("grpc-timeout: {class}"));
                }
                // The version of the library is not the kubelet's business.
                "user-agent" => {
                    let name = value.split('/').next().unwrap_or_default();
                    lines.push(format!("user-agent: {name}"));
                }
                name => lines.push(format!("{name}: {value}")),
            }
        }
        lines.sort_unstable();
        Self { lines, deadline }
    }
}

/// Parses the value of `grpc-timeout`: at most eight digits and a unit.
fn parse_timeout(value: &str) -> Option<Duration> {
    let (number, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A service that puts the [`Head`] of each request into its extensions.
#[derive(Clone, Debug)]
pub(super) struct Headed<S>(pub(super) S);

impl<S, B> Service<http::Request<B>> for Headed<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let head = Head::of(&request);
        request.extensions_mut().insert(head);
        self.0.call(request)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::parse_timeout;

    #[test]
    fn timeouts_have_units() {
        assert_eq!(parse_timeout("29999m"), Some(Duration::from_millis(29_999)));
        assert_eq!(parse_timeout("30S"), Some(Duration::from_secs(30)));
        for bad in ["", "30", "S", "1x"] {
            assert_eq!(parse_timeout(bad), None, "{bad}");
        }
    }
}
