//! A sink as it is configured.

use hyper::Uri;
use serde::Deserialize;

use super::news::News;
use super::post::Message;
use super::{alertmanager, mail, pagerduty, slack, teams, webhook};

/// Where PagerDuty takes events, unless the account is of another region.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// What a sink understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The row as it is, signed.
    Webhook,
    /// Prometheus's Alertmanager, API v2.
    Alertmanager,
    /// An incoming webhook of Slack.
    Slack,
    /// PagerDuty's Events API v2.
    Pagerduty,
    /// A workflow of Microsoft Teams that posts a card.
    Teams,
    /// A relay, or a mail service, that sends a subject and a text.
    Mail,
}

/// A sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Sink {
    /// Its name, under which the database keeps what it has got.
    pub name: String,
    /// What it understands.
    pub kind: Kind,
    /// Where it is. Of Slack and Teams it is a secret.
    pub url: Uri,
    /// What a webhook is signed with, or PagerDuty's routing key.
    pub secret: String,
    /// Decisions it is told of, by their action; empty: all.
    pub actions: Vec<String>,
    /// Environments it is told of; empty: all.
    pub environments: Vec<String>,
    /// Tags of flags it is told of; empty: all.
    pub tags: Vec<String>,
}

/// A sink as it is written; a url or a secret that begins with `$` names a variable of the environment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: Option<String>,
    kind: Kind,
    url: Option<String>,
    secret: Option<String>,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    environments: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
}

impl Sink {
    /// Reads the list `deliver.sinks` of a file.
    pub fn read_all(value: &toml::Value, environment: &dyn Fn(&str) -> Option<String>) -> Result<Vec<Self>, String> {
        let written: Vec<Written> =
            value.clone().try_into().map_err(|problem| format!("deliver.sinks: {problem}"))?;
        let sinks = written.into_iter().map(|written| Self::read(written, environment));
        let sinks = sinks.collect::<Result<Vec<_>, _>>()?;
        match sinks
            .iter()
            .enumerate()
            .find(|(place, sink)| sinks[..*place].iter().any(|other| other.name == sink.name))
        {
            Some((_, twice)) => {
                Err(format!("deliver.sinks: two sinks have the name \"{}\": give each its own", twice.name))
            }
            None => Ok(sinks),
        }
    }

    fn read(written: Written, environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let Written { name, kind, url, secret, actions, environments, tags } = written;
        let name = name.unwrap_or_else(|| kind.label().to_owned());
        let fault = |what: &str| format!("deliver.sinks: sink \"{name}\": {what}");
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(fault("a name has letters, digits, - and _"));
        }
        let said = |text: Option<String>| match text.as_deref().and_then(|text| text.strip_prefix('$')) {
            Some(variable) => environment(variable)
                .map(|value| Some(value.trim().to_owned()))
                .ok_or_else(|| fault(&format!("the environment has no variable {variable}"))),
            None => Ok(text),
        };
        let (url, secret) = (said(url)?, said(secret)?.unwrap_or_default());
        if kind == Kind::Pagerduty && secret.is_empty() {
            return Err(fault("PagerDuty needs its routing key as secret"));
        }
        if !matches!(kind, Kind::Webhook | Kind::Pagerduty) && !secret.is_empty() {
            return Err(fault("only a webhook and PagerDuty have a secret"));
        }
        let url = url.or((kind == Kind::Pagerduty).then(|| PAGERDUTY.to_owned()));
        let url = kind.address(&url.ok_or_else(|| fault("url is missing"))?).map_err(|what| fault(&what))?;
        if let Some(unknown) = actions.iter().find(|action| !ACTIONS.contains(&action.as_str())) {
            return Err(fault(&format!("there is no action \"{unknown}\"; there are {}", ACTIONS.join(", "))));
        }
        Ok(Self { name, kind, url, secret, actions, environments, tags })
    }

    /// Whether it is to be told. What is about the judging itself has no action, environment or flag, and is always told.
    pub fn wants(&self, news: &News, tags: &[String]) -> bool {
        if news.kind == "health" {
            return true;
        }
        let among = |wanted: &[String], named: &str| wanted.is_empty() || wanted.iter().any(|name| name == named);
        among(&self.actions, news.field("action"))
            && among(&self.environments, news.field("environment"))
            && (self.tags.is_empty() || self.tags.iter().any(|tag| tags.contains(tag)))
    }

    /// What it gets; none where it has no use for it.
    pub fn message(&self, news: &News) -> Option<Message> {
        match self.kind {
            Kind::Webhook => Some(webhook::message(news, &self.secret)),
            Kind::Alertmanager => alertmanager::message(news),
            Kind::Slack => Some(slack::message(news)),
            Kind::Pagerduty => pagerduty::message(news, &self.secret),
            Kind::Teams => Some(teams::message(news)),
            Kind::Mail => Some(mail::message(news)),
        }
    }
}

/// What a decision may do, in the order of the database's type.
const ACTIONS: [&str; 11] = [
    "start",
    "advance",
    "approve",
    "pause",
    "resume",
    "complete",
    "warn",
    "hold",
    "step_back",
    "rollback",
    "disable",
];

