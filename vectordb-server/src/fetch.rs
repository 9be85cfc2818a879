//! Getting snapshots from other servers.
//!
//! Who can make this server call others can make it call what only it reaches. So it calls hosts that it was told of, and no
//! others: not by a redirect, and not by a name that leads to another address on the second look, because there is one look.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::Uri;
use ureq::http::uri::Authority;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use vectordb_service::{Fault, Fetch, ServiceError};

use crate::config::Config;
use crate::tls;
use crate::trace::{Context, TRACEPARENT};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a server may think before it answers.
const ANSWER: Duration = Duration::from_secs(60);
/// How long all of it may take.
const WHOLE: Duration = Duration::from_secs(6 * 3600);
/// Most places that one leads on to another.
const MOST_REDIRECTS: usize = 5;
/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// Gets from hosts that are allowed.
pub(crate) fn fetch(config: &Config) -> Fetch {
    let fetcher = Fetcher {
        allowed: config.storage.snapshots_config.recovery_allowed_hosts.clone(),
        own_port: config.service.http_port,
        most_bytes: config.storage.snapshots_config.recovery_max_bytes.unwrap_or(u64::MAX),
        authority: config.tls.as_ref().and_then(|tls| tls.ca_cert.clone()),
    };
    Fetch::new(move |url, api_key, target| fetcher.get(url, api_key, target))
}

/// What may be fetched.
#[derive(Debug)]
struct Fetcher {
    allowed: Vec<String>,
    own_port: u16,
    most_bytes: u64,
    /// Who signs certificates beside those that the system knows.
    authority: Option<PathBuf>,
}

/// How a host came to be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowed {
    /// By name: wherever it is.
    Named,
    /// As any host: where everybody can reach it.
    Public,
}

impl Fetcher {
    /// Gets what lies at a URL into a new file.
    fn get(&self, url: &str, api_key: Option<&str>, target: &Path) -> Result<(), ServiceError> {
        let first: Uri = url.parse().map_err(|error| unreachable(url, &error))?;
        let mut uri = first.clone();
        for _ in 0..=MOST_REDIRECTS {
            let allowed = self.allowed(&uri)?;
            // A key is for the host that it was given for.
            let api_key = api_key.filter(|_| uri.authority() == first.authority());
            let response = self.call(&uri, allowed, api_key)?;
            match response.status().as_u16() {
                200 => return self.store(&uri, response, target),
                301 | 302 | 303 | 307 | 308 => uri = led_to(&uri, &response)?,
                status => return Err(unreachable(&uri, &format!("the answer is {status}"))),
            }
        }
        Err(unreachable(url, &"one place leads to another without end"))
    }

    /// How the host of a URL is allowed.
    ///
    /// # Errors
    /// [`Fault::Forbidden`].
    fn allowed(&self, uri: &Uri) -> Result<Allowed, ServiceError> {
        let authority = uri.authority().ok_or_else(|| unreachable(uri, &"there is no host in it"))?;
        let (host, port) = (authority.host().to_lowercase(), port_of(uri));
        let own = matches!(host.as_str(), "localhost" | "127.0.0.1" | "[::1]") && port == self.own_port;
        if own || self.allowed.iter().any(|entry| names(&entry.to_lowercase(), &host, port)) {
            return Ok(Allowed::Named);
        }
        if self.allowed.iter().any(|entry| entry == "*") {
            return Ok(Allowed::Public);
        }
        let message =
            format!("Snapshot recovery from `{host}` is not allowed: storage.snapshots_config.recovery_allowed_hosts lists what is");
        Err(ServiceError::new(Fault::Forbidden, message))
    }

    fn call(&self, uri: &Uri, allowed: Allowed, api_key: Option<&str>) -> Result<ureq::http::Response<ureq::Body>, ServiceError> {
        let mut config = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_global(Some(WHOLE))
            .max_redirects(0)
            .http_status_as_error(false)
            // A proxy would look names up by itself.
            .proxy(None);
        if uri.scheme_str() == Some("https") {
            let roots = tls::roots(self.authority.as_deref()).map_err(|error| ServiceError::internal(error.to_string()))?;
            let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(tls::provider());
            config = config.tls_config(tls.root_certs(roots).build());
        }
        let agent =
            ureq::Agent::with_parts(config.build(), DefaultConnector::default(), Guard { allowed, inner: DefaultResolver::default() });
        let mut request = agent.get(uri.clone());
        if let Some(key) = api_key {
            request = request.header("api-key", key);
        }
        if let Some(context) = Context::current() {
            request = request.header(TRACEPARENT, context.traceparent());
        }
        request.call().map_err(|error| match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                ServiceError::new(Fault::Forbidden, error.to_string())
            }
            error => unreachable(uri, &error),
        })
    }

    /// Writes an answer into a new file.
    fn store(&self, uri: &Uri, response: ureq::http::Response<ureq::Body>, target: &Path) -> Result<(), ServiceError> {
        let most = self.most_bytes;
        let large = || ServiceError::request(format!("{uri} is larger than allowed (limit: {most} bytes)"));
        let disk = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ServiceError::new(Fault::OutOfSpace, error.to_string()),
            _ => ServiceError::internal(error.to_string()),
        };
        let length = response.body().content_length();
        if length.is_some_and(|length| length > most) {
            return Err(large());
        }
        let mut file = std::fs::File::create_new(target).map_err(disk)?;
        let mut body = response.into_body().into_reader();
        let mut chunk = vec![0; CHUNK];
        let mut stored = 0;
        loop {
            let read = body.read(&mut chunk).map_err(|error| unreachable(uri, &error))?;
            stored += read as u64;
            if stored > most {
                return Err(large());
            }
            if read == 0 {
                break;
            }
            file.write_all(&chunk[..read]).map_err(disk)?;
        }
        match length.filter(|&length| length != stored) {
            Some(_) => Err(unreachable(uri, &format!("the answer ends after {stored} bytes"))),
            None => Ok(()),
        }
    }
}

