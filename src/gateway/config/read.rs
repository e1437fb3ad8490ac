//! The three sources of the configuration, and what the command line asks for.

use std::path::PathBuf;

use super::{Config, KEYS};
use crate::auth::{Key, generate};
use crate::deliver::Sink;

/// What is to be done.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Run(Box<Config>),
    /// Show the effective configuration.
    Check(Box<Config>),
    /// Print a text, and end.
    Print(String),
}

/// The beginning of `--help`.
pub const HELP: &str = "flagscope-gateway: OpenFeature flags out of, and OpenTelemetry into, a PostgreSQL with flagscope

flagscope-gateway [--config FILE] [--check] [--KEY VALUE ...]
  --config FILE   a TOML file (FLAGSCOPE_GATEWAY_CONFIG)
  --check         show the configuration as it is in effect, without secrets, and end
  --version       show the version, and end
flagscope-gateway key new
                  makes an API key, and shows it with the line for auth.keys

In the file only: auth.keys and deliver.sinks, each a list of tables; see the manual.
Keys, each also as FLAGSCOPE_GATEWAY_SECTION_NAME; an argument counts more than the environment, and that more than the file:
";

/// Reads arguments, environment and file. The error is a sentence for the one who started it.
pub fn read(
    arguments: impl IntoIterator<Item = String>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Command, String> {
    let arguments: Vec<String> = arguments.into_iter().collect();
    if arguments == ["key", "new"] {
        let (key, line) = generate()?;
        let text = "the key, shown once; in [auth] of the configuration, in keys = [...]:";
        return Ok(Command::Print(format!("{key}\n# {text}\n{line}\n")));
    }
    let given = Given::read(arguments)?;
    if given.help {
        return Ok(Command::Print(help()));
    }
    if given.version {
        return Ok(Command::Print(format!("flagscope-gateway {}\n", env!("CARGO_PKG_VERSION"))));
    }
    let mut config = Config { database_url: environment("DATABASE_URL").unwrap_or_default(), ..Config::default() };
    let file = given.file.or_else(|| environment("FLAGSCOPE_GATEWAY_CONFIG").map(PathBuf::from));
    if let Some(path) = file {
        let text = std::fs::read_to_string(&path).map_err(|problem| format!("{}: {problem}", path.display()))?;
        from_file(&mut config, &text, &environment).map_err(|problem| format!("{}: {problem}", path.display()))?;
    }
    for key in KEYS {
        let variable = format!("FLAGSCOPE_GATEWAY_{}", key.name.replace('.', "_").to_uppercase());
        if let Some(text) = environment(&variable) {
            (key.set)(&mut config, text.trim()).map_err(|problem| format!("{variable}: {problem}"))?;
        }
    }
    for (name, text) in given.keys {
        set(&mut config, &name, &text).map_err(|problem| format!("--{problem}"))?;
    }
    config.check()?;
    Ok(if given.check { Command::Check(Box::new(config)) } else { Command::Run(Box::new(config)) })
}

#[derive(Default)]
struct Given {
    file: Option<PathBuf>,
    check: bool,
    help: bool,
    version: bool,
    keys: Vec<(String, String)>,
}

impl Given {
    fn read(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut given = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => given.help = true,
                "--version" | "-V" => given.version = true,
                "--check" => given.check = true,
                _ => {
                    let name = argument.strip_prefix("--").ok_or_else(|| unknown(&argument))?;
                    let (name, value) = match name.split_once('=') {
                        Some((name, value)) => (name, Some(value.to_owned())),
                        None => (name, arguments.next()),
                    };
                    let value = value.ok_or_else(|| format!("--{name} needs a value"))?;
                    match name {
                        "config" => given.file = Some(PathBuf::from(value)),
                        name => given.keys.push((name.to_owned(), value)),
                    }
                }
            }
        }
        Ok(given)
    }
}

fn unknown(argument: &str) -> String {
    format!("unknown argument {argument}; see flagscope-gateway --help")
}

