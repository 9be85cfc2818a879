//! Calls to other nodes: one POST each, with a body of MessagePack, and the secret of the cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;

use super::state::PeerId;
use crate::config::TlsConfig;

/// The header that holds the secret.
pub(crate) const SECRET_HEADER: &str = "x-cluster-secret";

/// Why a call has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum PeerError {
    /// Nobody took it: it was not done.
    #[error("{0}")]
    Unreachable(String),
    /// It was taken, perhaps, and what came of it is not known.
    #[error("{0}")]
    Broken(String),
}

/// Speaks to other nodes.
#[derive(Debug, Clone)]
pub(crate) struct PeerClient {
    peer: PeerId,
    secret: Option<String>,
    /// Another takes its place when there are other certificates.
    http: Arc<ArcSwap<reqwest::Client>>,
    /// Where its certificate is, if connections are encrypted.
    tls: Option<Arc<TlsConfig>>,
}

impl PeerClient {
    /// Calls say that they come from a peer.
    ///
    /// # Errors
    /// When no connections can be made at all.
    pub(crate) fn new(peer: PeerId, secret: Option<String>, tls: Option<&TlsConfig>) -> Result<Self, String> {
        crate::tls::provide_cryptography();
        let http = http(peer, tls, None)?;
        Ok(Self { peer, secret, http: Arc::new(ArcSwap::from_pointee(http)), tls: tls.cloned().map(Arc::new) })
    }

    /// Whether connections are encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads the certificates again. What was there goes on being shown if that fails.
    pub(crate) fn refresh(&self) -> Result<(), String> {
        self.http.store(Arc::new(http(self.peer, self.tls.as_deref(), None)?));
        Ok(())
    }

    /// A client that reaches the host of a name at one of the addresses that the name stands for. The name stays what a certificate is to
    /// be for.
    pub(crate) fn reaching(&self, host: &str, address: SocketAddr) -> Result<Self, String> {
        let http = http(self.peer, self.tls.as_deref(), Some((host, address)))?;
        Ok(Self { http: Arc::new(ArcSwap::from_pointee(http)), ..self.clone() })
    }

    /// Calls a node and waits for its answer.
    pub(crate) async fn call<Q: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        uri: &str,
        path: &str,
        question: &Q,
        timeout: Duration,
    ) -> Result<A, PeerError> {
        let body = encode(question).map_err(PeerError::Unreachable)?;
        self.send(uri, path, body, timeout).await
    }

    /// Calls a node for something long, and writes what it answers into a file.
    pub(crate) async fn download<Q: Serialize + ?Sized>(
        &self,
        uri: &str,
        path: &str,
        question: &Q,
        into: &mut tokio::fs::File,
        timeout: Duration,
    ) -> Result<(), PeerError> {
        let broken = |error: &dyn std::fmt::Display| PeerError::Broken(format!("{uri}{path}: {error}"));
        let body = encode(question).map_err(PeerError::Unreachable)?;
        let mut answer = self.request(uri, path, body, timeout).send().await.map_err(|error| broken(&with_causes(&error)))?;
        if !answer.status().is_success() {
            return Err(broken(&answer.status()));
        }
        while let Some(bytes) = answer.chunk().await.map_err(|error| broken(&with_causes(&error)))? {
            into.write_all(&bytes).await.map_err(|error| broken(&error))?;
        }
        into.flush().await.map_err(|error| broken(&error))
    }

    fn request(&self, uri: &str, path: &str, body: impl Into<reqwest::Body>, timeout: Duration) -> reqwest::RequestBuilder {
        let request = self.http.load().post(format!("{}{path}", uri.trim_end_matches('/'))).timeout(timeout).body(body);
        match &self.secret {
            Some(secret) => request.header(SECRET_HEADER, secret),
            None => request,
        }
    }

    /// The same with a body of any kind.
    pub(crate) async fn send<A: DeserializeOwned>(
        &self,
        uri: &str,
        path: &str,
        body: impl Into<reqwest::Body>,
        timeout: Duration,
    ) -> Result<A, PeerError> {
        let request = self.request(uri, path, body, timeout);
        let refused = |error: &reqwest::Error| {
            let text = with_causes(error);
            if error.is_connect() { PeerError::Unreachable(text) } else { PeerError::Broken(text) }
        };
        let answer = request.send().await.map_err(|error| refused(&error))?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(|error| PeerError::Broken(with_causes(&error)))?;
        if !status.is_success() {
            let text = format!("{uri}{path}: {status}: {}", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
            // Whoever is not let in has done nothing.
            return Err(if status.is_client_error() { PeerError::Unreachable(text) } else { PeerError::Broken(text) });
        }
        decode(&bytes).map_err(|error| PeerError::Broken(format!("{uri}{path}: {error}")))
    }
}

fn http(peer: PeerId, tls: Option<&TlsConfig>, at: Option<(&str, SocketAddr)>) -> Result<reqwest::Client, String> {
    let mut builder = reqwest::Client::builder()
        .user_agent(format!("vectordb/{} (peer {peer})", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(2))
        .pool_idle_timeout(Duration::from_secs(30))
        .tcp_nodelay(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    if let Some(tls) = tls {
        builder = builder.https_only(true).tls_backend_preconfigured(crate::tls::caller(tls).map_err(|error| error.to_string())?);
    }
    if let Some((host, address)) = at {
        builder = builder.resolve(host, address);
    }
    builder.build().map_err(|error| error.to_string())
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// A message as bytes.
pub(crate) fn encode<T: Serialize + ?Sized>(message: &T) -> Result<Vec<u8>, String> {
    rmp_serde::to_vec_named(message).map_err(|error| error.to_string())
}

/// A message out of bytes.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}
