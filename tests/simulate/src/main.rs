//! `make simulate`: play all cells and print one table beside the targets; `--cost` measures one increment of each test.

use std::time::Instant;

use flagscope_simulate::cells::all;
use flagscope_simulate::table::{play, row};

mod cost;

const USAGE: &str = "simulate [--runs PART] [--only TEXT] [--seed N] [--threads N] [--cost]
  --runs PART  this part of each cell's rollouts, 0.1 for a tenth
  --only TEXT  cells whose name contains the text
  --cost       what one increment of each test costs, and nothing else";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut part, mut only, mut seed) = (1.0_f64, String::new(), 1_u64);
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    while let Some(argument) = arguments.next() {
        if argument == "--cost" {
            return cost::measure();
        }
        let value = arguments.next().unwrap_or_default();
        let good = match argument.as_str() {
            "--runs" => value.parse().map(|x| part = x).is_ok(),
            "--only" => {
                only = value;
                true
            }
            "--seed" => value.parse().map(|x| seed = x).is_ok(),
            "--threads" => value.parse().map(|x| threads = x).is_ok(),
            _ => false,
        };
        if !good {
            eprintln!("{USAGE}");
            std::process::exit(2);
        }
    }
    run(part, &only, seed, threads);
}

fn run(part: f64, only: &str, seed: u64, threads: usize) {
    println!("| cell | aim | flagscope | others on the same draws |\n|---|---|---|---|");
    let (begun, mut missed, mut cells) = (Instant::now(), 0, 0);
    for (index, cell) in all().iter().enumerate().filter(|(_, c)| c.name.contains(only)) {
        let runs = ((cell.runs as f64 * part) as usize).max(20);
        let (text, met) = row(cell, &play(cell, index, runs, seed, threads));
        println!("{text}");
        cells += 1;
        missed += usize::from(!met);
    }
    let seconds = begun.elapsed().as_secs();
    println!("\n{cells} cells, {missed} with a missed target; seed {seed}, {threads} threads, {seconds} s");
}
