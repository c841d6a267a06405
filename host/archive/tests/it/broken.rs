//! Servers that are none, that are broken, and that misbehave: what is said then, in bounded time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};
use wherry_archive::{ErrorKind, open};

const ORDER: &str = "WHERRY_TEST_BROKEN";
const SCHEME: &str = "WHERRY_TEST_SCHEME";
/// Ends a client that has hung: far beyond what it may take.
const WATCH: Duration = Duration::from_secs(100);
const THREADS: usize = 20;
const SECRET: &str = "topsecret";

/// An answer with a body; the connection is closed behind it.
fn answer(status: &str, body: &str) -> String {
    let date = "last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\netag: \"1\"\r\nconnection: close";
    format!("HTTP/1.1 {status}\r\n{date}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn refusal(status: &str, code: &str) -> String {
    answer(status, &format!("<Error><Code>{code}</Code><Message>in words</Message></Error>"))
}

/// The head of a request, in capitals; the request is read to its end.
fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut part).ok().filter(|count| *count > 0)?;
        request.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&request).to_uppercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split_once("CONTENT-LENGTH:").and_then(|(_, rest)| rest.lines().next());
        let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
        if request.len() >= head.len() + 4 + length {
            return Some(head.to_owned());
        }
    }
}

/// A server that answers the n-th request, with this head; silence for none. Its endpoint.
fn serve(reply: impl Fn(usize, &str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (count, mut silent) = (AtomicUsize::new(0), Vec::new());
        for mut stream in listener.incoming().flatten() {
            let Some(head) = head(&mut stream) else { continue };
            match reply(count.fetch_add(1, Ordering::Relaxed), &head) {
                Some(text) => drop(stream.write_all(text.as_bytes())),
                None => silent.push(stream),
            }
        }
    });
    endpoint
}

/// What the order (a word of `worker`) ends with there.
fn client(endpoint: &str, order: &str) -> String {
    let secret = [("AWS_ACCESS_KEY_ID", "x"), ("AWS_SECRET_ACCESS_KEY", SECRET)];
    let secret = if order == "anonymous" { &[][..] } else { &secret };
    let s3 = [("AWS_ENDPOINT_URL", endpoint), ("AWS_METADATA_ENDPOINT", endpoint), ("AWS_REGION", "x")];
    let http = [("AWS_ALLOW_HTTP", if order == "plain" { "false" } else { "true" })];
    let said = ordered("s3", order, &[&s3[..], &http, secret].concat());
    assert!(!said.contains(SECRET) && !said.contains(endpoint), "{said}");
    said
}

fn ordered(scheme: &str, order: &str, environment: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "broken::worker", "--nocapture"])
        .envs([
            (ORDER, order),
            (SCHEME, scheme),
            ("WHERRY_STORE_PATIENCE", if order == "threads" { "30" } else { "2" }),
        ])
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if started.elapsed() > WATCH {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let said = text.lines().find_map(|line| line.strip_prefix("said: "));
    said.unwrap_or_else(|| panic!("{order}: {:?}: {text}", output.status)).to_owned()
}

/// The child's part; without an order it is a test that does nothing.
#[test]
fn worker() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let store = open(&format!("{}://bucket/prefix", std::env::var(SCHEME).unwrap())).unwrap();
    let said = match order.as_str() {
        "put" => store.put_new("packs/x", b"bytes").map(|made| made.to_string()),
        "large" => store.put_new("packs/x", &vec![1; 2 << 20]).map(|made| made.to_string()),
        "own" => store.put_own("packs/x", b"bytes").map(|made| made.to_string()),
        "open" => store.open("packs/x").map(|reader| reader.length().to_string()),
        "index" => store.open("index/x").map(|reader| reader.length().to_string()),
        "threads" => Ok(std::thread::scope(|scope| {
            let get = || store.get("packs/x").is_ok_and(|bytes| bytes == b"bytes");
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(get)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|got| *got).count().to_string()
        })),
        "list" => store.list("packs/", &mut |_| {}).map(|()| "all".into()),
        "delete" => store.delete("packs/x").map(|()| "gone".into()),
        _ => store.get("packs/x").map(|bytes| bytes.len().to_string()),
    };
    let said = said
        .unwrap_or_else(|e| format!("{}{e}", if e.kind == ErrorKind::Missing { "missing: " } else { "" }));
    println!("\nsaid: {said}");
}

/// Whatever is asked, the error names the object and has these words.
fn refused(endpoint: &str, orders: &[&str], words: &str) {
    for order in orders {
        let said = client(endpoint, order);
        let named = said.contains("s3://bucket/prefix/packs/") || said.contains("s3://bucket/prefix/index/");
        assert!(said.starts_with("cannot ") && named && said.contains(words), "{order}, {words}: {said}");
    }
}

#[test]
fn refusals_are_told() {
    let denied = serve(|_, _| Some(refusal("403 Forbidden", "AccessDenied")));
    refused(
        &denied,
        &["get", "put", "list", "delete", "index"],
        "AccessDenied: in words; the credentials (AWS_ACCESS_KEY_ID",
    );
    // An answer to HEAD has no body.
    refused(
        &serve(|_, _| Some(answer("403 Forbidden", ""))),
        &["open"],
        "the server answered 403 Forbidden; the credentials",
    );
    let bucket = serve(|_, _| Some(refusal("404 Not Found", "NoSuchBucket")));
    refused(&bucket, &["get", "put", "list"], "make the bucket first");
    let missing = serve(|_, _| Some(refusal("404 Not Found", "NoSuchKey")));
    assert!(client(&missing, "get").starts_with("missing: cannot read s3://bucket/prefix/packs/x"));
    assert_eq!(client(&missing, "delete"), "gone");
}

