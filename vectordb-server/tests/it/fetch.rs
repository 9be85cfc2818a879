//! Snapshots of other servers, by URL: of those that are allowed, and of no others.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use vectordb_server::config::{Config, TlsConfig};

use crate::door::{Running, dump, fill};
use crate::tls::{Authority, Encrypted, with_snapshot};

/// Answers every request by leading on to another place; gives its own.
fn leading_to(location: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let head = BufReader::new(stream.try_clone().expect("the same stream")).lines();
            head.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let answer = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            // Who does not wait for the answer misses nothing.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://{address}/away")
}

fn allowing(hosts: &'static [&'static str]) -> impl FnOnce(&mut Config) {
    move |config| config.storage.snapshots_config.recovery_allowed_hosts = hosts.iter().map(|&host| host.to_owned()).collect()
}

fn recover(server: &Running, location: &str) -> (u16, String) {
    let (status, answer) = server.call("PUT", "/collections/copy/snapshots/recover?wait=true", &json!({"location": location}));
    (status, answer["status"]["error"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn only_hosts_of_the_list_are_called() {
    let here = tempfile::tempdir().expect("a directory");
    let one = Running::new(here.path(), |_| ());
    fill(&one, "documents", 50);
    let made = one.ok("POST", "/collections/documents/snapshots", &Value::Null);
    let url = format!("{}/collections/documents/snapshots/{}", one.url, made["name"].as_str().expect("a name"));
    let by_name = url.replace("127.0.0.1", "localhost");
    let asked = |change: &dyn Fn(&mut Config), location: &str| {
        let there = tempfile::tempdir().expect("a directory");
        let other = Running::new(there.path(), |config| change(config));
        let answer = recover(&other, location);
        if answer.0 == 200 {
            assert_eq!(dump(&other, "copy"), dump(&one, "documents"));
        }
        assert_eq!(std::fs::read_dir(there.path().join("storage/scratch")).map_or(0, Iterator::count), 0, "nothing stays behind");
        other.stop();
        answer
    };
    let list = |hosts: &'static [&'static str]| move |config: &mut Config| allowing(hosts)(config);
    let (status, text) = asked(&|_| (), &url);
    assert_eq!(status, 403, "{text}");
    assert!(text.contains("127.0.0.1") && text.contains("recovery_allowed_hosts"), "{text}");
    assert_eq!(asked(&list(&["127.0.0.1"]), &url).0, 200);
    assert_eq!(asked(&list(&["127.0.0.1"]), &by_name).0, 403, "another name");
    assert_eq!(asked(&list(&["localhost"]), &by_name).0, 200);
    // Any host is any that everybody reaches.
    let (status, text) = asked(&list(&["*"]), &url);
    assert_eq!((status, text.contains("no public address")), (403, true), "{text}");

    // A redirect leads where the list does.
    assert_eq!(asked(&list(&["127.0.0.1"]), &leading_to(url.clone())).0, 200);
    assert_eq!(asked(&list(&["127.0.0.1"]), &leading_to(by_name)).0, 403);
    assert_eq!(asked(&list(&["127.0.0.1"]), &leading_to("file:///etc/passwd".to_owned())).0, 400);
    let around = leading_to("/away".to_owned());
    let (status, text) = asked(&list(&["127.0.0.1"]), &around);
    assert_eq!((status, text.contains("without end")), (400, true), "{text}");

    let size = made["size"].as_u64().expect("a size");
    let limited = |limit: u64| {
        move |config: &mut Config| {
            allowing(&["127.0.0.1"])(config);
            config.storage.snapshots_config.recovery_max_bytes = Some(limit);
        }
    };
    assert_eq!(asked(&limited(size), &url).0, 200);
    let (status, text) = asked(&limited(size - 1), &url);
    assert_eq!((status, text.contains("larger than allowed")), (400, true), "{text}");
    one.stop();
}

#[test]
fn encrypted_snapshots_are_fetched_from_whom_the_authority_knows() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let one = Encrypted::new(&authority, |_| ());
    let url = one.url(&with_snapshot(&one, &authority));
    for (believed, status) in [(&authority, 200), (&stranger, 400)] {
        let there = tempfile::tempdir().expect("a directory");
        let ca_cert = believed.write_own(there.path());
        let other = Running::new(there.path(), |config| {
            allowing(&["localhost"])(config);
            config.tls = Some(TlsConfig { ca_cert: Some(ca_cert), ..TlsConfig::default() });
        });
        let answer = recover(&other, &url);
        assert_eq!(answer.0, status, "{}", answer.1);
        other.stop();
    }
    one.stop();
}
