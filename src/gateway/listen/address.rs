//! Addresses as they are configured.

use std::path::PathBuf;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `127.0.0.1:80`, `[::]:80` (both IPv6 and IPv4), `name:80`.
    Tcp(String),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.starts_with('/') {
                Ok(Self::Unix(PathBuf::from(path)))
            } else {
                Err(format!("a Unix socket needs its whole path: \"{text}\""))
            };
        }
        let wrong =
            || format!("not an address: \"{text}\"; write it like 127.0.0.1:8016, [::]:8016 or unix:/run/x.sock");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let good =
            bare.map_or(!host.is_empty() && !host.contains(':'), |host| host.parse::<std::net::Ipv6Addr>().is_ok());
        if good { Ok(Self::Tcp(text.to_owned())) } else { Err(wrong()) }
    }

    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(text) => {
                let host = text.rsplit_once(':').map_or("", |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_apart() {
        for text in ["127.0.0.1:80", "[::1]:80", "localhost:0", "0.0.0.0:80", "[::]:80", "shop.example:80"] {
            assert_eq!(Address::parse(text), Ok(Address::Tcp(text.to_owned())));
        }
        assert_eq!(Address::parse("unix:/run/gateway.sock"), Ok(Address::Unix("/run/gateway.sock".into())));
        let local =
            ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/x"].map(|text| Address::parse(text).unwrap().is_local());
        let public = ["0.0.0.0:1", "[::]:1", "shop.example:1"].map(|text| Address::parse(text).unwrap().is_local());
        assert_eq!((local, public), ([true; 4], [false; 3]));
        for wrong in ["", "80", ":80", "127.0.0.1", "::1:80", "127.0.0.1:x", "127.0.0.1:99999", "unix:here", "[x]:80"]
        {
            assert!(Address::parse(wrong).is_err(), "{wrong}");
        }
    }
}
