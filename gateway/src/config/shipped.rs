//! The files in `config/` against the reader: they load as they stand, and the example leaves no key out.

use std::fs;
use std::path::Path;

use super::{Mistakes, parse};

fn nothing(_name: &str) -> Option<String> {
    None
}

/// The files that are shipped, `gateway*.toml` of them: the others are read by other programs.
fn shipped() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let mut files: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("gateway")))
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A line such as `#ttl = 60` or `#[[service]]`, without its `#`; other lines as they are.
fn uncommented(line: &str) -> &str {
    match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') => rest,
        _ => line,
    }
}

#[test]
fn shipped_files_load_as_they_stand() {
    for (path, text) in shipped() {
        match parse(&text, Path::new(&path), &nothing) {
            Ok(settings) => assert!(settings.warnings.is_empty(), "{}", Mistakes(settings.warnings)),
            Err(mistakes) => panic!("{mistakes}"),
        }
    }
}

#[test]
fn what_shipped_files_show_in_comments_is_right_but_for_the_files_it_names() {
    for (path, text) in shipped() {
        let all: Vec<&str> = text.lines().map(uncommented).collect();
        let Err(Mistakes(mistakes)) = parse(&all.join("\n"), Path::new(&path), &nothing) else {
            panic!("the files it names are not there")
        };
        let known = [
            "master_key_file, master_key_env and master_key_credential stand side by side",
            "self_signed stands beside cert_file and key_file",
        ];
        for mistake in mistakes {
            let is_known = known.contains(&&*mistake.found) || mistake.found.contains("No such file");
            assert!(is_known, "{mistake}");
        }
    }
}

#[test]
fn the_example_shows_every_key() {
    let (_, text) = shipped().into_iter().find(|(path, _)| path.ends_with("gateway.example.toml")).unwrap();
    let lines: Vec<&str> = text.lines().map(uncommented).collect();
    for title in
        ["[server]", "[tls]", "[dns]", "[limits]", "[policy]", "[[zone]]", "[[service]]", "[[host]]", "[[device]]"]
    {
        // Asked with a key that is near to none, a section lists all it takes.
        let Err(Mistakes(mistakes)) = parse(&format!("{title}\nqqqqqqqq = 1\n"), Path::new("gateway.toml"), &nothing)
        else {
            panic!("{title}")
        };
        let hint =
            mistakes.iter().find(|mistake| mistake.found.contains("qqqqqqqq")).map(|mistake| mistake.hint.as_str());
        let Some((_, keys)) = hint.and_then(|hint| hint.split_once(" takes ")) else { panic!("{title}: {hint:?}") };
        for key in keys.replace(" and ", ", ").split(", ").filter(|key| *key != "acme") {
            let start = format!("{key} = ");
            // Some sections stand several times.
            let sections = lines.split(|line| line.starts_with('[')).skip(1);
            let titles = lines.iter().filter(|line| line.starts_with('['));
            let is_shown = titles
                .zip(sections)
                .filter(|(found, _)| **found == title)
                .any(|(_, section)| section.iter().any(|line| line.starts_with(&start)));
            assert!(is_shown, "{title} {key}");
        }
    }
}
