//! The floors of the house: who may know whom. Crates enforce most of it; what stands only between modules is read off
//! the sources here, and so is who may ask the system for time and chance.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file, without comments, texts in quotes and what is there for tests alone.
struct Source {
    /// From the root of the workspace.
    path: String,
    code: String,
}

impl Source {
    /// Which of `words` stand in it, as whole names.
    fn names<'a>(&self, words: &[&'a str]) -> Vec<&'a str> {
        let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
        let stands = |word: &&&str| {
            self.code.match_indices(**word).any(|(at, _)| {
                let (before, after) = (&self.code[..at], &self.code[at + word.len()..]);
                !before.ends_with(is_part) && !after.starts_with(is_part)
            })
        };
        words.iter().filter(stands).copied().collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The sources below a folder, or that one file.
fn sources(below: &str) -> Vec<Source> {
    fn walk(path: &Path, found: &mut Vec<PathBuf>) {
        if path.is_dir() {
            for entry in fs::read_dir(path).unwrap() {
                walk(&entry.unwrap().path(), found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_owned());
        }
    }
    let mut found = Vec::new();
    walk(&root().join(below), &mut found);
    found.sort();
    assert!(!found.is_empty(), "nothing at {below}");
    let is_test = |path: &&PathBuf| {
        let name = path.file_stem().map_or("", |name| name.to_str().unwrap());
        ["play", "rehearsal", "shipped", "simulation", "tests"].contains(&name)
    };
    let source = |path: &PathBuf| Source {
        path: path.strip_prefix(root()).unwrap().display().to_string(),
        code: code(&fs::read_to_string(path).unwrap()),
    };
    found.iter().filter(|path| !is_test(path)).map(source).collect()
}

/// A text up to its tests, without comments and what stands in quotes on one line.
fn code(text: &str) -> String {
    let production = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut code = String::new();
    for line in production.lines() {
        let mut is_quoted = false;
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if is_quoted => _ = letters.next(),
                '\'' if letters.peek() == Some(&'"') => _ = letters.next(),
                '"' => is_quoted = !is_quoted,
                '/' if !is_quoted && letters.peek() == Some(&'/') => break,
                letter if !is_quoted => code.push(letter),
                _ => {}
            }
        }
        code.push('\n');
    }
    code
}

/// Asserts that nobody in `all` but `but` names one of `words`, and that each exception is still one.
fn only(all: &[Source], words: &[&str], but: &[&str]) {
    let mut users = BTreeSet::new();
    for source in all {
        let named = source.names(words);
        if !named.is_empty() {
            assert!(but.contains(&&*source.path), "{} knows {named:?}", source.path);
            users.insert(&*source.path);
        }
    }
    for exception in but {
        assert!(users.contains(exception), "{exception} knows none of {words:?} and is no exception any more");
    }
}

/// All that is input or output: the network, files, programs, threads, the system's clocks and dice.
const OUTSIDE: [&str; 23] = [
    "tokio",
    "hyper",
    "hyper_util",
    "rustls",
    "tokio_rustls",
    "reqwest",
    "redb",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "ToSocketAddrs",
    "std::fs",
    "fs",
    "stdin",
    "stdout",
    "println",
    "std::env",
    "std::process",
    "std::thread",
    "thread",
    "SystemTime",
    "getrandom",
];

#[test]
fn judgement_and_words_touch_nothing_outside() {
    let of_client = [
        "client/src/choose.rs",
        "client/src/detect/claims.rs",
        "client/src/lease.rs",
        "client/src/reply.rs",
        "client/src/schedule",
        "client/src/task",
        "client/src/uplink.rs",
    ];
    for crate_sources in ["gateway/logic/src", "protocol/src"].into_iter().chain(of_client) {
        only(&sources(crate_sources), &OUTSIDE, &[]);
        only(&sources(crate_sources), &["async", "await"], &[]);
    }
}

#[test]
fn judgement_and_words_depend_on_nothing_that_does() {
    for (manifest, allowed) in [
        ("gateway/logic/Cargo.toml", &["bytes", "governor", "http", "ipnet", "nicgate-protocol"][..]),
        ("protocol/Cargo.toml", &["base64", "hkdf", "hmac", "http", "idna", "sfv", "sha2", "subtle", "zeroize"]),
    ] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let (_, after) = text.split_once("\n[dependencies]\n").unwrap();
        let lines = after.lines().take_while(|line| !line.starts_with('['));
        let names = lines.filter_map(|line| line.split(['.', ' ', '=']).next()).filter(|name| !name.is_empty());
        for name in names {
            assert!(allowed.contains(&name), "{manifest}: {name}");
        }
    }
}

