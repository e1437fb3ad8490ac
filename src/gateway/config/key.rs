//! The one list of what can be configured.

use std::path::PathBuf;

use super::Config;
use super::unit::{duration, show_duration, show_size, size};
use crate::log::Level;

/// One value: in a file `section.name`, in the environment `FLAGSCOPE_GATEWAY_SECTION_NAME`, as an argument `--section.name`.
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// Sets it from text; the elements of a list stand between commas.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
    /// Shows it, without secrets.
    pub show: fn(&Config) -> String,
}

const fn key(
    name: &'static str,
    meaning: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
    show: fn(&Config) -> String,
) -> Key {
    Key { name, meaning, set, show }
}

/// All of them, in the order of the manual.
pub const KEYS: &[Key] = &[
    key(
        "database.url",
        "libpq URL of the database: several hosts, sslmode, target_session_attrs=read-write; else DATABASE_URL",
        |c, text| put(&mut c.database_url, Ok(text.to_owned())),
        |c| without_password(&c.database_url),
    ),
    key(
        "database.nodes",
        "libpq URLs of the databases that store telemetry, among which it is divided; empty: database.url alone does",
        |c, text| put(&mut c.nodes, urls(text)),
        |c| c.nodes.iter().map(|url| without_password(url)).collect::<Vec<_>>().join(","),
    ),
    key(
        "database.nodes_by",
        "what keeps rows together on a node: trace, or subject and then trace",
        |c, text| put(&mut c.nodes_by_subject, one_of(text, ["trace", "subject"])),
        |c| if c.nodes_by_subject { "subject" } else { "trace" }.to_owned(),
    ),
    key(
        "database.listen_url",
        "a direct connection for LISTEN where database.url is a pooler; empty: the same; off: poll only",
        |c, text| put(&mut c.listen_url, Ok(text.to_owned())),
        |c| without_password(&c.listen_url),
    ),
    key(
        "database.ca",
        "PEM file of the authority that the server's certificate is checked with; needed by sslmode=verify-full",
        |c, text| put(&mut c.database_ca, Ok(path(text))),
        |c| show_path(&c.database_ca),
    ),
    key(
        "database.statement_timeout",
        "when a query is given up",
        |c, text| put(&mut c.statement_timeout, duration(text)),
        |c| show_duration(c.statement_timeout),
    ),
    key(
        "database.connections",
        "connections that store telemetry",
        |c, text| put(&mut c.senders, number(text)),
        |c| c.senders.to_string(),
    ),
    key(
        "listen.otlp_http",
        "addresses of OTLP over HTTP; empty: none",
        |c, text| put(&mut c.otlp_http, Ok(list(text))),
        |c| c.otlp_http.join(","),
    ),
    key(
        "listen.otlp_grpc",
        "addresses of OTLP over gRPC",
        |c, text| put(&mut c.otlp_grpc, Ok(list(text))),
        |c| c.otlp_grpc.join(","),
    ),
    key(
        "listen.flagd_rpc",
        "addresses of flagd.evaluation (gRPC)",
        |c, text| put(&mut c.flagd_rpc, Ok(list(text))),
        |c| c.flagd_rpc.join(","),
    ),
    key(
        "listen.flagd_sync",
        "addresses of flagd.sync (gRPC)",
        |c, text| put(&mut c.flagd_sync, Ok(list(text))),
        |c| c.flagd_sync.join(","),
    ),
    key("listen.ofrep", "addresses of OFREP", |c, text| put(&mut c.ofrep, Ok(list(text))), |c| c.ofrep.join(",")),
    key(
        "listen.admin",
        "addresses of /healthz, /readyz and /metrics",
        |c, text| put(&mut c.admin, Ok(list(text))),
        |c| c.admin.join(","),
    ),
    key(
        "listen.console",
        "addresses of the console, for people with a browser; it needs a key with the scope read or operate",
        |c, text| put(&mut c.console, Ok(list(text))),
        |c| c.console.join(","),
    ),
    key(
        "console.database_url",
        "libpq URL of a role that reads all and drives rollouts: flagscope.grant_operator(), or grant_reader() where nobody \
         operates; empty: database.url",
        |c, text| put(&mut c.console_database_url, Ok(text.to_owned())),
        |c| without_password(&c.console_database_url),
    ),
    key(
        "console.url",
        "where browsers reach the console, like https://flags.example, if a proxy stands before it; empty: as they ask",
        |c, text| put(&mut c.console_url, origin(text)),
        |c| c.console_url.clone(),
    ),
    key(
        "console.session",
        "how long people stay logged in",
        |c, text| put(&mut c.console_session, positive(duration(text))),
        |c| show_duration(c.console_session),
    ),
    key(
        "tls.cert",
        "PEM file of the certificate and its chain, for all sockets but admin's; read again on SIGHUP",
        |c, text| put(&mut c.tls_cert, Ok(path(text))),
        |c| show_path(&c.tls_cert),
    ),
    key("tls.key", "PEM file of its key", |c, text| put(&mut c.tls_key, Ok(path(text))), |c| show_path(&c.tls_key)),
    key(
        "tls.client_ca",
        "PEM file of the authority of clients' certificates: without one of it nobody is served",
        |c, text| put(&mut c.tls_client_ca, Ok(path(text))),
        |c| show_path(&c.tls_client_ca),
    ),
    key(
        "auth.required",
        "whether a key is needed (true, false); empty: where there are keys",
        |c, text| put(&mut c.auth_required, choice(text)),
        |c| c.auth_required.map(|required| required.to_string()).unwrap_or_default(),
    ),
    key(
        "auth.token_secret",
        "what the tokens of event streams are made with; the same for all replicas; empty: random",
        |c, text| put(&mut c.token_secret, Ok(text.to_owned())),
        |_| String::new(),
    ),
    key(
        "cors.origins",
        "origins whose pages may ask: https://shop.example, https://*.shop.example",
        |c, text| put(&mut c.origins, Ok(list(text))),
        |c| c.origins.join(","),
    ),
    key(
        "cors.max_age",
        "how long browsers remember that",
        |c, text| put(&mut c.max_age, duration(text)),
        |c| show_duration(c.max_age),
    ),
    key(
        "environment",
        "the environments whose flags are served: the first to those who name none, the others by flagd-selector; empty: the \
         server's setting flagscope.environment",
        |c, text| put(&mut c.environments, Ok(list(text))),
        |c| c.environments.join(","),
    ),
    key(
        "flags.poll",
        "how often changes are asked for, besides NOTIFY",
        |c, text| put(&mut c.poll, positive(duration(text))),
        |c| show_duration(c.poll),
    ),
    key(
        "flags.reload",
        "how often all flags are loaded anew and compared",
        |c, text| put(&mut c.reload, positive(duration(text))),
        |c| show_duration(c.reload),
    ),
    key(
        "flags.snapshot",
        "file that keeps the flags, to start from while the database is down",
        |c, text| put(&mut c.snapshot, Ok(path(text))),
        |c| show_path(&c.snapshot),
    ),
    key(
        "flags.streams",
        "most event streams at a time",
        |c, text| put(&mut c.streams, number(text)),
        |c| c.streams.to_string(),
    ),
    key(
        "exposures",
        "rollouts: record who was given which variant of a flag that is being rolled out; off: applications do so",
        |c, text| put(&mut c.exposures, one_of(text, ["off", "rollouts"])),
        |c| if c.exposures { "rollouts" } else { "off" }.to_owned(),
    ),
    key(
        "ingest.queue",
        "bytes of requests and rows that may wait, else 429; a request takes its length, and that of its rows",
        |c, text| put(&mut c.ingest_queue, size(text)),
        |c| show_size(c.ingest_queue),
    ),
    key(
        "ingest.group",
        "bytes of rows that are stored at once",
        |c, text| put(&mut c.ingest_group, size(text)),
        |c| show_size(c.ingest_group),
    ),
    key(
        "ingest.linger",
        "how long the first rows of a group wait for others",
        |c, text| put(&mut c.linger, duration(text)),
        |c| show_duration(c.linger),
    ),
    key(
        "ingest.timeout",
        "within which a request is answered, else 503",
        |c, text| put(&mut c.ingest_timeout, positive(duration(text))),
        |c| show_duration(c.ingest_timeout),
    ),
    key(
        "limits.request",
        "longest request of OTLP, as it comes and unpacked",
        |c, text| put(&mut c.limit_request, size(text)),
        |c| show_size(c.limit_request),
    ),
    key(
        "limits.ofrep",
        "longest body of an OFREP request",
        |c, text| put(&mut c.limit_ofrep, size(text)),
        |c| show_size(c.limit_ofrep),
    ),
    key(
        "limits.header",
        "longest header of a request, at least 8KiB",
        |c, text| put(&mut c.limit_header, size(text).map(|n| n.max(8192))),
        |c| show_size(c.limit_header),
    ),
    key(
        "limits.connections",
        "most connections at a time",
        |c, text| put(&mut c.connections, number(text)),
        |c| c.connections.to_string(),
    ),
    key(
        "http.body_timeout",
        "within which the body of a request must come, else 408",
        |c, text| put(&mut c.body_timeout, positive(duration(text))),
        |c| show_duration(c.body_timeout),
    ),
    key(
        "http.idle_timeout",
        "how long a connection may wait for the next request, until all of its header is there",
        |c, text| put(&mut c.idle_timeout, positive(duration(text))),
        |c| show_duration(c.idle_timeout),
    ),
    key(
        "deliver.max_age",
        "notifications that are older when a sink first gets to see them are not delivered to it",
        |c, text| put(&mut c.deliver_max_age, positive(duration(text))),
        |c| show_duration(c.deliver_max_age),
    ),
    key(
        "deliver.ca",
        "PEM file of an authority of the sinks' certificates, besides the system's",
        |c, text| put(&mut c.deliver_ca, Ok(path(text))),
        |c| show_path(&c.deliver_ca),
    ),
    key(
        "drain.delay",
        "from SIGTERM, while /readyz says 503, until listeners close",
        |c, text| put(&mut c.drain_delay, duration(text)),
        |c| show_duration(c.drain_delay),
    ),
    key(
        "drain.timeout",
        "then, until what is still under way is given up",
        |c, text| put(&mut c.drain_timeout, duration(text)),
        |c| show_duration(c.drain_timeout),
    ),
    key(
        "log.level",
        "error, warn, info or debug",
        |c, text| put(&mut c.log_level, Level::parse(text)),
        |c| c.log_level.label().to_owned(),
    ),
    key(
        "log.format",
        "text or json; lines on standard error",
        |c, text| put(&mut c.log_json, one_of(text, ["text", "json"])),
        |c| if c.log_json { "json" } else { "text" }.to_owned(),
    ),
    key(
        "threads",
        "threads of the server; the machine's cores",
        |c, text| put(&mut c.threads, number(text)),
        |c| c.threads.to_string(),
    ),
];

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