impl Kind {
    /// Its name.
    pub fn label(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Alertmanager => "alertmanager",
            Self::Slack => "slack",
            Self::Pagerduty => "pagerduty",
            Self::Teams => "teams",
            Self::Mail => "mail",
        }
    }

    fn address(self, text: &str) -> Result<Uri, String> {
        let whole = match self {
            Self::Alertmanager => format!("{}/api/v2/alerts", text.trim_end_matches('/')),
            _ => text.to_owned(),
        };
        let url: Uri = whole.parse().map_err(|problem| format!("url: {problem}"))?;
        match (url.scheme_str(), url.host()) {
            (Some("http" | "https"), Some(host)) if !host.is_empty() => Ok(url),
            _ => Err("url must begin with https:// or http:// and name a host".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    // What each kind of row is for each kind of sink stands in tests/data/delivery. ACCEPT=1 writes those files anew: look at
    // the differences before they are committed.
    use std::path::{Path, PathBuf};
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::Value;

    use super::*;

    fn sinks(text: &str) -> Result<Vec<Sink>, String> {
        let table: toml::Table = text.parse().unwrap();
        Sink::read_all(&table["sinks"], &|name| (name == "HOOK").then(|| "https://hooks.example/x".to_owned()))
    }

    fn all() -> Vec<Sink> {
        sinks(
            "sinks = [{kind = 'webhook', url = 'http://h/x', secret = 's3cret'}, {kind = 'alertmanager', url = 'http://h/'},
            {kind = 'slack', url = '$HOOK'}, {kind = 'pagerduty', secret = 'R0UT1NG'}, {kind = 'teams', url = 'https://h/y?sig=z'}, {kind = 'mail', url = 'http://h/mail'}]",
        )
        .unwrap()
    }

    fn folder() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/delivery")
    }

    // What ends a problem names the one that its beginning has named, in the files above.
    #[test]
    fn an_end_is_that_of_its_beginning() {
        let told = |name: &str, kind: &str| -> Value {
            let file = folder().join(format!("{name}.{kind}.json"));
            serde_json::from_str::<Value>(&std::fs::read_to_string(file).unwrap()).unwrap()["body"].clone()
        };
        for (begins, over) in
            [("silent", "warning_over"), ("health", "health_over"), ("unguarded", "waiting_over"), ("hold", "resume")]
        {
            let (one, other) = (told(begins, "pagerduty"), told(over, "pagerduty"));
            assert_eq!(one["dedup_key"], other["dedup_key"], "{begins}");
            assert_eq!([&one["event_action"], &other["event_action"]], ["trigger", "resolve"], "{begins}");
            let (one, other) = (told(begins, "alertmanager"), told(over, "alertmanager"));
            let ended =
                |alert: &Value| other.as_array().unwrap().iter().any(|over| over["labels"] == alert["labels"]);
            assert!(one.as_array().unwrap().iter().all(ended), "{begins}");
        }
    }

    #[test]
    fn messages_are_as_kept() {
        let folder = folder();
        let rows: Vec<Value> =
            serde_json::from_str(&std::fs::read_to_string(folder.join("rows.json")).unwrap()).unwrap();
        for (row, id) in rows.iter().zip(1..) {
            let (name, kind) = (row["name"].as_str().unwrap(), row["kind"].as_str().unwrap());
            let text = row["payload"].to_string();
            let at = UNIX_EPOCH + Duration::from_secs(1_796_000_000);
            let news = News { id, kind, payload: &row["payload"], text: &text, database: "shop", at };
            for sink in all() {
                let told = sink.message(&news).map(|message| {
                    let body: Value = serde_json::from_slice(&message.body).unwrap();
                    let headers: Vec<String> =
                        message.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
                    serde_json::json!({"url": sink.url.to_string(), "headers": headers, "body": body})
                });
                let told = serde_json::to_string_pretty(&told).unwrap() + "\n";
                let file = folder.join(format!("{name}.{}.json", sink.kind.label()));
                if std::env::var_os("ACCEPT").is_some() {
                    std::fs::write(&file, &told).unwrap();
                }
                assert_eq!(told, std::fs::read_to_string(&file).unwrap_or_default(), "{}", file.display());
            }
        }
    }

    #[test]
    fn sinks_are_told_what_they_want() {
        let payload = serde_json::json!({"action": "rollback", "environment": "production", "flag": "shop"});
        let at = UNIX_EPOCH;
        let news = News { id: 1, kind: "decision", payload: &payload, text: "", database: "d", at };
        for (filter, wanted) in [
            ("", true),
            ("actions = ['hold', 'rollback']", true),
            ("actions = ['hold']", false),
            ("environments = ['production']", true),
            ("environments = ['staging']", false),
            ("tags = ['payments', 'x']", true),
            ("tags = ['search']", false),
        ] {
            let sink = &sinks(&format!("sinks = [{{kind = 'slack', url = 'http://h/', {filter}}}]")).unwrap()[0];
            assert_eq!(sink.wants(&news, &["payments".to_owned()]), wanted, "{filter}");
            assert!(sink.wants(&News { kind: "health", ..news }, &[]));
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (sink, told) in [
            ("kind = 'fax', url = 'http://h/'", "unknown variant"),
            ("kind = 'slack'", "url is missing"),
            ("kind = 'slack', url = 'ftp://h/'", "must begin with https://"),
            ("kind = 'slack', url = '/x'", "must begin with https://"),
            ("kind = 'slack', url = '$NONE'", "no variable NONE"),
            ("kind = 'slack', url = 'http://h/', secret = 'x'", "only a webhook and PagerDuty"),
            ("kind = 'pagerduty'", "routing key"),
            ("kind = 'webhook', url = 'http://h/', actions = ['explode']", "no action \"explode\""),
            ("kind = 'webhook', url = 'http://h/', colour = 'red'", "unknown field"),
            ("kind = 'webhook', url = 'http://h/', name = 'a b'", "letters, digits"),
            ("kind = 'webhook', url = 'http://h/'}, {kind = 'webhook', url = 'http://i/'", "two sinks"),
        ] {
            let problem = sinks(&format!("sinks = [{{{sink}}}]")).unwrap_err();
            assert!(problem.contains(told), "{problem}");
        }
    }
}
