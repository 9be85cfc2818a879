//! Encrypted doors, with certificates made here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use qdrant_client::qdrant as wire;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio_rustls::rustls::crypto::ring;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use ureq::tls::{ClientCert, PrivateKey, RootCerts};
use vectordb_server::config::{Config, TlsConfig};
use vectordb_server::{Server, start};
use vectordb_service::Access;

/// Who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for this host, and its key.
    pub(crate) fn signed(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("names");
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.issuer).expect("a certificate").pem(), key.serialize_pem())
    }

    /// Writes a certificate and its key, both of them new.
    pub(crate) fn write(&self, directory: &Path) -> TlsConfig {
        let (cert, key) = self.signed();
        let put = |name: &str, pem: &str| {
            let path = directory.join(name);
            std::fs::write(&path, pem).expect("a file");
            Some(path)
        };
        TlsConfig { cert: put("cert.pem", &cert), key: put("key.pem", &key), ca_cert: None, cert_ttl: Some(1) }
    }

    /// Writes the certificate by which others are known.
    pub(crate) fn write_own(&self, directory: &Path) -> PathBuf {
        let path = directory.join("authority.pem");
        std::fs::write(&path, &self.pem).expect("a file");
        path
    }

    /// A client that believes this authority and no other.
    pub(crate) fn agent(&self, own: Option<&(String, String)>) -> ureq::Agent {
        let root = ureq::tls::Certificate::from_pem(self.pem.as_bytes()).expect("a certificate");
        let client = own.map(|(cert, key)| {
            let cert = ureq::tls::Certificate::from_pem(cert.as_bytes()).expect("a certificate");
            ClientCert::new_with_certs(&[cert], PrivateKey::from_pem(key.as_bytes()).expect("a key"))
        });
        let tls = ureq::tls::TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(client);
        ureq::Agent::config_builder().tls_config(tls.build()).http_status_as_error(false).build().into()
    }
}

/// A server with encrypted doors.
pub(crate) struct Encrypted {
    runtime: tokio::runtime::Runtime,
    server: Server,
    directory: tempfile::TempDir,
}

impl Encrypted {
    pub(crate) fn new(authority: &Authority, change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let mut config = Config::default();
        config.service.host = [127, 0, 0, 1].into();
        (config.service.http_port, config.service.grpc_port) = (0, Some(0));
        config.service.enable_tls = true;
        config.storage.storage_path = directory.path().join("storage");
        config.storage.snapshots_path = directory.path().join("snapshots");
        config.tls = Some(authority.write(directory.path()));
        change(&mut config);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let server = runtime.block_on(start(config)).expect("it starts");
        Self { runtime, server, directory }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.http_address().port())
    }

    fn get(&self, agent: &ureq::Agent) -> Result<u16, ureq::Error> {
        let mut answer = agent.get(self.url("/collections")).call()?;
        // Only a connection whose answer was read is used again.
        answer.body_mut().read_to_string()?;
        Ok(answer.status().as_u16())
    }

    /// What gRPC calls itself to a client that believes an authority.
    fn greeting(&self, authority: &Authority) -> Result<String, tonic::transport::Error> {
        let address = format!("https://localhost:{}", self.server.grpc_address().expect("gRPC is on").port());
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&authority.pem)).domain_name("localhost");
        self.runtime.block_on(async {
            let channel = Channel::from_shared(address).expect("an address").tls_config(tls)?.connect().await?;
            let mut client = wire::qdrant_client::QdrantClient::new(channel);
            Ok(client.health_check(wire::HealthCheckRequest {}).await.expect("an answer").into_inner().version)
        })
    }

    pub(crate) fn stop(self) {
        self.runtime.block_on(self.server.stop());
    }
}

/// Makes a collection with a snapshot, and gives the snapshot's path.
pub(crate) fn with_snapshot(server: &Encrypted, authority: &Authority) -> String {
    let agent = authority.agent(None);
    let send = |method: &str, path: &str, body: &serde_json::Value| {
        let request = ureq::http::Request::builder().method(method).uri(server.url(path)).header("content-type", "application/json");
        let mut answer = agent.run(request.body(body.to_string()).expect("a request")).expect("an answer");
        assert_eq!(answer.status(), 200, "{method} {path}");
        serde_json::from_str::<serde_json::Value>(&answer.body_mut().read_to_string().expect("a body")).expect("JSON")
    };
    send("PUT", "/collections/docs", &json!({"vectors": {"size": 2, "distance": "Dot"}}));
    send("PUT", "/collections/docs/points?wait=true", &json!({"points": [{"id": 1, "vector": [1, 2]}]}));
    let made = send("POST", "/collections/docs/snapshots", &json!(null));
    format!("/collections/docs/snapshots/{}", made["result"]["name"].as_str().expect("a name"))
}

