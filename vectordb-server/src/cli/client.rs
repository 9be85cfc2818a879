//! REST from the caller's side.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::Failure;
use crate::tls;

/// Most bytes of an answer that is not a file.
const MAX_ANSWER_BYTES: u64 = 1 << 30;

/// Most connections that are kept for the next request.
const MAX_CONNECTIONS: usize = 256;

/// Which server to ask.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ServerArgs {
    /// The server, as it is reached over REST.
    #[arg(long, global = true, value_name = "URL", env = "VECTORDB_URI", default_value = "http://127.0.0.1:6333")]
    uri: String,
    /// Its key.
    #[arg(long, global = true, value_name = "KEY", env = "VECTORDB_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Who signs the server's certificate, a PEM file, beside those whom the system believes.
    #[arg(long, global = true, value_name = "FILE", env = "VECTORDB_CA_CERT")]
    ca_cert: Option<PathBuf>,
}

impl ServerArgs {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Client::new(&self.uri, self.api_key.clone(), self.ca_cert.as_deref())
    }

    /// The key, if there is one.
    pub(super) fn api_key(&self) -> Option<&str> {
        self.api_key.as_deref().filter(|key| !key.is_empty())
    }

    /// Who signs the server's certificate.
    pub(super) fn ca_cert(&self) -> Option<&Path> {
        self.ca_cert.as_deref()
    }
}

/// A server that answers REST.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: ureq::Agent,
    uri: String,
    api_key: Option<String>,
}

impl Client {
    pub(super) fn new(uri: &str, api_key: Option<String>, ca_cert: Option<&Path>) -> Result<Self, Failure> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(MAX_CONNECTIONS)
            .max_idle_connections_per_host(MAX_CONNECTIONS);
        if uri.starts_with("https://") {
            let roots = tls::roots(ca_cert).map_err(|error| Failure::new(error.to_string()))?;
            let encryption = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(tls::provider());
            config = config.tls_config(encryption.root_certs(roots).build());
        } else if !uri.starts_with("http://") {
            return Err(Failure::new(format!("the server's address begins with http:// or https://: {uri}")));
        }
        let agent = config.build().into();
        Ok(Self { agent, uri: uri.trim_end_matches('/').to_owned(), api_key: api_key.filter(|key| !key.is_empty()) })
    }

    /// The result of a request; the body is left out where it is null.
    pub(super) fn call<T: DeserializeOwned>(&self, method: &str, path: &str, body: &Value) -> Result<T, Failure> {
        let content = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.send(method, path, &content)
    }

    /// The result of a request whose body is JSON already.
    pub(super) fn send<T: DeserializeOwned>(&self, method: &str, path: &str, body: &[u8]) -> Result<T, Failure> {
        Ok(self.timed(method, path, body)?.0)
    }

    /// The result of a request, and the seconds that the server took by its own account.
    pub(super) fn timed<T: DeserializeOwned>(&self, method: &str, path: &str, body: &[u8]) -> Result<(T, f64), Failure> {
        let odd = |what: &dyn std::fmt::Display| Failure::new(format!("{method} {}{path}: {what}", self.uri));
        let response = self.answer(method, path, body)?;
        let status = response.status();
        let content = response.into_body().into_with_config().limit(MAX_ANSWER_BYTES).read_to_vec().map_err(|error| odd(&error))?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&content);
            let answer: Value = serde_json::from_slice(&content).unwrap_or_default();
            return Err(odd(&format!("{} {}", status.as_u16(), answer["status"]["error"].as_str().unwrap_or(&text))));
        }
        let answer: Answer<T> = serde_json::from_slice(&content).map_err(|error| odd(&format!("an answer of another form: {error}")))?;
        Ok((answer.result, answer.time))
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.uri)
    }

    /// The bytes of a file.
    pub(super) fn download(&self, path: &str) -> Result<impl Read + use<>, Failure> {
        let response = self.answer("GET", path, &[])?;
        if response.status() != 200 {
            return Err(Failure::new(format!("GET {}{path}: {}", self.uri, response.status())));
        }
        Ok(response.into_body().into_reader())
    }

    fn answer(&self, method: &str, path: &str, body: &[u8]) -> Result<ureq::http::Response<ureq::Body>, Failure> {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.uri));
        if let Some(key) = &self.api_key {
            request = request.header("api-key", key);
        }
        let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{} cannot be asked: {error}", self.uri));
        let request = request.header("content-type", "application/json").body(body).map_err(|error| failed(&error))?;
        self.agent.run(request).map_err(|error| failed(&error))
    }
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
    #[serde(default)]
    time: f64,
}

/// A name as part of a path.
pub(super) fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_other_schemes_refused() {
        assert_eq!(encoded("a b/ü~"), "a%20b%2F%C3%BC~");
        assert!(Client::new("ftp://host", None, None).is_err());
        assert!(Client::new("https://host", None, Some(Path::new("nowhere.pem"))).is_err());
        assert_eq!(Client::new("http://host:1/", None, None).expect("a client").uri, "http://host:1");
    }
}
