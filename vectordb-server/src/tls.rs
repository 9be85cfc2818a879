//! Encryption of the doors, with certificates that are read again when their files change.
//!
//! Connections keep what they began with; only those that come later see the new certificates.
//!
//! Files: `validity` (when a certificate expires).

mod validity;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{WebPkiClientVerifier, danger::ClientCertVerifier};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use ureq::tls::{Certificate, RootCerts};

use crate::config::TlsConfig;

/// Seconds between looks at the files, where nothing is said.
const TTL_SECS: u64 = 3600;
/// How long a caller may take to agree on the encryption.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Connections whose encryption is agreed on at once, or that wait to be served.
const MOST_WAITING: usize = 1024;
/// After a connection could not be taken, for want of files mostly.
const PAUSE: Duration = Duration::from_millis(200);

/// Why there is no encryption.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Encryption is switched on, and no certificate is named.
    #[error("service.enable_tls needs tls.cert and tls.key")]
    NoCertificate,
    /// Certificates of callers are to be verified, and nobody is named who signs them.
    #[error("service.verify_https_client_certificate needs tls.ca_cert")]
    NoAuthority,
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// TLS takes its algorithms from what the process was given; one of ours is as good as another's.
pub(crate) fn provide_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Fails only if another thread was faster.
        let _ = ring::default_provider().install_default();
    }
}

/// Where encryption comes from; its own algorithms, so that a process that has chosen others is not disturbed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Whom to believe: those that the system does, and an authority of one's own.
///
/// # Errors
/// [`TlsError`] of the authority's file.
pub(crate) fn roots(authority: Option<&Path>) -> Result<RootCerts, TlsError> {
    let own = authority.map_or(Ok(Vec::new()), certificates)?;
    let known = rustls_native_certs::load_native_certs().certs;
    let all = own.iter().chain(&known).map(|certificate| Certificate::from_der(certificate).to_owned());
    Ok(RootCerts::Specific(Arc::new(all.collect())))
}

/// A client of servers that the system believes.
pub(crate) fn agent(patience: Duration) -> ureq::Agent {
    let roots = roots(None).unwrap_or_else(|_| RootCerts::Specific(Arc::new(Vec::new())));
    let tls = ureq::tls::TlsConfig::builder().unversioned_rustls_crypto_provider(provider()).root_certs(roots).build();
    ureq::Agent::config_builder().timeout_global(Some(patience)).tls_config(tls).build().into()
}

/// The certificates of a PEM file.
///
/// # Errors
/// [`TlsError`], also for a file without any.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    parsed(path, &content(path)?)
}

fn content(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::File { path: path.into(), source })
}

fn parsed(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|error| wrong(path, &error))?;
    if found.is_empty() { Err(wrong(path, &"there is no certificate in it")) } else { Ok(found) }
}

fn wrong(path: &Path, reason: &dyn fmt::Display) -> TlsError {
    TlsError::Content { path: path.into(), reason: reason.to_string() }
}

/// What the doors show, as long as the files stay as they are.
#[derive(Debug)]
pub(crate) struct Certificates {
    files: TlsConfig,
    verify_callers: bool,
    current: RwLock<Current>,
}

#[derive(Debug)]
struct Current {
    /// Of all the files.
    digest: [u8; 32],
    expires_unix_secs: Option<i64>,
    config: Arc<ServerConfig>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub(crate) fn read(files: &TlsConfig, verify_callers: bool) -> Result<Self, TlsError> {
        let current = current(files, verify_callers, None)?.ok_or(TlsError::NoCertificate)?;
        Ok(Self { files: files.clone(), verify_callers, current: RwLock::new(current) })
    }

    /// Reads the files again; true when they are others than before.
    ///
    /// # Errors
    /// [`TlsError`]; what was there goes on being shown.
    pub(crate) fn refresh(&self) -> Result<bool, TlsError> {
        let known = self.current.read().unwrap_or_else(PoisonError::into_inner).digest;
        let Some(new) = current(&self.files, self.verify_callers, Some(known))? else { return Ok(false) };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    /// When the first of the chain expires, in seconds since 1970; none where no certificate says so in a way that is understood.
    pub(crate) fn expires_unix_secs(&self) -> Option<i64> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).expires_unix_secs
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).config))
    }

    /// Looks at the files every now and then until told to stop; `changed` is called for new certificates.
    pub(crate) async fn keep_fresh(self: Arc<Self>, mut stopped: watch::Receiver<bool>, changed: impl Fn(&Self) + Send + 'static) {
        let every = Duration::from_secs(self.files.cert_ttl.unwrap_or(TTL_SECS).max(1));
        loop {
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => return,
                () = tokio::time::sleep(every) => {}
            }
            let certificates = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || certificates.refresh()).await {
                Ok(Ok(true)) => {
                    changed(&self);
                    tracing::info!("new certificates are in use");
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the certificates stay as they are"),
                Err(error) => tracing::warn!(%error, "the certificates were not looked at"),
            }
        }
    }
}

