//! The program: arguments, runtime, signals. See `lib.rs` for what it does.

use std::process::ExitCode;

use flagscope_gateway::config::{Command, Config, KEYS, read};
use flagscope_gateway::{Running, log, start};
use tokio::signal::unix::{SignalKind, signal};

/// What somebody has to change before it can serve.
const MISCONFIGURED: u8 = 2;

fn command() -> Result<Command, String> {
    read(std::env::args().skip(1), |name| std::env::var(name).ok())
}

/// The configuration as its sources say it by now.
fn configuration() -> Result<Config, String> {
    match command()? {
        Command::Run(config) => Ok(*config),
        // Arguments stay as they were when it was started.
        Command::Check(_) | Command::Print(_) => Err("it was not started to serve".to_owned()),
    }
}

fn main() -> ExitCode {
    match command() {
        Err(problem) => fail(&problem),
        Ok(Command::Print(text)) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Ok(Command::Check(config)) => {
            for key in KEYS {
                println!("{} = {:?}", key.name, (key.show)(&config));
            }
            println!("auth.keys = {:?}", config.keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>());
            println!("deliver.sinks = {:?}", config.sinks.iter().map(|sink| sink.name.as_str()).collect::<Vec<_>>());
            ExitCode::SUCCESS
        }
        Ok(Command::Run(config)) => {
            log::set_up(config.log_level, config.log_json);
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(config.threads).enable_all().build();
            match runtime {
                Ok(runtime) => {
                    let code = runtime.block_on(run(*config));
                    // Threads that still work for a request that was given up are not waited for.
                    runtime.shutdown_background();
                    code
                }
                Err(problem) => fail(&problem.to_string()),
            }
        }
    }
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("flagscope-gateway: {problem}");
    ExitCode::from(MISCONFIGURED)
}

async fn run(config: Config) -> ExitCode {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut interrupt), Ok(mut hangup)) = signals else {
        return fail("signals cannot be received");
    };
    let running = tokio::select! {
        running = start(config) => match running {
            Ok(running) => running,
            Err(problem) => return fail(&problem),
        },
        _ = term.recv() => return ExitCode::SUCCESS,
        _ = interrupt.recv() => return ExitCode::SUCCESS,
    };
    let addresses: Vec<String> = running.bound.iter().map(ToString::to_string).collect();
    log::info("listening", &[("addresses", &addresses.join(","))]);
    loop {
        tokio::select! {
            _ = term.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => running.reload(configuration()),
        }
    }
    log::info("ending", &[]);
    tokio::select! {
        () = end(&running) => {}
        // A second signal ends at once.
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    ExitCode::SUCCESS
}

async fn end(running: &Running) {
    running.announce_end();
    tokio::time::sleep(running.delay()).await;
    running.drain().await;
}
