//! What an evaluation costs without PostgreSQL: the share of an SQL call that is the call itself is the rest.
//! `evaluate DOCUMENT` reads what `export_flagd()` gave; tests/bench/run does it.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use flagscope_core::targeting::{Flag, Session, evaluate, flagd};
use serde_json::json;

const TURNS: u32 = 1_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("evaluate DOCUMENT")?;
    let read = flagd::read(&serde_json::from_str(&std::fs::read_to_string(path)?)?).map_err(|e| e.message)?;
    let definitions = read.flags.into_iter().filter_map(|entry| entry.definition);
    let flags: HashMap<String, Arc<Flag>> =
        definitions.map(|d| (d.key.clone(), Arc::new(Flag::new(d, &read.segments, &read.metadata)))).collect();
    let context = json!({"email": "user-7@example.com", "age": 33, "country": "de"});
    for key in ["plain", "new-checkout", "targeted"] {
        let flag = flags.get(key).ok_or(key)?;
        let mut session = Session::new();
        let (mut treated, started) = (0_u32, Instant::now());
        for turn in 0..TURNS {
            let mut builder = session.begin(0);
            if key == "targeted" {
                builder.value(&context).map_err(|e| e.message)?;
            }
            let user = format!("user-{turn}");
            let context = builder.finish(Some(&user)).map_err(|e| e.message)?;
            let answer = evaluate(Some(flag), None, &context, &|_| None::<Arc<Flag>>);
            treated += u32::from(black_box(answer).variant == Some("on"));
        }
        let each = started.elapsed().as_nanos() / u128::from(TURNS);
        println!("{key},{each},{treated}");
    }
    Ok(())
}
