//! TLS of the sockets that clients connect to: HTTP/2 is offered, and with an authority clients must show a certificate.

use std::path::Path;
use std::sync::{Arc, RwLock};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::Config;

/// The certificates of now: a signal may have them read again.
pub struct Tls(RwLock<Arc<ServerConfig>>);

impl Tls {
    /// As it is configured; none where it is not.
    pub fn new(config: &Config) -> Result<Option<Self>, String> {
        Ok(read(config)?.map(|config| Self(RwLock::new(config))))
    }

    /// Reads the files again; what cannot be read leaves it as it is.
    pub fn reload(&self, config: &Config) -> Result<(), String> {
        if let Some(read) = read(config)? {
            *self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner) = read;
        }
        Ok(())
    }

    /// What makes a connection one.
    pub fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        Arc::clone(&self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)).into()
    }
}

fn read(config: &Config) -> Result<Option<Arc<ServerConfig>>, String> {
    let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else { return Ok(None) };
    let chain = certificates("tls.cert", cert)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|problem| told("tls.key", key, &problem))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(|problem| problem.to_string())?;
    let builder = match &config.tls_client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("tls.client_ca", path)? {
                roots.add(certificate).map_err(|problem| told("tls.client_ca", path, &problem))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|problem| told("tls.client_ca", path, &problem))?)
        }
    };
    let mut server = builder.with_single_cert(chain, secret).map_err(|problem| told("tls.cert", cert, &problem))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(Arc::new(server)))
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = read.map_err(|problem| told(key, path, &problem))?;
    if found.is_empty() { Err(told(key, path, &"it has no certificate")) } else { Ok(found) }
}

fn told(key: &str, path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("{key}: {}: {problem}", path.display())
}
