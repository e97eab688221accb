//! Who may ask.

use crate::support::{Service, read};
use reqwest::Method;

#[tokio::test]
async fn without_the_token_only_health_is_told() {
    let service = Service::start().await;
    for path in ["/healthz", "/readyz"] {
        read(service.bare(Method::GET, path)).await.expect(200);
    }
    for path in ["/v1/sessions", "/openapi.json", "/nothing", "/v1/sessions/a/channel"] {
        let answer = read(service.bare(Method::GET, path)).await;
        answer.problem(401, "unauthorized");
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let token = service.token.clone();
    let (shorter, longer, long) = (&token[1..], format!("{token}x"), "x".repeat(5000));
    for wrong in ["", "x", shorter, longer.as_str(), long.as_str()] {
        read(service.bare(Method::GET, "/v1/sessions").bearer_auth(wrong)).await.problem(401, "unauthorized");
    }
    for header in [format!("Basic {token}"), token.clone(), "Bearer".to_owned()] {
        let request = service.bare(Method::GET, "/v1/sessions").header("authorization", header);
        read(request).await.problem(401, "unauthorized");
    }
    // The scheme's name is written in any case.
    let request = service.bare(Method::GET, "/v1/sessions").header("authorization", format!("bearer {token}"));
    read(request).await.expect(200);
    service.stop().await;
}

#[tokio::test]
async fn pages_of_strangers_and_other_names_are_refused() {
    let service = Service::start_with(|config| {
        config.hosts = vec!["python.example".into()];
        config.origins = vec!["https://app.example".into()];
    })
    .await;
    let own = service.url.clone();
    let get = |name: &'static str, value: String| service.request(Method::GET, "/v1/sessions").header(name, value);
    for host in ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example"] {
        read(get("host", host.into())).await.problem(421, "misdirected");
        // Nor is health told to them.
        read(service.bare(Method::GET, "/healthz").header("host", host)).await.problem(421, "misdirected");
    }
    for host in ["localhost", "localhost:1", "127.0.0.1:99", "[::1]:8787", "python.example"] {
        read(get("host", host.into())).await.expect(200);
    }
    for origin in ["http://evil.example", "null", "https://app.example.evil", "http://127.0.0.1:1"] {
        read(get("origin", origin.into())).await.problem(403, "forbidden_origin");
    }
    for origin in [own, "https://app.example".into()] {
        read(get("origin", origin)).await.expect(200);
    }
    service.stop().await;
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = pyrepl3_server::Config::new(folder.path(), pyrepl3_engine::SearchPath::from_env());
    config.listen = Some(([0, 0, 0, 0], 0).into());
    let failure = pyrepl3_server::Server::start(config.clone()).await.unwrap_err();
    assert!(failure.how.contains("--insecure-public"), "{failure}");
    config.insecure_public = true;
    pyrepl3_server::Server::start(config).await.expect("it listens");
}

#[tokio::test]
async fn a_unix_socket_serves_its_owner() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let socket = path.clone();
    let service = Service::start_in(folder, |config| {
        config.listen = None;
        config.unix = Some(socket);
    })
    .await;
    assert_eq!(service.url, format!("unix:{}", path.display()));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let ask = async |head: String| {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    // Whatever host a client makes up: no page in a browser gets here.
    let request = |token: &str| {
        format!(
            "GET /v1/sessions HTTP/1.1\r\nhost: any.thing\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\r\n"
        )
    };
    let answer = ask(request(&service.token)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(r#""sessions":[]"#), "{answer}");
    let answer = ask(request("wrong")).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    // A second server does not take it away.
    let folder = tempfile::tempdir().unwrap();
    let mut config = pyrepl3_server::Config::new(folder.path(), pyrepl3_engine::SearchPath::from_env());
    (config.listen, config.unix) = (None, Some(path.clone()));
    assert!(pyrepl3_server::Server::start(config).await.is_err());
    service.stop().await;
    assert!(!path.exists());
}
