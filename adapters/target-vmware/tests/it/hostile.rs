//! Servers that mean no good.

use crate::exercise::{exercise, way};
use crate::replay::{CALLS, Replay, undisturbed};
use wherry_sdk::ErrorKind;
use wherry_sdk::testing::{Random, damage};

const CASES: u64 = 1200;

#[test]
fn an_undisturbed_server_gets_its_machine() {
    let shipment = way(&Replay::new("", b"")).unwrap();
    // By the keys, whatever the order; and a host that calls itself `*` is the server.
    let urls: Vec<_> =
        shipment.uploads.iter().map(|upload| (upload.name.as_str(), upload.url.as_str())).collect();
    let expected = [
        ("web-a.1-1.vmdk", "https://esx/nfc/52/disk-0.vmdk"),
        ("web-a.1.vmdk", "https://esx/nfc/52/disk-1.vmdk"),
        ("web-a.1-2.vmdk", "https://esx/nfc/52/disk-2.vmdk"),
    ];
    assert_eq!(urls, expected);
    assert_eq!(shipment.uploads[0].headers[0].1, "application/x-vnd.vmware-streamVmdk");
}

/// The answer is XML still, but texts are others, and elements are lost, twice there, or called otherwise.
fn mangled(text: &str, seed: u64) -> String {
    let mut random = Random::new(seed + 1);
    let mut parts: Vec<String> = text.split_inclusive('>').map(str::to_owned).collect();
    let head = parts.iter().position(|part| part.contains("Response")).unwrap() + 1;
    let odd = [
        "",
        "-1",
        "0",
        "18446744073709551616",
        "*",
        "&lt;&amp;",
        "https://*",
        "true",
        "/a/b0:0",
        "ready",
        "error",
    ];
    for _ in 0..=random.below(3) {
        let inner = parts.len() - 3;
        let at = head + random.below((inner - head).max(1) as u64) as usize;
        let Some(end) = parts.get(at).and_then(|part| part.find("</")) else { continue };
        let text = odd[random.below(odd.len() as u64) as usize];
        match random.below(4) {
            0 => parts[at] = format!("{text}{}", &parts[at][end..]),
            1 if at > head => drop((parts.remove(at), parts.remove(at - 1))),
            2 if at > head => {
                let twice = format!("{}{}", parts[at - 1], parts[at]);
                parts.insert(at + 1, twice);
            }
            _ => parts[at] = format!("<val>{text}</val>{}", parts[at]),
        }
    }
    parts.concat()
}

#[test]
fn damaged_answers() {
    let mut well_formed = 0;
    for case in 0..CASES {
        let call = CALLS[(case / 2 % CALLS.len() as u64) as usize];
        let mut bytes = undisturbed(call).into_bytes();
        if case % 2 == 0 {
            // The head is never hit: what is behind it is to be read.
            let (from, to) = (bytes.len().min(200), bytes.len());
            damage(&mut bytes, from, to, case);
        } else {
            bytes = mangled(&undisturbed(call), case).into_bytes();
        }
        well_formed += usize::from(
            std::str::from_utf8(&bytes).is_ok_and(|text| roxmltree::Document::parse(text).is_ok()),
        );
        let replay = Replay::new(call, &bytes);
        if let Err(error) = way(&replay) {
            assert!(error.message.len() < 2000, "{case} {call}: {}", error.message);
        }
        if case % 40 == 0 {
            exercise(&bytes);
        }
    }
    // Most of those that are to be XML are.
    assert!(well_formed as u64 > CASES / 3, "{well_formed}");
}

#[test]
fn truncated_answers() {
    for call in CALLS {
        let whole = undisturbed(call).into_bytes();
        for length in (0..whole.len()).step_by(29) {
            let replay = Replay::new(call, &whole[..length]);
            // A server need not say goodbye, nor remove what it lent.
            let forgiven =
                ["Logout", "DestroyView", "DestroyPropertyFilter", "HttpNfcLeaseAbort"].contains(&call);
            assert!(way(&replay).is_err() || forgiven, "{call} {length}");
        }
    }
}