/// What the files say; none when they are those of a digest.
fn current(files: &TlsConfig, verify_callers: bool, known: Option<[u8; 32]>) -> Result<Option<Current>, TlsError> {
    let authority = match (&files.ca_cert, verify_callers) {
        (Some(path), true) => Some((path, content(path)?)),
        (None, true) => return Err(TlsError::NoAuthority),
        (_, false) => None,
    };
    let (Some(cert_path), Some(key_path)) = (&files.cert, &files.key) else { return Err(TlsError::NoCertificate) };
    let (chain, key) = (content(cert_path)?, content(key_path)?);
    let mut digest = Sha256::new();
    for file in [&chain, &key].into_iter().chain(authority.iter().map(|(_, pem)| pem)) {
        digest.update((file.len() as u64).to_le_bytes());
        digest.update(file);
    }
    let digest: [u8; 32] = digest.finalize().into();
    if known == Some(digest) {
        return Ok(None);
    }
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| wrong(cert_path, &error))?;
    let builder = match authority {
        Some((path, pem)) => builder.with_client_cert_verifier(verifier(path, &pem, provider)?),
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| wrong(key_path, &error))?;
    let chain = parsed(cert_path, &chain)?;
    let expires_unix_secs = chain.iter().filter_map(|certificate| validity::expires_unix_secs(certificate)).min();
    let mut config = builder.with_single_cert(chain, key).map_err(|error| wrong(cert_path, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Current { digest, expires_unix_secs, config: Arc::new(config) }))
}

/// How a caller shows the certificate of these files, and whom it believes: those that the authority knows, and nobody else.
///
/// # Errors
/// [`TlsError`].
pub(crate) fn caller(files: &TlsConfig) -> Result<ClientConfig, TlsError> {
    let authority = files.ca_cert.as_ref().ok_or(TlsError::NoAuthority)?;
    let (Some(cert_path), Some(key_path)) = (&files.cert, &files.key) else { return Err(TlsError::NoCertificate) };
    let chain = certificates(cert_path)?;
    let key = PrivateKeyDer::from_pem_slice(&content(key_path)?).map_err(|error| wrong(key_path, &error))?;
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| wrong(cert_path, &error))?.with_root_certificates(known(authority, &content(authority)?)?);
    builder.with_client_auth_cert(chain, key).map_err(|error| wrong(cert_path, &error))
}

/// Whom an authority has signed certificates for.
fn known(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in parsed(path, pem)? {
        roots.add(certificate).map_err(|error| wrong(path, &error))?;
    }
    Ok(roots)
}

/// Who lets in only callers that this authority knows.
fn verifier(path: &Path, pem: &[u8], provider: Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    WebPkiClientVerifier::builder_with_provider(Arc::new(known(path, pem)?), provider).build().map_err(|error| wrong(path, &error))
}

/// Encrypted connections, as they come.
#[derive(Debug)]
pub(crate) struct TlsListener {
    address: SocketAddr,
    streams: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Takes connections from now on, until this is dropped.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn new(listener: TcpListener, certificates: Arc<Certificates>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let (sender, streams) = mpsc::channel(MOST_WAITING);
        tokio::spawn(take(listener, certificates, sender));
        Ok(Self { address, streams })
    }
}

/// Takes connections, and lets each of them agree on the encryption by itself, so that none waits for another.
async fn take(listener: TcpListener, certificates: Arc<Certificates>, streams: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>) {
    while let Ok(place) = streams.clone().reserve_owned().await {
        let accepted = tokio::select! {
            () = streams.closed() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection was not taken");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let acceptor = certificates.acceptor();
        tokio::spawn(async move {
            // A caller is none the worse for small packets that wait.
            let _ = stream.set_nodelay(true);
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => drop(place.send((stream, address))),
                Ok(Err(error)) => tracing::debug!(%error, %address, "no encryption was agreed on"),
                Err(_) => tracing::debug!(%address, "no encryption was agreed on in time"),
            }
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.streams.recv().await {
            Some(accepted) => accepted,
            // Nobody takes connections any more; the door closes when it is told to.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(self.address)
    }
}

impl tokio_stream::Stream for TlsListener {
    type Item = io::Result<TlsStream<TcpStream>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.streams.poll_recv(context).map(|accepted| accepted.map(|(stream, _)| Ok(stream)))
    }
}
