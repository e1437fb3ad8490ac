//! Sending by HTTP: one request on a connection of its own, with a time limit, and without following redirects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::sink::Sink;

/// A request has so long, from the connection to the end of the answer.
const WITHIN: Duration = Duration::from_secs(10);
/// So much of an answer is read.
const ANSWER: usize = 4096;
/// Where systems keep the authorities that they trust.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What goes to a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// JSON.
    pub body: Vec<u8>,
    /// Headers besides the usual ones.
    pub headers: Vec<(&'static str, String)>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header Retry-After, in seconds.
    pub retry_after: Option<u64>,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Debug)]
pub struct Unsent(pub String);

/// Sends messages.
pub struct Poster {
    tls: Option<tokio_rustls::TlsConnector>,
}

impl Poster {
    /// With the authorities of the system, and one more. They are read only where a sink needs them.
    pub fn new(ca: Option<&Path>, sinks: &[Sink]) -> Result<Self, String> {
        if sinks.iter().all(|sink| sink.url.scheme_str() == Some("http")) {
            return Ok(Self { tls: None });
        }
        let mut roots = RootCertStore::empty();
        if let Some(path) = SYSTEM.iter().map(Path::new).find(|path| path.exists()) {
            roots.add_parsable_certificates(certificates(path)?);
        }
        if let Some(path) = ca {
            roots.add_parsable_certificates(certificates(path)?);
        }
        if roots.is_empty() {
            return Err("there are no authorities to check the sinks' certificates with: install the package \
                ca-certificates, or set deliver.ca"
                .to_owned());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|problem| problem.to_string())?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: Some(Arc::new(config).into()) })
    }

    /// Sends a message to a sink. The words for what failed do not have the URL, which is a secret of some sinks.
    pub async fn post(&self, sink: &Sink, message: Message) -> Result<Answer, Unsent> {
        let sent = tokio::time::timeout(WITHIN, self.sent(&sink.url, message));
        sent.await.unwrap_or_else(|_| Err(Unsent(format!("no answer within {} s", WITHIN.as_secs()))))
    }

    async fn sent(&self, url: &Uri, message: Message) -> Result<Answer, Unsent> {
        let host = url.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_plain = url.scheme_str() == Some("http");
        let port = url.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let failed = |problem: &dyn std::fmt::Display| Unsent(format!("{host}:{port}: {problem}"));
        let stream = TcpStream::connect((bare, port)).await.map_err(|problem| failed(&problem))?;
        let request = request(url, host, message).map_err(|problem| failed(&problem))?;
        match &self.tls {
            Some(tls) if !is_plain => {
                let name = ServerName::try_from(bare.to_owned()).map_err(|problem| failed(&problem))?;
                let stream = tls.connect(name, stream).await.map_err(|problem| failed(&problem))?;
                exchange(stream, request).await.map_err(|problem| failed(&problem))
            }
            _ => exchange(stream, request).await.map_err(|problem| failed(&problem)),
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    read.map_err(|problem| format!("{}: {problem}", path.display()))
}

fn request(url: &Uri, host: &str, message: Message) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let host = url.port().map_or(host.to_owned(), |port| format!("{host}:{port}"));
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, concat!("flagscope-gateway/", env!("CARGO_PKG_VERSION")));
    let user = url.authority().and_then(|authority| authority.as_str().rsplit_once('@'));
    if let Some((user, _)) = user {
        let code = flagscope_core::protobuf::base64(user.as_bytes());
        let mut value = HeaderValue::try_from(format!("Basic {code}"))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    for (name, value) in message.headers {
        request = request.header(name, value);
    }
    request.body(Full::new(message.body.into()))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Answer, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let answered = sender.send_request(request).await;
    let answer = match answered {
        Err(problem) => Err(problem),
        Ok(response) => {
            let status = response.status().as_u16();
            let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            // A body that is longer, or breaks off, is of no interest: the status has said it.
            let body = Limited::new(response.into_body(), ANSWER).collect().await;
            let body = body.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
            Ok(Answer { status, retry_after, body })
        }
    };
    driver.abort();
    answer
}
