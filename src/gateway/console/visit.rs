//! A request of the console: who made it, where its form comes from, and the frame of the page that answers.

use flagscope_core::page::{Account, Events, Field, Shell};
use hyper::Method;
use hyper::header::{HOST, HeaderName, ORIGIN};

use super::fault::Fault;
use super::session::Session;
use super::{Console, FORM};
use crate::auth::to_hex;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::web::{self, Request};

/// A request, and who made it.
pub struct Visit<'a> {
    /// Who is logged in.
    pub session: Option<Session>,
    /// Another one for each answer: the style of a page has it.
    pub nonce: String,
    config: &'a Config,
    proof: String,
}

impl<'a> Visit<'a> {
    /// Whose request it is. The error is a machine without randomness.
    pub fn new(gateway: &'a Gateway, console: &Console, request: &Request) -> Result<Self, getrandom::Error> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce)?;
        let session = console.sessions.of(&gateway.auth, request.headers());
        let proof = session.as_ref().map(|session| console.sessions.proof(session)).unwrap_or_default();
        Ok(Self { session, config: &gateway.config, proof, nonce: to_hex(&nonce) })
    }

    /// What somebody who is not logged in gets, at a place that takes these methods.
    pub fn stranger(&self, request: &Request, allows: Option<&str>) -> Fault {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        if allows.is_some_and(|methods| methods == "POST") || request.uri().path() == "/events" {
            return Fault::NoSession;
        }
        if request.method() == Method::GET && header("sec-fetch-site") == Some("cross-site") {
            return Fault::Again;
        }
        Fault::LogIn(request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned())
    }

    /// The frame of a page.
    pub fn shell(&self) -> Shell {
        let account = self.session.as_ref().map(|_| Account {
            address: "/logout".to_owned(),
            label: "Log out".to_owned(),
            fields: vec![self.proof()],
        });
        Shell {
            base: Some("/".to_owned()),
            user: self.session.as_ref().map(Session::actor),
            account,
            nonce: Some(self.nonce.clone()),
            ..Shell::default()
        }
    }

    /// The frame of a page that follows what happens.
    pub fn live(&self) -> Shell {
        let events = Events {
            address: "/events".to_owned(),
            script: String::new(),
            script_address: Some("/live.js".to_owned()),
        };
        Shell { events: Some(events), ..self.shell() }
    }

    /// The hidden field of every form.
    pub fn proof(&self) -> Field {
        Field { name: "proof".to_owned(), value: self.proof.clone() }
    }

    /// The environments that may be seen; none: all.
    pub fn environments(&self) -> Option<Vec<String>> {
        self.session.as_ref().map(|session| session.key.environments.clone()).filter(|names| !names.is_empty())
    }

    /// Refuses what did not come from a page of the console: browsers say where a form was sent from.
    pub fn check_origin(&self, request: &Request) -> Result<(), Fault> {
        let header = |name: HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        let is_own = match header(ORIGIN) {
            Some(origin) if !self.config.console_url.is_empty() => origin == self.config.console_url,
            Some(origin) => {
                let asked = request.uri().authority().map(|authority| authority.as_str()).or_else(|| header(HOST));
                origin.split_once("://").is_some_and(|(_, host)| Some(host) == asked)
            }
            None => header(HeaderName::from_static("sec-fetch-site")) == Some("same-origin"),
        };
        let why = "The form was not sent from a page of this console. \
            Behind a proxy, console.url must be the address that browsers see.";
        if is_own { Ok(()) } else { Err(Fault::Forbidden(why.to_owned())) }
    }

    /// The form that was sent, if it is of a page of this session.
    pub async fn form(&self, console: &Console, request: Request) -> Result<String, Fault> {
        self.check_origin(&request)?;
        let body = web::read(request.into_body(), FORM, self.config.body_timeout).await.map_err(Fault::of_body)?;
        let form = String::from_utf8_lossy(&body).into_owned();
        let proof = web::parameter(Some(&form), "proof").unwrap_or_default();
        let is_proven = self.session.as_ref().is_some_and(|session| console.sessions.is_proven(session, &proof));
        let why = "The form is not of this session: it was made before you logged in, or on another site.";
        if is_proven { Ok(form) } else { Err(Fault::Forbidden(why.to_owned())) }
    }

    /// A cookie that scripts cannot read and other sites cannot send; an age of 0 takes it away.
    pub fn cookie(&self, name: &str, value: &str, seconds: u64) -> String {
        let is_encrypted = self.config.console_url.starts_with("https://") || self.config.tls_cert.is_some();
        let secure = if is_encrypted { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
    }
}
