//! The client against a server in Python: rights, certificates, limits, secrets, and answers that make no sense.

use crate::web::Web;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use wherry_channels::{Answer, Call, Client, Failure, Kind, Peer, Secret, Trouble};

const TIME: Duration = Duration::from_secs(20);

/// The one that the server knows.
fn secret(kind: Kind) -> Secret {
    let user = if kind == Kind::Ntlm { "DOMAIN\\Us\u{e9}r" } else { "Us\u{e9}r" };
    Secret { kind, user: user.into(), password: "Passw\u{f6}rd".into(), plain: false }
}

impl Web {
    /// A client that trusts this server, and has a secret `s`.
    fn client(&self, secret: Option<Secret>) -> Client {
        let authority = self.certificate().exists().then(|| self.certificate());
        let peers = vec![Peer::parse(&self.origin(), authority.as_ref()).unwrap()];
        let secrets = secret.map(|secret| ("s".to_owned(), secret)).into_iter().collect();
        Client::new(peers, secrets, Arc::new(AtomicBool::new(false)))
    }
}

fn ask(
    client: &Client,
    method: &str,
    url: &str,
    secret: Option<&str>,
    body: &[u8],
) -> Result<Answer, Failure> {
    let headers = [("content-type".to_owned(), "text/xml".to_owned())];
    client.send(&Call { method, url, headers: &headers, secret }, body, TIME)
}

fn trouble(client: &Client, url: &str) -> Failure {
    ask(client, "GET", url, None, b"").expect_err(url)
}

#[test]
fn requests_arrive_and_answers_come_back() {
    let web = Web::start(true, &[]);
    let (client, url) = (web.client(None), web.origin() + "/echo?a=b%20c");
    for _ in 0..3 {
        let answer = ask(&client, "POST", &url, None, b"hello").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"hello"[..]));
        assert_eq!(answer.header("x-seen"), Some("POST"));
        assert_eq!(answer.all("set-cookie").collect::<Vec<_>>(), ["a=b", "c=d"]);
    }
    assert_eq!(ask(&client, "GET", &url, None, b"").unwrap().body, b"");
    let log = web.log();
    assert!(
        log.contains("\"path\": \"/echo?a=b%20c\"") && log.contains("\"content-type\": \"text/xml\""),
        "{log}"
    );
    for (path, body) in [("/chunked", "abcde"), ("/interim", "ok")] {
        assert_eq!(ask(&client, "GET", &(web.origin() + path), None, b"").unwrap().body, body.as_bytes());
    }
    // Redirects are not followed.
    let answer = ask(&client, "GET", &(web.origin() + "/redirect"), None, b"").unwrap();
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://other.example/")));
    // A connection that ended in between is none of the caller's business.
    for _ in 0..2 {
        assert_eq!(ask(&client, "POST", &(web.origin() + "/once"), None, b"").unwrap().body, b"once");
    }
    let plain = Web::start(false, &[]);
    let answer = ask(&plain.client(None), "GET", &(plain.origin() + "/close"), None, b"").unwrap();
    assert_eq!(answer.body, b"to the end");
}