fn choice(text: &str) -> Result<Option<bool>, String> {
    match text {
        "" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err(format!("neither true nor false: \"{text}\"")),
    }
}

/// Whether it is the second of two words.
fn one_of(text: &str, [first, second]: [&str; 2]) -> Result<bool, String> {
    match text {
        _ if text == first => Ok(false),
        _ if text == second => Ok(true),
        _ => Err(format!("neither {first} nor {second}: \"{text}\"")),
    }
}

/// The origin of a URL: scheme, host and port.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    match host {
        _ if text.is_empty() => Ok(String::new()),
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@']) => Ok(text.to_owned()),
        _ => Err(format!("not scheme and host of a URL, without a path: \"{text}\"")),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// URLs between commas, which also stand between the hosts of one.
fn urls(text: &str) -> Result<Vec<String>, String> {
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',').map(str::trim).filter(|_| !text.is_empty()) {
        let is_new = part.starts_with("postgresql://") || part.starts_with("postgres://");
        match urls.last_mut() {
            _ if part.is_empty() => return Err("one of the URLs is empty".to_owned()),
            _ if is_new => urls.push(part.to_owned()),
            Some(url) => *url = format!("{url},{part}"),
            None => return Err("what stands there does not begin with postgresql://".to_owned()),
        }
    }
    Ok(urls)
}

fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty()).then(|| PathBuf::from(text))
}

fn show_path(path: &Option<PathBuf>) -> String {
    path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("not a number from 1 on: \"{text}\""))
}

fn positive(value: Result<std::time::Duration, String>) -> Result<std::time::Duration, String> {
    value.and_then(|value| if value.is_zero() { Err("must be longer than 0".to_owned()) } else { Ok(value) })
}

/// A URL as it may be shown: what stands between the user's name and the host is left out, and so is a password among the
/// parameters. What is no URL may have it anywhere.
pub fn without_password(url: &str) -> String {
    if url.is_empty() || url == "off" {
        return url.to_owned();
    }
    let Some((scheme, rest)) = url.split_once("://") else { return "(not shown)".to_owned() };
    let rest = match rest.rsplit_once('@') {
        Some((user, host)) => format!("{}@{host}", user.split(':').next().unwrap_or_default()),
        None => rest.to_owned(),
    };
    let (address, parameters) = rest.split_once('?').unwrap_or((&rest, ""));
    let kept: Vec<_> =
        parameters.split('&').filter(|part| !part.is_empty() && !part.starts_with("password")).collect();
    let separator = if kept.is_empty() { "" } else { "?" };
    format!("{scheme}://{address}{separator}{}", kept.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_written() {
        for key in KEYS {
            let shown = (key.show)(&Config::default());
            let mut config = Config::default();
            assert_eq!((key.set)(&mut config, &shown), Ok(()), "{}", key.name);
            assert_eq!((key.show)(&config), shown, "{}", key.name);
        }
    }

    #[test]
    fn urls_have_commas_of_their_own() {
        let two = "postgresql://a@h:1,i:2/d, postgres://b/d";
        assert_eq!(urls(two).unwrap(), ["postgresql://a@h:1,i:2/d", "postgres://b/d"]);
        assert_eq!(urls("").unwrap(), Vec::<String>::new());
        for text in ["postgresql://a/d,,postgresql://b/d", ",postgresql://a/d", "postgresql://a/d,"] {
            assert_eq!(urls(text).unwrap_err(), "one of the URLs is empty", "{text}");
        }
        assert_eq!(
            urls("host=h password=secret").unwrap_err(),
            "what stands there does not begin with postgresql://"
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            ("postgresql://a:se@cret@h:1/d?sslmode=require", "postgresql://a@h:1/d?sslmode=require"),
            ("postgres://h/d?password=x", "postgres://h/d"),
            ("host=h password=x", "(not shown)"),
            ("", ""),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