#[test]
fn new_certificates_are_shown_while_old_connections_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = Encrypted::new(&old, |_| ());
    let connected = old.agent(None);
    assert_eq!(server.get(&connected).expect("an encrypted answer"), 200);
    assert!(server.get(&new.agent(None)).is_err(), "nobody believes what he does not know");
    assert_eq!(server.greeting(&old).expect("an encrypted connection"), "1.20.0");
    assert!(ureq::get(server.url("/").replace("https", "http")).call().is_err(), "nothing is said in the clear");

    // A key that does not fit, as between the writing of two files, changes nothing.
    std::fs::write(server.directory.path().join("key.pem"), new.signed().1).expect("a file");
    assert_eq!(server.get(&old.agent(None)).expect("what was shown before"), 200);
    new.write(server.directory.path());
    let begun = Instant::now();
    while server.get(&new.agent(None)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the new certificate is not shown");
    }
    assert!(server.get(&old.agent(None)).is_err(), "the old certificate is shown no more");
    assert_eq!(server.get(&connected).expect("the connection from before"), 200);
    assert_eq!(server.greeting(&new).expect("an encrypted connection"), "1.20.0");
    let metrics = server.server.service().metrics_text(false, &Access::Manage).expect("metrics");
    let expiry = metrics.lines().find_map(|line| line.strip_prefix("vectordb_tls_certificate_expiry_seconds "));
    // What rcgen says where nobody else does: the year 4096.
    assert_eq!(expiry, Some("67090118400"), "{metrics}");
    server.stop();
}

#[test]
fn tools_speak_through_encryption() {
    let authority = Authority::new();
    let server = Encrypted::new(&authority, |_| ());
    with_snapshot(&server, &authority);
    let believed = authority.write_own(server.directory.path());
    let (uri, grpc) = (server.url(""), server.server.grpc_address().expect("gRPC is on").port());
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vectordb"));
        command.args(arguments).args(["--uri", &uri, "--collection", "docs"]).output().expect("it runs")
    };
    let bench = ["bench", "--seconds", "1", "--clients", "1", "--ca-cert", believed.to_str().expect("a path")];
    let door = format!("--grpc=https://localhost:{grpc}");
    for arguments in [&bench[..], &[&bench[..], &[&door]].concat()] {
        let done = run(arguments);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    assert!(!run(&bench[..5]).status.success(), "nobody believes what he does not know");
    server.stop();
}

#[test]
fn callers_need_a_certificate_where_that_is_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Encrypted::new(&authority, |config| {
        config.service.verify_https_client_certificate = true;
        let directory = config.storage.storage_path.parent().expect("a directory").to_owned();
        config.tls.as_mut().expect("certificates").ca_cert = Some(authority.write_own(&directory));
    });
    assert_eq!(server.get(&authority.agent(Some(&authority.signed()))).expect("a known caller"), 200);
    assert!(server.get(&authority.agent(None)).is_err());
    assert!(server.get(&authority.agent(Some(&stranger.signed()))).is_err());
    server.stop();
}

#[test]
fn a_server_without_the_certificates_it_needs_does_not_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refused = |tls: Option<TlsConfig>, verify: bool| {
        let mut config = Config::default();
        config.service.enable_tls = true;
        config.service.verify_https_client_certificate = verify;
        config.storage.storage_path = directory.path().join("storage");
        config.tls = tls;
        runtime.block_on(start(config)).expect_err("it does not start").to_string()
    };
    assert_eq!(refused(None, false), "service.enable_tls needs tls.cert and tls.key");
    assert_eq!(refused(Some(TlsConfig::default()), false), "service.enable_tls needs tls.cert and tls.key");
    let good = Authority::new().write(directory.path());
    assert_eq!(refused(Some(good.clone()), true), "service.verify_https_client_certificate needs tls.ca_cert");
    let other = TlsConfig { cert: Some(Authority::new().write_own(directory.path())), ..good.clone() };
    assert!(refused(Some(other), false).contains("authority.pem"), "a key of another certificate");
    assert!(refused(Some(TlsConfig { key: good.cert.clone(), ..good.clone() }), false).contains("cert.pem"));
    assert!(refused(Some(TlsConfig { cert: good.key.clone(), ..good }), false).contains("no certificate"));
    assert!(!directory.path().join("storage").exists(), "nothing was made");
}
