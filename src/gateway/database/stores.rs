//! The databases that store telemetry: that of `database.url`, or the nodes that are listed.

use std::fmt::Write;

use tokio_postgres::config::Host;

use super::{Database, Problem, check, describe};
use crate::config::{Config, without_password};
use crate::log;

/// Where telemetry is stored. The error names the node that is wrong, without its password.
pub fn stores(config: &Config) -> Result<Vec<Database>, String> {
    let ca = config.database_ca.as_deref();
    if config.nodes.is_empty() {
        return Ok(vec![Database::new(&config.database_url, ca)?]);
    }
    let mut stores: Vec<Database> = Vec::new();
    for url in &config.nodes {
        let shown = without_password(url);
        let store = Database::new(url, ca).map_err(|problem| format!("database.nodes: {shown}: {problem}"))?;
        if stores.iter().any(|known| known.place() == store.place()) {
            return Err(format!("database.nodes: {} is there twice; a node is listed once", store.place()));
        }
        stores.push(store);
    }
    Ok(stores)
}

/// Asks each node whether it is one for this gateway. One that is away may come back; one that is unfit is an error.
pub async fn check_nodes(config: &Config) -> Result<(), String> {
    if config.nodes.is_empty() {
        return Ok(());
    }
    for store in stores(config)? {
        let found = match store.connect().await {
            Ok((client, driver)) => {
                let driver = tokio::spawn(driver);
                let found = check(&client, "", false).await;
                driver.abort();
                found.map(drop)
            }
            Err(error) => Err(Problem::Away(describe(&error))),
        };
        match found {
            Ok(()) => {}
            Err(Problem::Unfit(problem)) => return Err(format!("database.nodes: {}: {problem}", store.place())),
            Err(Problem::Away(problem)) => {
                log::warn("a node is away at the start", &[("node", &store.place()), ("error", &problem)]);
            }
        }
    }
    Ok(())
}

impl Database {
    /// Its hosts, port and name, by which nodes are told apart: who logs in is no part of it.
    pub fn place(&self) -> String {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let hosts: Vec<String> = if self.config.get_hosts().is_empty() {
            self.config.get_hostaddrs().iter().map(ToString::to_string).collect()
        } else {
            hosts.collect()
        };
        let ports = self.config.get_ports();
        let mut place = String::new();
        for (n, host) in hosts.iter().enumerate() {
            // One port is that of all hosts.
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(5432);
            let _ = write!(place, "{}{host}:{port}", if n == 0 { "" } else { "," });
        }
        format!("{place}/{}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(nodes: &[&str]) -> Result<Vec<String>, String> {
        let nodes = nodes.iter().map(|node| (*node).to_owned()).collect();
        let config = Config { database_url: "postgresql://h/main".to_owned(), nodes, ..Config::default() };
        stores(&config).map(|stores| stores.iter().map(Database::place).collect())
    }

    #[test]
    fn without_nodes_there_is_one_store() {
        assert_eq!(of(&[]).unwrap(), ["h:5432/main"]);
        assert_eq!(
            of(&["postgresql://a:pw@eu-1/shop", "postgresql://a@eu-2:1,eu-3:2/shop", "postgresql://a@%2Ftmp:7/x"])
                .unwrap(),
            ["eu-1:5432/shop", "eu-2:1,eu-3:2/shop", "/tmp:7/x"]
        );
    }

    #[test]
    fn mistakes_name_the_node_and_no_password() {
        for (nodes, told) in [
            (["postgresql://a:s3cret@h/d", "postgresql://b:other@h:5432/d"], "h:5432/d is there twice"),
            (
                ["postgresql://a@h/d", "postgresql://a:s3cret@h:port/d"],
                "postgresql://a@h:port/d: not a URL of PostgreSQL",
            ),
            (["postgresql://a@h/d", "postgresql://a:s3cret@/d"], "postgresql://a@/d: the URL names no host"),
        ] {
            let problem = of(&nodes).unwrap_err();
            assert!(problem.starts_with("database.nodes: ") && problem.contains(told), "{problem}");
            assert!(!problem.contains("s3cret"), "{problem}");
        }
    }
}
