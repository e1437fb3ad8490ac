//! One connection: HTTP/1.1 or HTTP/2, whichever its first bytes say.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::{Services, Tls};
use crate::gateway::Gateway;
use crate::route;

/// HTTP/2's own ping on a quiet connection, and how long its answer may take. Clients' pings are answered, as many as come.
const PING: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests under way on one HTTP/2 connection.
const STREAMS: u32 = 256;

/// Room for a connection.
pub type Permit = Option<OwnedSemaphorePermit>;

/// What all connections share.
pub struct Server {
    gateway: Arc<Gateway>,
    http: Builder<TokioExecutor>,
    room: Arc<Semaphore>,
    tls: Option<Arc<Tls>>,
}

impl Server {
    /// For a gateway.
    pub fn new(gateway: Arc<Gateway>, tls: Option<Arc<Tls>>) -> Self {
        let config = &gateway.config;
        let mut http = Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(config.idle_timeout)
            .max_buf_size(config.limit_header);
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING)
            .keep_alive_timeout(PING_TIMEOUT)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(config.limit_header.try_into().unwrap_or(u32::MAX));
        let room = Arc::new(Semaphore::new(config.connections.min(Semaphore::MAX_PERMITS)));
        Self { gateway, http, room, tls }
    }

    /// Tells when the gateway drains.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.gateway.draining.subscribe()
    }

    /// Waits until there is room for another connection.
    pub async fn room(&self) -> Permit {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// Serves a connection on a task of its own.
    pub fn spawn(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        services: Services,
        permit: Permit,
    ) {
        let server = Arc::clone(self);
        let counted = self.gateway.tasks.token();
        tokio::spawn(async move {
            match server.tls.as_ref().filter(|_| !services.admin) {
                None => server.serve(stream, services).await,
                Some(tls) => {
                    let within = server.gateway.config.body_timeout;
                    // A client that does not finish its handshake, or has no certificate, is no fault of ours.
                    if let Ok(Ok(stream)) = tokio::time::timeout(within, tls.acceptor().accept(stream)).await {
                        server.serve(stream, services).await;
                    }
                }
            }
            drop((permit, counted));
        });
    }

    async fn serve(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, services: Services) {
        let used = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            used.store(true, Ordering::Relaxed);
            let gateway = Arc::clone(&self.gateway);
            async move { Ok::<_, Infallible>(route::answer(gateway, services, request).await) }
        });
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let mut draining = self.draining();
        let silent = tokio::time::sleep(self.gateway.config.idle_timeout);
        tokio::pin!(silent);
        let (mut watched, mut told) = (true, false);
        loop {
            tokio::select! {
                // How it ended matters to nobody: a client that went away is no fault of ours.
                _ = connection.as_mut() => return,
                // Until its first bytes say which protocol it speaks hyper waits without end.
                () = silent.as_mut(), if watched => {
                    watched = false;
                    if !used.load(Ordering::Relaxed) { return }
                }
                () = Gateway::ends(&mut draining), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
