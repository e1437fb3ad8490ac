//! Whether a database is one for this gateway: it has the extension, in the version that the gateway was made for, and the
//! role may read the flags.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::describe;

/// Why a database does not serve.
#[derive(Debug)]
pub enum Problem {
    /// It may do so later: it is away, or busy.
    Away(String),
    /// Somebody has to change it; the text says how.
    Unfit(String),
}

/// Checks it, and gives the key of the environment that was asked for.
pub async fn check(client: &Client, environment: &str, delivers: bool) -> Result<String, Problem> {
    let away = |error: tokio_postgres::Error| Problem::Away(describe(&error));
    let row = client
        .query_one(
            "SELECT pg_catalog.current_database()::text, current_user::text,
                (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'flagscope')",
            &[],
        )
        .await
        .map_err(away)?;
    let (database, role, version): (String, String, Option<String>) =
        (row.try_get(0).map_err(away)?, row.try_get(1).map_err(away)?, row.try_get(2).map_err(away)?);
    fits(&database, version.as_deref()).map_err(Problem::Unfit)?;
    if delivers {
        let query = "SELECT pg_catalog.has_function_privilege(
            'flagscope.take_deliveries(text, integer, interval)'::regprocedure, 'EXECUTE')";
        let may = client.query_one(query, &[]).await.map_err(|error| explain(&error, &role))?;
        if !may.try_get::<_, bool>(0).map_err(away)? {
            return Err(Problem::Unfit(format!(
                "role \"{role}\" may not deliver notifications to deliver.sinks. As a superuser: \
                SELECT flagscope.grant_deliverer('{role}');"
            )));
        }
    }
    let asked = Some(environment).filter(|name| !name.is_empty());
    let found = client.query_one("SELECT key FROM flagscope.flag_set($1)", &[&asked]).await;
    let row = found.map_err(|error| explain(&error, &role))?;
    row.try_get(0).map_err(away)
}

fn fits(database: &str, version: Option<&str>) -> Result<(), String> {
    let wanted = env!("CARGO_PKG_VERSION");
    match version {
        None => Err(format!(
            "database \"{database}\" has no extension flagscope. As a superuser, in it: CREATE EXTENSION flagscope; \
            where that fails, make install puts flagscope into the server"
        )),
        Some(version) if version != wanted => Err(format!(
            "database \"{database}\" has flagscope {version}, and this gateway is of {wanted}. Install {wanted} and \
            run in it: ALTER EXTENSION flagscope UPDATE TO '{wanted}'; or take the gateway of {version}"
        )),
        Some(_) => Ok(()),
    }
}

fn explain(error: &tokio_postgres::Error, role: &str) -> Problem {
    let told = describe(error);
    match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Problem::Unfit(format!(
            "role \"{role}\" may not read the flags: {told}. As a superuser: SELECT flagscope.grant_writer('{role}');"
        )),
        Some(&SqlState::UNDEFINED_OBJECT) => Problem::Unfit(told),
        Some(&SqlState::UNDEFINED_FUNCTION) => Problem::Unfit(format!(
            "the extension is of another build than this gateway: {told}. Install both of one release"
        )),
        _ => Problem::Away(told),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_must_be_ours() {
        assert_eq!(fits("shop", Some(env!("CARGO_PKG_VERSION"))), Ok(()));
        assert!(fits("shop", None).unwrap_err().contains("CREATE EXTENSION flagscope;"));
        assert!(fits("shop", Some("0.0.1")).unwrap_err().contains("ALTER EXTENSION flagscope UPDATE TO"));
    }
}