#[test]
fn answers_that_mean_no_good() {
    let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000));
    let wide = format!("<a>{}</a>", "<b/>".repeat(500_000));
    let inside = |content: &str| {
        undisturbed("FindChild").replace("</FindChildResponse>", &format!("{content}</FindChildResponse>"))
    };
    let bombs = [
        "<!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>".to_owned(),
        deep.clone(),
        inside(&deep),
        inside(&wide),
        "<Envelope/>".into(),
        "<Envelope><Body/></Envelope>".into(),
        "<Envelope><Body><Fault/></Body></Envelope>".into(),
        String::new(),
    ];
    for bomb in &bombs {
        let error = way(&Replay::new("FindChild", bomb.as_bytes())).unwrap_err();
        assert!([ErrorKind::Io, ErrorKind::Failed].contains(&error.kind), "{error:?}");
    }
    exercise(b"\xff\xfe\x00");
}

#[test]
fn waits_and_lists_come_to_an_end() {
    let never = undisturbed("Task").replace("success", "running");
    let error = way(&Replay::new("Task", never.as_bytes())).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Busy, "{error:?}");
    let endless = undisturbed("Datacenter").replace("<returnval>", "<returnval><token>more</token>");
    let replay = Replay::new("Datacenter", endless.as_bytes());
    assert_eq!(way(&replay).unwrap_err().kind, ErrorKind::Limit);
    assert!(replay.requests.get() < 1100, "{}", replay.requests.get());
}

#[test]
fn faults_keep_their_meaning() {
    let fault = |name: &str| {
        format!(
            "<Envelope xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Body><Fault><faultstring>Bad\u{7}</faultstring>\
             <detail><{name}Fault xsi:type=\"vim25:{name}\"/></detail></Fault></Body></Envelope>"
        )
    };
    let cases = [
        ("NoPermission", ErrorKind::Denied),
        ("DuplicateName", ErrorKind::Exists),
        ("ManagedObjectNotFound", ErrorKind::NotFound),
        ("NoDiskSpace", ErrorKind::NoSpace),
        ("NotSupported", ErrorKind::Unsupported),
        ("TaskInProgress", ErrorKind::Busy),
        ("InvalidArgument", ErrorKind::Failed),
    ];
    for (name, kind) in cases {
        // XML has no control characters, so that a server cannot send one.
        let error = way(&Replay::new("ImportVApp", fault(name).replace('\u{7}', "").as_bytes())).unwrap_err();
        assert_eq!(error.kind, kind, "{name}");
        assert!(error.message.contains("Bad") && error.message.contains(name), "{}", error.message);
    }
    // Ends of tasks and leases mean the same.
    let ended = undisturbed("Task").replace(
        "<state>success</state>",
        "<state>error</state><error><fault xsi:type=\"NoPermission\"/><localizedMessage>No.</localizedMessage></error>",
    );
    assert_eq!(way(&Replay::new("Task", ended.as_bytes())).unwrap_err().kind, ErrorKind::Denied);
    let ended = undisturbed("HttpNfcLease").replace(
        "<name>state</name><val>ready",
        "<name>error</name><val><fault xsi:type=\"NoDiskSpace\"/></val></propSet><propSet><name>state</name><val>error",
    );
    assert_eq!(way(&Replay::new("HttpNfcLease", ended.as_bytes())).unwrap_err().kind, ErrorKind::NoSpace);
}

#[test]
fn machines_that_only_look_like_ours_stay() {
    let foreign = undisturbed("VirtualMachine").replace("<value>key</value>", "<value>other</value>");
    let error = way(&Replay::new("VirtualMachine", foreign.as_bytes())).unwrap_err();
    assert!(error.kind == ErrorKind::Exists, "{error:?}");
}
