//! Sockets: where the gateway listens, and how each connection is served until it ends or the gateway does.

mod address;
mod serve;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, UnixListener};

use crate::gateway::Gateway;

pub use address::Address;
pub use serve::Server;
pub use tls::Tls;

/// What is served on a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Services {
    /// OpenTelemetry's protocol over HTTP.
    pub otlp_http: bool,
    /// OpenTelemetry's protocol over gRPC.
    pub otlp_grpc: bool,
    /// OpenFeature's remote evaluation protocol.
    pub ofrep: bool,
    /// flagd's evaluation.
    pub flagd_rpc: bool,
    /// flagd's sync.
    pub flagd_sync: bool,
    /// Health and metrics.
    pub admin: bool,
    /// The console.
    pub console: bool,
}

impl Services {
    /// The one whose addresses stand under a key.
    pub fn named(key: &str) -> Self {
        Self {
            otlp_http: key == "listen.otlp_http",
            otlp_grpc: key == "listen.otlp_grpc",
            ofrep: key == "listen.ofrep",
            flagd_rpc: key == "listen.flagd_rpc",
            flagd_sync: key == "listen.flagd_sync",
            admin: key == "listen.admin",
            console: key == "listen.console",
        }
    }

    /// These and those.
    pub fn and(self, other: Self) -> Self {
        Self {
            otlp_http: self.otlp_http || other.otlp_http,
            otlp_grpc: self.otlp_grpc || other.otlp_grpc,
            ofrep: self.ofrep || other.ofrep,
            flagd_rpc: self.flagd_rpc || other.flagd_rpc,
            flagd_sync: self.flagd_sync || other.flagd_sync,
            admin: self.admin || other.admin,
            console: self.console || other.console,
        }
    }
}

/// A socket that is open.
pub enum Listener {
    /// TCP, with the address it really has: a port of 0 is any.
    Tcp(TcpListener, SocketAddr),
    /// A Unix socket.
    Unix(UnixListener),
}

impl Listener {
    /// Opens a socket.
    pub async fn open(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => {
                let listener = TcpListener::bind(address.as_str()).await?;
                let bound = listener.local_addr()?;
                Ok(Self::Tcp(listener, bound))
            }
            Address::Unix(path) => {
                // One that nobody listens on was left behind by a gateway that was killed.
                if std::os::unix::net::UnixStream::connect(path)
                    .is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused)
                {
                    std::fs::remove_file(path)?;
                }
                UnixListener::bind(path).map(Self::Unix)
            }
        }
    }

    /// Where it listens.
    pub fn bound(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(_, address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Takes connections until the server drains.
    pub async fn run(self, server: Arc<Server>, services: Services) {
        let mut draining = server.draining();
        loop {
            let permit = tokio::select! {
                permit = server.room() => permit,
                () = Gateway::ends(&mut draining) => return,
            };
            let accepted = tokio::select! {
                accepted = self.accept(&server, services, permit) => accepted,
                () = Gateway::ends(&mut draining) => return,
            };
            if let Err(problem) = accepted {
                // Out of file descriptors, say: others may end meanwhile.
                crate::log::warn("a connection could not be taken", &[("error", &problem)]);
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }

    async fn accept(&self, server: &Arc<Server>, services: Services, permit: serve::Permit) -> io::Result<()> {
        match self {
            Self::Tcp(listener, _) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                server.spawn(stream, services, permit);
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                server.spawn(stream, services, permit);
            }
        }
        Ok(())
    }
}