#[test]
fn only_named_servers_are_asked_and_only_in_an_orderly_way() {
    let web = Web::start(false, &[]);
    let client = web.client(None);
    for url in ["http://127.0.0.1:80/", "https://localhost/", "http://localhost:1/", "http://other.example/"]
    {
        assert_eq!(trouble(&client, url).trouble, Trouble::Denied, "{url}");
    }
    let url = web.origin() + "/";
    for method in ["get", "GET /x", "CONNECT", "TRACE", "", "GET\r\n"] {
        assert_eq!(
            ask(&client, method, &url, None, b"").unwrap_err().trouble,
            Trouble::Invalid,
            "{method:?}"
        );
    }
    for (name, value) in [
        ("host", "other.example"),
        ("Content-Length", "3"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("a b", "c"),
        ("", "c"),
        ("a", "b\r\nc: d"),
        ("a", "b\0"),
    ] {
        let headers = [(name.to_owned(), value.to_owned())];
        let call = Call { method: "GET", url: &url, headers: &headers, secret: None };
        assert_eq!(client.send(&call, b"", TIME).unwrap_err().trouble, Trouble::Invalid, "{name}: {value:?}");
    }
    assert_eq!(web.log(), "");
}

#[test]
fn a_server_is_believed_by_its_certificate_alone() {
    let web = Web::start(true, &[]);
    let url = web.origin() + "/echo";
    let try_with = |words: &str| {
        let peer = Peer::parse(&(web.origin() + words), None).unwrap();
        let client = Client::new(vec![peer], Default::default(), Arc::new(AtomicBool::new(false)));
        ask(&client, "GET", &url, None, b"")
    };
    let shown = std::process::Command::new("/usr/bin/openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(web.certificate())
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let print = shown.trim().rsplit('=').next().unwrap();
    for words in
        [format!(",ca={}", web.certificate().display()), format!(",fingerprint={print}"), ",verify=no".into()]
    {
        assert_eq!(try_with(&words).unwrap().status, 200, "{words}");
    }
    let other = Web::start(true, &[]);
    for words in [
        String::new(),
        format!(",ca={}", other.certificate().display()),
        format!(",fingerprint={}", "00".repeat(32)),
    ] {
        let error = try_with(&words).unwrap_err();
        assert_eq!(error.trouble, Trouble::Io, "{words}");
        assert!(error.message.contains("certificate") && error.message.contains("--ca FILE"), "{error}");
    }
    // The right certificate with another name on it.
    let peer = Peer::parse(&format!("https://127.0.0.1:{}", web.port), Some(&web.certificate())).unwrap();
    let client = Client::new(vec![peer], Default::default(), Arc::new(AtomicBool::new(false)));
    assert!(trouble(&client, &format!("https://127.0.0.1:{}/", web.port)).message.contains("certificate"));
    assert!(!web.log().contains("127.0.0.1"));
}

#[test]
fn nonsense_is_an_error_and_nothing_is_endless() {
    let web = Web::start(false, &[]);
    let client = web.client(None);
    for path in
        ["cut", "both", "two", "minus", "switch", "interims", "nonsense", "head", "heads", "chunk", "longer"]
    {
        let error = trouble(&client, &format!("{}/{path}", web.origin()));
        let expected = if path == "chunk" { Trouble::TooLong } else { Trouble::Io };
        assert_eq!(error.trouble, expected, "{path}: {error}");
    }
    for path in ["huge", "endless"] {
        assert_eq!(trouble(&client, &format!("{}/{path}", web.origin())).trouble, Trouble::TooLong, "{path}");
    }
    for path in ["slow", "drip"] {
        let url = format!("{}/{path}", web.origin());
        let call = Call { method: "GET", url: &url, headers: &[], secret: None };
        let error = client.send(&call, b"", Duration::from_millis(600)).unwrap_err();
        assert_eq!(error.trouble, Trouble::Slow, "{path}: {error}");
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peer = Peer::parse(&format!("http://{nobody}"), None).unwrap();
    let lonely = Client::new(vec![peer], Default::default(), Arc::new(AtomicBool::new(false)));
    assert_eq!(trouble(&lonely, &format!("http://{nobody}/")).trouble, Trouble::Io);
}

#[test]
fn a_wish_to_stop_ends_a_wait() {
    let web = Web::start(false, &[]);
    let stop = Arc::new(AtomicBool::new(false));
    let peers = vec![Peer::parse(&web.origin(), None).unwrap()];
    let client = Client::new(peers, Default::default(), stop.clone());
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        stop.store(true, Relaxed);
    });
    assert_eq!(trouble(&client, &(web.origin() + "/slow")).trouble, Trouble::Stopped);
    later.join().unwrap();
}

#[test]
fn secrets_go_to_the_first_server_encrypted_and_nowhere_else() {
    let web = Web::start(true, &["--auth", "basic"]);
    let (client, url) = (web.client(Some(secret(Kind::Basic))), web.origin() + "/echo");
    assert_eq!(ask(&client, "POST", &url, Some("s"), b"x").unwrap().status, 200);
    assert_eq!(ask(&client, "POST", &url, None, b"x").unwrap().status, 401);
    assert_eq!(ask(&client, "POST", &url, Some("t"), b"x").unwrap_err().trouble, Trouble::Denied);
    let mut wrong = secret(Kind::Basic);
    wrong.password = "hunter2".into();
    let error = ask(&web.client(Some(wrong)), "POST", &url, Some("s"), b"x").unwrap_err();
    assert_eq!(error.trouble, Trouble::Denied);
    assert!(!error.message.contains("hunter2") && error.message.contains("secret `s`"), "{error}");
    let call = Call {
        method: "GET",
        url: &url,
        headers: &[("Authorization".into(), "x".into())],
        secret: Some("s"),
    };
    assert_eq!(client.send(&call, b"", TIME).unwrap_err().trouble, Trouble::Invalid);

    // Without encryption only where the operator says so.
    let plain = Web::start(false, &["--auth", "basic"]);
    let url = plain.origin() + "/echo";
    for kind in [Kind::Basic, Kind::Bearer, Kind::Template] {
        let error = ask(&plain.client(Some(secret(kind))), "POST", &url, Some("s"), b"x").unwrap_err();
        assert!(error.trouble == Trouble::Denied && error.message.contains("plain = true"), "{error}");
    }
    assert_eq!(plain.log(), "");
    let mut open = secret(Kind::Basic);
    open.plain = true;
    let client = plain.client(Some(open.clone()));
    assert_eq!(ask(&client, "POST", &url, Some("s"), b"x").unwrap().status, 200);
    // A second server gets none.
    let other = Web::start(false, &[]);
    let peers = [&plain, &other].map(|one| Peer::parse(&one.origin(), None).unwrap()).to_vec();
    let client = Client::new(peers, [("s".into(), open)].into(), Arc::new(AtomicBool::new(false)));
    let error = ask(&client, "POST", &(other.origin() + "/echo"), Some("s"), b"x").unwrap_err();
    assert!(error.trouble == Trouble::Denied && error.message.contains("first server alone"), "{error}");
    assert_eq!(other.log(), "");
}

#[test]
fn a_place_in_a_body_is_filled_outside_the_sandbox() {
    let web = Web::start(true, &[]);
    let mut hard = secret(Kind::Template);
    hard.password = "<&\"{{secret:s:user}}".into();
    let client = web.client(Some(hard));
    let body = b"<u>{{secret:s:user}}</u><p>{{secret:s:password}}</p>";
    let answer = ask(&client, "POST", &(web.origin() + "/echo"), Some("s"), body).unwrap();
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(text, "<u>Us\u{e9}r</u><p>&lt;&amp;&quot;{{secret:s:user}}</p>");
    let answer = ask(&client, "POST", &(web.origin() + "/echo"), None, body).unwrap();
    assert_eq!(answer.body, body);
    let log = ask(&client, "POST", &(web.origin() + "/echo"), Some("s"), b"<p/>").unwrap_err();
    assert!(log.trouble == Trouble::Invalid && !log.message.contains('<'), "{log}");
}

fn upload(client: &Client, url: &str, length: u64, done: &AtomicU64) -> Result<Answer, Failure> {
    let mut file = std::io::Read::take(std::io::repeat(7), length);
    let call = Call { method: "PUT", url, headers: &[("overwrite".into(), "t".into())], secret: None };
    client.upload(&call, (&mut file, length), done)
}

#[test]
fn files_are_sent_with_their_length() {
    let web = Web::start(true, &[]);
    let (client, done) = (web.client(None), AtomicU64::new(0));
    let length = (5 << 20) + 3;
    assert_eq!(upload(&client, &(web.origin() + "/put"), length, &done).unwrap().status, 201);
    assert_eq!(done.load(Relaxed), length);
    let log = web.log();
    assert!(log.contains(&format!("\"put\": {length}")) && log.contains("\"overwrite\": \"t\""), "{log}");
    // A refusal is heard although the file is still on its way.
    let plain = Web::start(false, &[]);
    let answer = upload(&plain.client(None), &(plain.origin() + "/put-refused"), 64 << 20, &done);
    match answer {
        Ok(answer) => assert_eq!(answer.status, 507),
        Err(e) => assert_eq!(e.trouble, Trouble::Io, "{e}"),
    }
    // A file that ends too soon is not passed off as a whole one.
    let call = Call { method: "PUT", url: &(web.origin() + "/put"), headers: &[], secret: None };
    let error = web.client(None).upload(&call, (&mut &b"short"[..], 100), &done).unwrap_err();
    assert!(error.message.contains("became shorter"), "{error}");
    assert!(!web.log().contains("\"put\": 100"));
}

#[test]
fn ntlm_is_proven_to_another_implementation_and_bound_to_the_channel() {
    let web = Web::start(true, &["--auth", "ntlm", "--proof"]);
    let (client, url) = (web.client(Some(secret(Kind::Ntlm))), web.origin() + "/echo");
    for _ in 0..3 {
        assert_eq!(ask(&client, "POST", &url, Some("s"), b"hello").unwrap().body, b"hello");
    }
    let log = web.log();
    assert_eq!(
        log.matches("\"let_in\": \"DOMAIN\\\\Us\\u00e9r\"").count(),
        1,
        "one login a connection: {log}"
    );
    let mut wrong = secret(Kind::Ntlm);
    wrong.password = "hunter2".into();
    let error = ask(&web.client(Some(wrong)), "POST", &url, Some("s"), b"hello").unwrap_err();
    assert_eq!(error.trouble, Trouble::Denied);
    assert!(error.message.contains("refuses secret `s`") && !error.message.contains("hunter2"), "{error}");
    assert!(web.log().contains("refused"));
    // Whoever names no secret is nobody, although a connection is open on which one was let in.
    assert_eq!(ask(&client, "POST", &url, None, b"hello").unwrap().status, 401);
    let basic = Web::start(true, &["--auth", "basic"]);
    let error = ask(&basic.client(Some(secret(Kind::Ntlm))), "POST", &(basic.origin() + "/"), Some("s"), b"")
        .unwrap_err();
    assert!(error.message.contains("does not know NTLM; it offers Basic"), "{error}");
    let open = Web::start(true, &[]);
    let error = ask(&open.client(Some(secret(Kind::Ntlm))), "POST", &(open.origin() + "/"), Some("s"), b"")
        .unwrap_err();
    assert!(error.message.contains("does not ask who"), "{error}");
}

#[test]
fn without_encryption_messages_are_sealed() {
    let web = Web::start(false, &["--auth", "ntlm"]);
    let client = web.client(Some(secret(Kind::Ntlm)));
    // The server's WS-Management opens what is sealed and seals what it says; a shell is made, and another.
    let envelope = |number| {
        format!(
            "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\" \
             xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\" \
             xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"><s:Header><a:To>x</a:To>\
             <w:ResourceURI>http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd</w:ResourceURI>\
             <a:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Create</a:Action>\
             <a:MessageID>uuid:{number}</a:MessageID></s:Header><s:Body/></s:Envelope>"
        )
    };
    for number in 0..3 {
        let body = envelope(number);
        let answer = ask(&client, "POST", &(web.origin() + "/wsman"), Some("s"), body.as_bytes()).unwrap();
        let text = String::from_utf8(answer.body).unwrap();
        assert!(answer.status == 200 && text.contains("ShellId"), "{text}");
    }
    assert_eq!(web.log().matches("\"let_in\"").count(), 1, "{}", web.log());
    // What was not sealed is not believed.
    let error = ask(&client, "POST", &(web.origin() + "/echo"), Some("s"), b"hello");
    assert!(error.is_err(), "{error:?}");
}
