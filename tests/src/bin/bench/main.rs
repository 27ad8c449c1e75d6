//! The benchmark: the real programs, started, loaded and measured side by side. `tests/bench` builds and runs it.
//!
//! The load generator shares the machine with what it loads, so the anchor is the server's CPU time for each
//! operation; rates stand beside it. Contestants take turns, round by round, and what counts is the median of the
//! rounds' ratios: whatever else the machine does meanwhile falls on all of them alike.
//!
//! Nothing here is asserted but that the answers are right. A figure short of its aim is printed as such.
#![forbid(unsafe_code)]

mod bare;
mod changes;
mod client;
mod connections;
mod economy;
mod generator;
mod instructions;
mod keep_alive;
mod laboratory;
mod load;
mod million;
mod names;
mod process;
mod table;

use std::process::ExitCode;
use std::time::Duration;

use laboratory::Laboratory;
use table::Table;

/// How much is measured.
#[derive(Clone, Copy)]
struct Effort {
    /// How often each contestant has its turn.
    rounds: usize,
    /// How long a turn lasts.
    turn: Duration,
}

/// What a part is called, what it is about, and what measures it.
type Part = (&'static str, &'static str, fn(&Laboratory, Effort, &mut Table));

const PARTS: [Part; 8] = [
    ("a", "an update that changes nothing, over keep-alive", keep_alive::measure),
    ("b", "a new TLS 1.3 connection for each update", connections::measure),
    ("c", "durable changes from 64 connections", changes::measure),
    ("d", "a million hosts: requests, memory, start", million::measure),
    ("e", "the embedded name server and BIND", names::measure),
    ("p", "calls to each provider for a change, no change, a burst", economy::measure),
    ("u", "one update by the client, and by curl", client::measure),
    ("i", "instructions of an update, counted by callgrind", instructions::measure),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // What the benchmark starts of itself.
        ["bare", folder] => return bare::serve(folder.as_ref()),
        ["zone", count] => return million::hold_zone(count),
        _ => {}
    }
    let mut effort = Effort { rounds: 5, turn: Duration::from_secs(3) };
    let mut chosen = Vec::new();
    let mut rest = words.into_iter();
    while let Some(word) = rest.next() {
        let mut number = || rest.next().and_then(|text| text.parse().ok()).filter(|number| *number > 0);
        let is_understood = match word {
            "--rounds" => number().map(|rounds| effort.rounds = rounds).is_some(),
            "--seconds" => number().map(|seconds| effort.turn = Duration::from_secs(seconds as u64)).is_some(),
            _ => PARTS.iter().find(|(name, ..)| *name == word).map(|part| chosen.push(*part)).is_some(),
        };
        if !is_understood {
            eprintln!("usage: tests/bench [a] [b] [c] [d] [e] [p] [u] [i] [--rounds N] [--seconds N]");
            for (name, about, _) in PARTS {
                eprintln!("  {name}  {about}");
            }
            return ExitCode::from(2);
        }
    }
    if chosen.is_empty() {
        // Counting instructions takes a minute and says where time goes rather than how much: only when asked for.
        chosen.extend(PARTS.into_iter().filter(|(name, ..)| *name != "i"));
    }
    let laboratory = Laboratory::new();
    let mut table = Table::default();
    println!("{} rounds of {} s each, contestants in turn", effort.rounds, effort.turn.as_secs());
    for (name, about, measure) in chosen {
        println!("\n({name}) {about}");
        measure(&laboratory, effort, &mut table);
    }
    println!("\n{table}");
    ExitCode::SUCCESS
}