#[test]
fn servers_that_are_none_are_told() {
    refused(&serve(|_, _| Some("nonsense\r\n\r\n".into())), &["get", "put", "large", "list"], "cannot");
    refused(&serve(|_, _| Some(answer("200 OK", "<html>"))), &["list"], "cannot list");
    let nobody = { TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap() };
    refused(
        &format!("http://{nobody}"),
        &["get", "put"],
        "is the server up, and the endpoint (AWS_ENDPOINT_URL) right?",
    );
    refused(&format!("http://{nobody}"), &["plain"], "AWS_ALLOW_HTTP=true");
    refused(&format!("http://{nobody}"), &["anonymous"], "there are no credentials in the environment");
}

#[test]
fn servers_that_fail_or_hang_are_given_up() {
    let failing = serve(|_, _| Some(refusal("500 Internal Server Error", "InternalError")));
    refused(&failing, &["get", "put", "list"], "InternalError: in words; what is complete stays");
    let silent = serve(|_, _| None);
    refused(&silent, &["get", "put", "large", "open", "delete"], "no answer came in time");
    let cut = serve(|_, _| Some(answer("200 OK", "a body of many bytes").replace("many bytes", "")));
    refused(&cut, &["get", "index"], "cannot read");
}

#[test]
fn answers_that_are_lost_are_asked_for_again() {
    // It is done, and nobody hears of it; the second request finds it there.
    let lost = |n, head: &str| match head.starts_with("PUT ") {
        true if n == 0 => String::new(),
        true => refusal("412 Precondition Failed", "PreconditionFailed"),
        false => answer("200 OK", "bytes"),
    };
    assert_eq!(client(&serve(move |n, head| Some(lost(n, head))), "put"), "false");
    assert_eq!(client(&serve(move |n, head| Some(lost(n, head))), "own"), "true");
    // Half of a body came; the rest is asked for, as a range.
    let rest = answer("206 Partial Content", "tes").replace("etag", "content-range: bytes 2-4/5\r\netag");
    let half = answer("200 OK", "bytes").replace("bytes", "by");
    let half = serve(move |n, _| Some(if n == 0 { half.clone() } else { rest.clone() }));
    assert_eq!(client(&half, "get"), "5");
}

/// "409 Conflict": two requests met and none was done; it is no sign that there is an object.
#[test]
fn a_conflict_is_not_an_object() {
    let conflict = serve(|n, head| {
        Some(match (n, head.starts_with("PUT ")) {
            (0, true) => refusal("409 Conflict", "ConditionalRequestConflict"),
            (3.., true) => refusal("412 Precondition Failed", "PreconditionFailed"),
            (_, true) => answer("200 OK", ""),
            _ => answer("404 Not Found", ""),
        })
    });
    assert_eq!(client(&conflict, "put"), "true");
}

#[test]
fn a_server_that_overwrites_is_not_used() {
    let said = client(&serve(|_, _| Some(answer("200 OK", ""))), "put");
    assert!(said.contains("needs a server that knows conditional writes"), "{said}");
}

/// As many requests are under way as there are threads: the server answers none before all are there.
#[test]
fn requests_do_not_wait_for_each_other() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let all = Arc::new(Barrier::new(THREADS));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let all = all.clone();
            std::thread::spawn(move || {
                head(&mut stream).unwrap();
                all.wait();
                stream.write_all(answer("200 OK", "bytes").as_bytes()).unwrap();
            });
        }
    });
    assert_eq!(client(&endpoint, "threads"), THREADS.to_string());
}

/// Every provider is told to write only what is not there, in its own words.
#[test]
fn every_write_is_conditional() {
    let provider = |condition: &'static str| {
        serve(move |_, head| {
            let told = !head.starts_with("PUT ") || head.contains(condition);
            Some(if told { answer("412 Precondition Failed", "") } else { answer("501 Not Implemented", "") })
        })
    };
    let exists = provider("IF-NONE-MATCH: *");
    // Whoever says that it is there must also have it.
    assert!(client(&exists, "put").starts_with("cannot look for s3://bucket/prefix/packs/x"));
    let azure = [
        ("AZURE_STORAGE_ENDPOINT", exists.as_str()),
        ("AZURE_STORAGE_ACCOUNT_NAME", "someone"),
        ("AZURE_STORAGE_ACCOUNT_KEY", "c2VjcmV0"),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    assert!(ordered("az", "put", &azure).starts_with("cannot look for az://bucket/prefix/packs/x"));
    let endpoint = provider("X-GOOG-IF-GENERATION-MATCH: 0");
    let account = format!(
        r#"{{"gcs_base_url":"{endpoint}","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}}"#
    );
    let google = [("GOOGLE_SERVICE_ACCOUNT_KEY", account.as_str()), ("GOOGLE_ALLOW_HTTP", "true")];
    assert!(ordered("gs", "put", &google).starts_with("cannot look for gs://bucket/prefix/packs/x"));
}