#[test]
fn the_clock_itself_is_read_in_few_places() {
    let mut all = sources("gateway");
    all.extend(sources("protocol/src"));
    all.extend(sources("client/src"));
    let but = [
        "client/src/clock.rs",
        // tokio's, which stands still where a test wants it to: how long a source took, when to look again.
        "client/src/command/run.rs",
        "client/src/command/scheduled.rs",
        "client/src/detect/mod.rs",
        "gateway/src/clock.rs",
        // How long until a disk that failed is tried again; nobody outside sees it.
        "gateway/src/store/journal.rs",
    ];
    only(&all, &["SystemTime::now", "Instant::now"], &but);
}

#[test]
fn the_dice_themselves_are_rolled_in_few_places() {
    let mut all = sources("gateway");
    all.extend(sources("protocol/src"));
    all.extend(sources("client/src"));
    // TLS throws dice of its own.
    let rollers = ["client/src/entropy.rs", "client/src/tls.rs", "gateway/src/entropy.rs"];
    only(&all, &["getrandom", "rand", "OsRng", "SystemRandom"], &rollers);
    let but = [
        // Both salt hash tables, so that strangers cannot choose who shares a slot; no decision hangs on it.
        "gateway/logic/src/limits.rs",
        "gateway/src/store/memory.rs",
    ];
    only(&all, &["RandomState"], &but);
}

#[test]
fn providers_are_conversations_and_only_the_sender_touches_the_network() {
    only(
        &sources("gateway/src/provider"),
        &OUTSIDE,
        &["gateway/src/provider/send.rs", "gateway/src/provider/send/dns.rs"],
    );
}

#[test]
fn the_name_servers_wire_is_pure() {
    only(&sources("gateway/src/dns/wire.rs"), &OUTSIDE, &[]);
    only(&sources("gateway/src/dns/name.rs"), &OUTSIDE, &[]);
}

#[test]
fn gateway_and_client_meet_in_the_demo_alone() {
    only(&sources("gateway"), &["nicgate_client"], &["gateway/src/command/demo.rs"]);
    for (manifest, above) in [
        ("client/Cargo.toml", &["nicgate.", "nicgate-logic"][..]),
        ("protocol/Cargo.toml", &["nicgate.", "nicgate-logic", "nicgate-client"]),
        ("gateway/logic/Cargo.toml", &["nicgate.", "nicgate-client"]),
    ] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        for name in above {
            assert!(text.lines().all(|line| !line.starts_with(name)), "{manifest}: {name}");
        }
    }
}

#[test]
fn floors_look_down_and_never_up() {
    // Below the gateway's HTTP nobody knows HTTP's own things, and the DNS server knows no store.
    only(&sources("gateway/src/store"), &["crate::http", "crate::journey", "crate::provider", "crate::gateway"], &[]);
    only(&sources("gateway/src/provider"), &["crate::http", "crate::store", "crate::gateway"], &[]);
    only(&sources("gateway/src/dns"), &["crate::http", "crate::store", "crate::gateway"], &[]);
    only(&sources("gateway/src/config"), &["crate::store", "crate::gateway", "crate::http"], &[]);
    only(&sources("gateway/src/http"), &["crate::gateway", "crate::store", "crate::journey", "crate::config"], &[]);
}

#[test]
fn the_reader_of_sources_sees_what_matters() {
    let source = |text: &str| Source { path: "x.rs".into(), code: code(text) };
    assert_eq!(source("use tokio::net;").names(&["tokio"]), ["tokio"]);
    assert_eq!(source("let x = std::fs::read(y);").names(&OUTSIDE), ["std::fs", "fs"]);
    for text in ["// tokio", "let x = \"tokio\";", "use tokio_like::x;", "#[cfg(test)]\nmod tests {\n    use tokio::x;"]
    {
        assert!(source(text).names(&["tokio"]).is_empty(), "{text}");
    }
    assert_eq!(source("match x { '\"' => tokio::y, _ => z }").names(&["tokio"]), ["tokio"]);
}
