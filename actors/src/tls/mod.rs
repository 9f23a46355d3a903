//! TLS for HTTPS, WSS and RTMPS: the node's certificate, read again when its files change, and
//! the sockets it is used on.

mod socket;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime};

use actix::prelude::*;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{error, info};

pub(crate) use socket::TlsSocket;

/// How often the files are looked at: a renewed certificate is used a few seconds later.
const LOOK: Duration = Duration::from_secs(3);

/// How long a handshake may take.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file with the certificate, then those of its issuers.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("{}: {reason}", .file.display())]
    File {
        /// Which.
        file: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The files do not belong together, or rustls does not take them.
    #[error("{} with {}: {error}", .config.certificate.display(), .config.key.display())]
    Pair {
        /// Which.
        config: TlsConfig,
        /// What is wrong.
        error: rustls::Error,
    },
}

/// What tells one version of the files from another.
type Stamps = [Option<(SystemTime, u64)>; 2];

/// The certificate of now.
#[derive(Debug)]
pub(crate) struct Certificates {
    config: TlsConfig,
    current: RwLock<Served>,
}

/// One certificate, as each protocol serves it.
#[derive(Clone, Debug)]
struct Served {
    http: Arc<ServerConfig>,
    rtmp: Arc<ServerConfig>,
}

impl Certificates {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub(crate) fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let current = RwLock::new(read(&config)?);
        Ok(Self { config, current })
    }

    /// For HTTPS and WSS.
    pub(crate) fn http(&self) -> Arc<ServerConfig> {
        self.served().http
    }

    /// For RTMPS.
    pub(crate) fn rtmp(&self) -> Arc<ServerConfig> {
        self.served().rtmp
    }

    fn served(&self) -> Served {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stamps(&self) -> Stamps {
        [&self.config.certificate, &self.config.key].map(|file| stamp(file))
    }
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let meta = std::fs::metadata(file).ok()?;
    Some((meta.modified().ok()?, meta.len()))
}

fn read(config: &TlsConfig) -> Result<Served, TlsError> {
    let wrong = |file: &Path, reason: String| TlsError::File { file: file.to_owned(), reason };
    let certificates = CertificateDer::pem_file_iter(&config.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&config.certificate, error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong(&config.certificate, "holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&config.key)
        .map_err(|error| wrong(&config.key, error.to_string()))?;
    let pair = |error| TlsError::Pair { config: config.clone(), error };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let served = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(pair)?;
    let mut http = served.clone();
    // Requests of one connection are one client's, in order: no HTTP/2.
    http.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Served { http: Arc::new(http), rtmp: Arc::new(served) })
}

/// Looks at the files and reads them when they changed, as long as somebody uses them. What cannot
/// be used is told once, and the certificate of before stays.
pub(crate) struct CertificateWatch {
    certificates: Weak<Certificates>,
    seen: Stamps,
}

impl CertificateWatch {
    pub(crate) fn new(certificates: &Arc<Certificates>) -> Self {
        Self { certificates: Arc::downgrade(certificates), seen: certificates.stamps() }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        let Some(certificates) = self.certificates.upgrade() else { return ctx.stop() };
        let now = certificates.stamps();
        if now == self.seen {
            return;
        }
        self.seen = now;
        match read(&certificates.config) {
            Ok(served) => {
                *certificates.current.write().unwrap_or_else(PoisonError::into_inner) = served;
                let file = certificates.config.certificate.display();
                info!(%file, "TLS certificate read again");
            }
            Err(error) => {
                error!(%error, "changed TLS certificate not used, the one of before stays");
            }
        }
    }
}

impl Actor for CertificateWatch {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.run_interval(LOOK, Self::look);
    }
}
