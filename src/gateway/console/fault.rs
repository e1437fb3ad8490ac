//! Why there is no page, and the words for it.

use hyper::StatusCode;

use super::pool::Trouble;
use crate::web::Unread;

/// Why there is no page.
#[derive(Debug)]
pub enum Fault {
    /// Nobody is logged in: to the page where people do, and from there to a path.
    LogIn(String),
    /// A link on another site was followed: browsers keep the cookie back, and send it when our own page asks.
    Again,
    /// Nobody is logged in, and something was to be done.
    NoSession,
    /// There is no such thing, or not for this key.
    Unknown(String),
    /// It may not be done.
    Forbidden(String),
    /// The form is not complete; why.
    Form(String),
    /// The method is none of these.
    Method(&'static str),
    /// The body was not read.
    Body(StatusCode),
    /// The database gave no answer.
    Database(Trouble),
    /// A defect.
    Defect(String),
}

impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Self {
        Self::Database(trouble)
    }
}

impl Fault {
    /// Why a body was not read.
    pub fn of_body(unread: Unread) -> Self {
        Self::Body(match unread {
            Unread::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Unread::Late => StatusCode::REQUEST_TIMEOUT,
            Unread::Broken => StatusCode::BAD_REQUEST,
        })
    }

    /// Status, title, detail and what to do.
    pub fn words(&self) -> (StatusCode, &str, &str, &str) {
        match self {
            Self::LogIn(_) => (StatusCode::SEE_OTHER, "", "", ""),
            Self::Again => (StatusCode::OK, "One moment", "", "Reload this page if nothing happens."),
            Self::NoSession => {
                (StatusCode::UNAUTHORIZED, "You are not logged in", "Nothing was done.", "Log in, and try again.")
            }
            Self::Unknown(what) => {
                let hint = "It may have been deleted, or be in an environment that your key is not for.";
                (StatusCode::NOT_FOUND, what, "", hint)
            }
            Self::Forbidden(why) => (StatusCode::FORBIDDEN, "This was not done", why, ""),
            Self::Form(why) => (StatusCode::BAD_REQUEST, "This was not done", why, "Go back and complete the form."),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "This page cannot be asked for like that", "", ""),
            Self::Body(status) => (*status, "The form could not be read", "", "Try again."),
            Self::Database(Trouble::Away(why)) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "The database does not answer",
                why,
                "Nothing: this page tries again by itself. Flags are served from memory meanwhile, but no rollout is judged.",
            ),
            Self::Database(Trouble::Refused { code, message, hint }) => refused(code, message, hint),
            Self::Defect(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "This is a defect", "", "The gateway's log says more.")
            }
        }
    }
}

/// What the database refused: an operator's mistake, a right that the gateway's role lacks, or a defect of ours.
fn refused<'a>(code: &str, message: &'a str, hint: &'a str) -> (StatusCode, &'a str, &'a str, &'a str) {
    match code {
        "42501" | "3F000" | "42883" => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The gateway's role may not do this",
            message,
            "As a superuser: SELECT flagscope.grant_operator(ROLE), with the role of console.database_url.",
        ),
        "25006" => (StatusCode::SERVICE_UNAVAILABLE, "The database is read-only", message, hint),
        "XX000" => (StatusCode::INTERNAL_SERVER_ERROR, "The database has a defect", message, hint),
        _ => (StatusCode::CONFLICT, "This was not done", message, hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_database_refuses_has_a_status() {
        for (code, status) in [("55000", 409), ("22023", 409), ("42501", 503), ("25006", 503), ("XX000", 500)] {
            assert_eq!(refused(code, "m", "h").0.as_u16(), status, "{code}");
        }
    }
}