fn unreachable(url: impl std::fmt::Display, error: &dyn std::fmt::Display) -> ServiceError {
    ServiceError::request(format!("{url} cannot be fetched: {error}"))
}

fn port_of(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// Whether an entry of the list names a host.
fn names(entry: &str, host: &str, port: u16) -> bool {
    if let Some(parent) = entry.strip_prefix("*.") {
        return host.strip_suffix(parent).is_some_and(|child| child.len() > 1 && child.ends_with('.'));
    }
    match entry.parse::<Authority>() {
        Ok(entry) => entry.host() == host && entry.port_u16().is_none_or(|wanted| wanted == port),
        Err(_) => false,
    }
}

/// Where an answer leads on to. What was encrypted stays so.
fn led_to(uri: &Uri, response: &ureq::http::Response<ureq::Body>) -> Result<Uri, ServiceError> {
    let location = response.headers().get("location").and_then(|location| location.to_str().ok()).unwrap_or_default();
    let bad = || unreachable(uri, &format!("the answer leads to `{location}`"));
    let absolute = match (location.strip_prefix('/'), uri.scheme_str(), uri.authority()) {
        (Some(path), Some(scheme), Some(authority)) if !path.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => location.to_owned(),
    };
    let to: Uri = absolute.parse().map_err(|_| bad())?;
    let encrypted = |uri: &Uri| uri.scheme_str() == Some("https");
    if !matches!(to.scheme_str(), Some("http" | "https")) || (encrypted(uri) && !encrypted(&to)) {
        return Err(bad());
    }
    Ok(to)
}

/// Looks names up, and keeps from addresses that are not for everybody where the host was not named.
#[derive(Debug)]
struct Guard {
    allowed: Allowed,
    inner: DefaultResolver,
}

impl Resolver for Guard {
    fn resolve(&self, uri: &Uri, config: &ureq::config::Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        if self.allowed == Allowed::Named {
            return Ok(found);
        }
        let addresses: &[SocketAddr] = &found;
        if let Some(address) = addresses.iter().find(|address| !is_public(address.ip())) {
            let message = format!("Snapshot recovery from {} is not allowed: it is no public address", address.ip());
            return Err(ureq::Error::Io(std::io::Error::new(std::io::ErrorKind::PermissionDenied, message)));
        }
        Ok(found)
    }
}

/// Whether everybody reaches an address (IANA's registries of special-purpose addresses).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let special = v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a, b & 0xC0) == (100, 64)
                || (a, b, c) == (192, 0, 0)
                || (a, b & 0xFE) == (198, 18);
            !special
        }
        IpAddr::V6(v6) => {
            let parts = v6.segments();
            let inside = |high: u16, low: u16| {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                is_public(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            };
            match parts {
                // Addresses of version 4 in those of version 6: mapped, translated, and 6to4.
                [0, 0, 0, 0, 0, 0xFFFF, high, low] | [0x64, 0xFF9B, 0, 0, 0, 0, high, low] => inside(high, low),
                [0x2002, high, low, ..] => inside(high, low),
                // Of the rest, what is assigned for the world lies here, but for documentation and tunnels.
                [0x2001, 0xDB8, ..] | [0x2001, 0, ..] => false,
                [first, ..] => first & 0xE000 == 0x2000,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetcher(allowed: &[&str]) -> Fetcher {
        let allowed = allowed.iter().map(|&entry| entry.to_owned()).collect();
        Fetcher { allowed, own_port: 6333, most_bytes: u64::MAX, authority: None }
    }

    fn allowed(list: &[&str], url: &str) -> Option<Allowed> {
        fetcher(list).allowed(&url.parse().expect("a URL")).ok()
    }

    #[test]
    fn only_hosts_of_the_list_are_allowed() {
        assert_eq!(allowed(&[], "http://example.org/x"), None);
        assert_eq!(allowed(&[], "http://127.0.0.1:6333/x"), Some(Allowed::Named), "this server itself");
        assert_eq!(allowed(&[], "http://127.0.0.1:6334/x"), None);
        let list = ["example.org", "node:6333", "*.cluster.local", "[::1]:80"];
        for url in
            ["http://example.org/x", "https://EXAMPLE.org:8443/x", "http://node:6333/x", "http://a.b.cluster.local/", "http://[::1]/"]
        {
            assert_eq!(allowed(&list, url), Some(Allowed::Named), "{url}");
        }
        for url in [
            "http://example.org.evil/x",
            "http://notexample.org/x",
            "http://node/x",
            "http://cluster.local/x",
            "http://xcluster.local/",
            "http://example.org@evil/x",
            "http://[::1]:81/",
        ] {
            assert_eq!(allowed(&list, url), None, "{url}");
        }
        assert_eq!(allowed(&["*", "here"], "http://there/x"), Some(Allowed::Public));
        assert_eq!(allowed(&["*", "here"], "http://here/x"), Some(Allowed::Named));
    }

    #[test]
    fn special_addresses_are_not_public() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for text in ["1.1.1.1", "100.128.0.1", "198.20.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "2002:101:101::1"] {
            assert!(public(text), "{text}");
        }
        for text in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!public(text), "{text}");
        }
    }
}
