//! Who may ask: the address that a request names, the page that it comes from, the token that it shows.
//!
//! A page in a browser can make requests to this machine. It cannot hide its origin, nor choose the host that it names, nor
//! read the token; so each of the three is looked at.

use super::problem::Problem;
use crate::app::App;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Asked by who looks after the service, without a token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];

/// Came over a Unix socket, which no page in a browser can reach.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverUnixSocket;

pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn check(app: &App, request: &Request) -> Result<(), Problem> {
    let headers = request.headers();
    let local = request.extensions().get::<OverUnixSocket>().is_some();
    let host = host_of(headers, request.uri());
    if !local
        && !host.is_some_and(|host| app.hosts.iter().any(|known| known == name_of(host)) || is_safe(name_of(host)))
    {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "this server does not answer to that name",
            "the request's Host is neither an address nor localhost nor a name that the server was given",
            "use the address that the server has printed, or start it with --allow-host NAME",
        ));
    }
    check_origin(app, headers, host)?;
    if OPEN.contains(&request.uri().path()) {
        return Ok(());
    }
    if !is_authorized(app, headers) {
        return Err(Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "the request was not let in",
            if headers.contains_key(header::AUTHORIZATION) { "its token is another one" } else { "it shows no token" },
            "send the header authorization: Bearer TOKEN; the server prints the token when it starts",
        ));
    }
    if !*app.ready.borrow() {
        return Err(starting());
    }
    let path = request.uri().path();
    // What helps running code to its end goes on; questions do, too.
    let ends = path.ends_with("/input") || path.ends_with("/interrupt");
    if app.is_draining() && matches!(*request.method(), Method::POST | Method::PUT) && !ends {
        return Err(draining());
    }
    Ok(())
}

/// The server takes nothing yet.
pub(crate) fn starting() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "starting",
        "the server is not ready yet",
        "it takes over sessions that another one had",
        "ask again in a moment",
    )
    .retryable()
}

/// The server takes on nothing new.
pub(crate) fn draining() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "draining",
        "nothing new is taken on",
        "the server is about to stop",
        "ask again when it is back, or another one",
    )
    .retryable()
}

fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok());
    // Two of them, or one that differs from the address, are a trick.
    if named.next().is_some() || uri.authority().is_some_and(|authority| Some(authority.as_str()) != host) {
        return None;
    }
    host
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// A name whose owner cannot make it mean this machine: no address can be, and `localhost` always does.
fn is_safe(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok() || name.parse::<Ipv6Addr>().is_ok()
}

fn check_origin(app: &App, headers: &HeaderMap, host: Option<&str>) -> Result<(), Problem> {
    for origin in headers.get_all(header::ORIGIN) {
        let own = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        let is_own = own.is_some() && own == host;
        if !is_own && !app.origins.iter().any(|known| known.as_bytes() == origin.as_bytes()) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "forbidden_origin",
                "the request was not let in",
                "it comes from a page of another origin",
                "start the server with --allow-origin ORIGIN, if that page is to use it",
            ));
        }
    }
    Ok(())
}

fn is_authorized(app: &App, headers: &HeaderMap) -> bool {
    if let Some(shown) = headers.get(header::AUTHORIZATION) {
        let shown = shown.as_bytes();
        return shown.len() > 7 && shown[..7].eq_ignore_ascii_case(b"bearer ") && app.token.is(shown[7..].trim_ascii());
    }
    // A page cannot set headers on a WebSocket, but it can name protocols.
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut protocols = protocols.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    protocols.any(|one| one.trim().strip_prefix("bearer.").is_some_and(|shown| app.token.is(shown.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_ports() {
        for (host, name) in [("localhost:80", "localhost"), ("127.0.0.1", "127.0.0.1"), ("[::1]:8787", "::1"), ("", "")]
        {
            assert_eq!(name_of(host), name);
        }
        assert!(is_safe("::1") && is_safe("10.0.0.7") && is_safe("LOCALHOST"));
        assert!(!is_safe("") && !is_safe("evil.example") && !is_safe("localhost.evil.example") && !is_safe("1.2.3"));
    }
}