fn set(config: &mut Config, name: &str, text: &str) -> Result<(), String> {
    let key = KEYS.iter().find(|key| key.name == name).ok_or_else(|| format!("{name} is no key; see --help"))?;
    (key.set)(config, text.trim()).map_err(|problem| format!("{name}: {problem}"))
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

fn from_file(config: &mut Config, text: &str, environment: Environment) -> Result<(), String> {
    let table: toml::Table = text.parse().map_err(|problem: toml::de::Error| problem.to_string())?;
    flat(config, "", &table, environment)
}

fn flat(config: &mut Config, above: &str, table: &toml::Table, environment: Environment) -> Result<(), String> {
    for (key, value) in table {
        let name = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        match value {
            keys if name == "auth.keys" => config.keys = Key::read_all(keys)?,
            sinks if name == "deliver.sinks" => config.sinks = Sink::read_all(sinks, environment)?,
            toml::Value::Table(inner) => flat(config, &name, inner, environment)?,
            value => set(config, &name, &text_of(&name, value)?)?,
        }
    }
    Ok(())
}

fn text_of(name: &str, value: &toml::Value) -> Result<String, String> {
    Ok(match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(value) => value.to_string(),
        toml::Value::Array(items) => {
            items.iter().map(|item| text_of(name, item)).collect::<Result<Vec<_>, _>>()?.join(",")
        }
        _ => return Err(format!("{name}: neither a text, a number nor a list of them")),
    })
}

fn help() -> String {
    let default = Config::default();
    KEYS.iter().fold(HELP.to_owned(), |text, key| {
        let shown = (key.show)(&default);
        let shown = if shown.is_empty() { String::new() } else { format!(" ({shown})") };
        text + &format!("  --{:<27} {}{shown}\n", key.name, key.meaning)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Config, String> {
        let find = |name: &str| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        match read(arguments.iter().map(|a| (*a).to_owned()), find)? {
            Command::Run(config) | Command::Check(config) => Ok(*config),
            Command::Print(text) => Err(text),
        }
    }

    #[test]
    fn an_argument_counts_more_than_the_environment() {
        let environment = [("DATABASE_URL", "postgresql://h/d"), ("FLAGSCOPE_GATEWAY_FLAGS_POLL", "5s")];
        assert_eq!(run(&[], &environment).unwrap().poll.as_secs(), 5);
        assert_eq!(run(&["--flags.poll", "7s"], &environment).unwrap().poll.as_secs(), 7);
        assert_eq!(run(&["--flags.poll=8s"], &environment).unwrap().database_url, "postgresql://h/d");
    }

    #[test]
    fn a_file_is_read_key_by_key() {
        let mut config = Config::default();
        let text = "environment = ['staging', 'b']\n[listen]\nofrep = ['0.0.0.0:80', '[::]:80']\n[limits]\nconnections = 5\n";
        from_file(&mut config, text, &|_| None).unwrap();
        assert_eq!(
            (config.environments.join("+"), config.ofrep.len(), config.connections),
            ("staging+b".to_owned(), 2, 5)
        );
        let problem = |text| from_file(&mut Config::default(), text, &|_| None).unwrap_err();
        assert_eq!(problem("[flags]\npol = '1s'"), "flags.pol is no key; see --help");
        assert!(problem("flags = [").contains("line 1"));
    }

    #[test]
    fn mistakes_are_told() {
        let url = [("DATABASE_URL", "postgresql://h/d")];
        assert!(run(&[], &[]).unwrap_err().starts_with("database.url is missing"));
        assert_eq!(run(&["--flags.poll", "0s"], &url).unwrap_err(), "--flags.poll: must be longer than 0");
        assert_eq!(run(&["--flags.poll"], &url).unwrap_err(), "--flags.poll needs a value");
        assert_eq!(run(&["serve"], &url).unwrap_err(), "unknown argument serve; see flagscope-gateway --help");
        assert!(run(&["--listen.ofrep", "nowhere"], &url).unwrap_err().starts_with("listen.ofrep: "));
        assert!(run(&["--help"], &[]).unwrap_err().contains("--flags.snapshot"));
    }
}
