//! The endpoint that probes and Prometheus ask.

use std::convert::Infallible;
use std::fmt::{self, Debug, Formatter};
use std::iter;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// So many at once. A node has a kubelet and one or two who scrape it.
const CONNECTIONS: usize = 16;

/// So long may a request take to arrive, and all of a connection.
const HEADERS: Duration = Duration::from_secs(5);
const WHOLE: Duration = Duration::from_secs(20);

/// So much of a request is read at most.
const BUFFER: usize = 16 * 1024;

/// What Prometheus is told that it gets (the specification of `OpenMetrics` 1.0).
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Says whether something is so, or why it is not, in a sentence.
type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What a daemon has to say of itself.
#[derive(Clone)]
pub struct Admin {
    /// `/metrics`: everything there is, in the text form of `OpenMetrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// `/healthz`: whether it does its work. Who is not alive is started anew.
    pub live: Check,
    /// `/readyz`: whether it can be relied on now.
    pub ready: Check,
    /// `/readyz` of a daemon that is ready: lines after `ok`, for people. Probes read only the status.
    pub notes: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

impl Debug for Admin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

/// Answers on a socket for ever: `/metrics`, `/healthz` and `/readyz`, to `GET` and `HEAD`, one request for a connection.
///
/// There are limits, so that whoever can reach the socket can cost little: 16 connections at once, 5 s for a request to
/// arrive, 20 s for all of it, 16 KiB for a request.
pub async fn serve(listener: TcpListener, admin: Admin) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let admin = admin.clone();
                tokio::spawn(async move {
                    answer(stream, admin).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Mostly that there are too many open files.
                debug!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, admin: Admin) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = respond(&admin, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(WHOLE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a request was not answered"),
        Err(_elapsed) => debug!("a request took too long"),
    }
}

fn respond(admin: &Admin, method: &Method, path: &str) -> Response<Full<Bytes>> {
    let check = |check: &Check, notes: Vec<String>| match check() {
        Ok(()) => {
            let lines = iter::once("ok".to_owned()).chain(notes);
            let text = lines.map(|line| line + "\n").collect();
            reply(StatusCode::OK, PLAIN, text)
        }
        Err(why) => reply(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why + "\n"),
    };
    if method != Method::GET && method != Method::HEAD {
        let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, PLAIN, String::new());
        if let Ok(allowed) = "GET, HEAD".parse() {
            response.headers_mut().insert(ALLOW, allowed);
        }
        return response;
    }
    match path {
        "/metrics" => reply(StatusCode::OK, OPEN_METRICS, (admin.metrics)()),
        "/healthz" => check(&admin.live, Vec::new()),
        "/readyz" => check(&admin.ready, (admin.notes)()),
        _ => {
            let text = "there are /metrics, /healthz and /readyz\n".to_owned();
            reply(StatusCode::NOT_FOUND, PLAIN, text)
        }
    }
}

fn reply(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn admin(ready: Result<(), String>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let admin = Admin {
            metrics: Arc::new(|| "# EOF\n".to_owned()),
            live: Arc::new(|| Ok(())),
            ready: Arc::new(move || ready.clone()),
            notes: Arc::new(|| vec!["a note".to_owned()]),
        };
        tokio::spawn(serve(listener, admin));
        address
    }

    /// The whole answer to what is sent.
    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }

    #[tokio::test]
    async fn probes_and_metrics_are_answered() {
        let address = admin(Err("x.y/z: waiting".to_owned())).await;
        let text = get(address, "/healthz").await;
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok\n"),
            "{text}"
        );
        let ready = admin(Ok(())).await;
        let text = get(ready, "/readyz").await;
        assert!(
            text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok\na note\n"),
            "{text}"
        );
        let text = get(address, "/readyz").await;
        assert!(
            text.starts_with("HTTP/1.1 503 ") && text.ends_with("\r\n\r\nx.y/z: waiting\n"),
            "{text}"
        );
        let text = get(address, "/metrics").await;
        assert!(
            text.contains("application/openmetrics-text") && text.ends_with("# EOF\n"),
            "{text}"
        );
        assert!(get(address, "/").await.starts_with("HTTP/1.1 404 "));
        let text = ask(
            address,
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        assert!(
            text.starts_with("HTTP/1.1 405 ") && text.contains("GET, HEAD"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn nonsense_and_too_much_are_refused_and_others_are_answered() {
        let address = admin(Ok(())).await;
        assert!(
            ask(address, "nonsense\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 400 ")
        );
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(BUFFER));
        let text = ask(address, &long).await;
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_nothing_keeps_nobody_waiting_for_ever() {
        let address = admin(Ok(())).await;
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let text = timeout(WHOLE * 2, get(address, "/healthz")).await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    }
}
