//! Certificates for nodes of tests.

use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{ClientConfig, RootCertStore};

/// A new certificate for `localhost` that nobody has signed, with its key.
pub struct Certificate(CertifiedKey<KeyPair>);

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl Certificate {
    /// Makes one.
    ///
    /// # Panics
    /// The system gives no randomness.
    #[expect(clippy::new_without_default, reason = "each one differs")]
    pub fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        Self(generate_simple_self_signed(names).expect("a certificate"))
    }

    /// Writes `cert.pem` and `key.pem` into a folder.
    ///
    /// # Panics
    /// The folder cannot be written to.
    pub fn write(&self, folder: &Path) {
        std::fs::write(folder.join("key.pem"), self.0.signing_key.serialize_pem()).expect("a key");
        std::fs::write(folder.join("cert.pem"), self.0.cert.pem()).expect("a certificate");
    }

    /// A client that trusts this one alone.
    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.cert.der().clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}
