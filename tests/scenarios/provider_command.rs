//! `nicgate provider list` and `nicgate provider test`, as an operator types them.

use std::process::Command;

use nicgate_tests::fake::cloudflare::{Cloudflare, TOKEN};
use nicgate_tests::fake::{Fake, Record};
use nicgate_tests::program::Site;
use nicgate_tests::{Folder, configuration_text, program, run, text};
use serde_json::{Value, json};

fn provider(words: &[&str]) -> (Option<i32>, String) {
    let output = run(Command::new(program("nicgate")).arg("provider").args(words));
    (output.status.code(), text(&output))
}

/// `provider test` with a fake, a second provider that cannot be asked, and one that no zone uses.
fn test(fake: &Fake, token: &str, words: &[&str]) -> (Option<i32>, String) {
    let sections = format!(
        r#"
[[provider]]
name = "cloud"
type = "cloudflare"
endpoint = "{}"
api_token = "{token}"

[[provider]]
name = "duck"
type = "duckdns"
endpoint = "{}"
token = "a-token-of-its-own"

[[provider]]
name = "idle"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["cloud", "duck"]

[[zone]]
name = "lan.home.test"
providers = ["cloud"]
"#,
        fake.endpoint(),
        fake.endpoint()
    );
    let folder = Folder::new("provider-test");
    let file = folder.path().join("gateway.toml");
    nicgate::http::tls::development_ca(folder.path(), &["localhost".to_owned()]).unwrap();
    std::fs::write(&file, configuration_text(&sections)).unwrap();
    let file = file.display().to_string();
    provider(&[&["test"], words, &["--config", &file]].concat())
}

#[test]
fn the_list_explains_every_type_and_every_key() {
    let (code, list) = provider(&["list"]);
    assert_eq!(code, Some(0));
    let (code, json) = provider(&["list", "--json"]);
    assert_eq!(code, Some(0));
    let kinds: Vec<Value> = serde_json::from_str(&json).unwrap();
    assert!(kinds.len() > 30, "{}", kinds.len());
    for kind in &kinds {
        assert!(list.lines().any(|line| kind["type"] == line), "{}", kind["type"]);
        for key in kind["keys"].as_array().unwrap() {
            assert!(list.contains(key["about"].as_str().unwrap()), "{key}");
        }
    }
    let common = list.lines().find(|line| line.starts_with("Every type also takes")).unwrap();
    let takes = |key: &&str| common.replace(['.', ','], " ").split_whitespace().any(|word| word == *key);
    assert!(nicgate::provider::COMMON_KEYS.iter().filter(|key| **key != "type").all(takes), "{common}");
    let (_, one) = provider(&["list", "route53"]);
    assert!(one.contains("secret_access_key") && !one.contains("cloudflare"), "{one}");
    let (code, said) = provider(&["list", "carrier-pigeon"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("there is no type \"carrier-pigeon\""), "{said}");
}

#[test]
fn a_test_reads_and_changes_nothing() {
    let fake = Fake::start_apart(Cloudflare::default());
    fake.put_by_hand(Record {
        id: 0,
        hostname: "nas.home.test".into(),
        record_type: "A".into(),
        content: "192.0.2.7".into(),
        ttl: 300,
        extra: json!({}),
    });
    let (code, said) = test(&fake, TOKEN, &["cloud"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("home.test: the credential is accepted, the zone is there"), "{said}");
    assert!(said.contains("lan.home.test: the credential is accepted, the zone is there (as home.test)"), "{said}");
    let (code, said) = test(&fake, TOKEN, &["cloud", "--host", "nas.home.test", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    let findings: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&findings[0]["result"], &findings[0]["addresses"]), (&json!("readable"), &json!(["192.0.2.7"])));
    let calls = fake.calls();
    assert!(calls.iter().all(|call| call.starts_with("GET ")), "{calls:?}");
    assert_eq!(fake.mistakes(), [""; 0]);
}

#[test]
fn a_test_says_what_is_missing() {
    let fake = Fake::start_apart(Cloudflare::of("other.test"));
    let (code, said) = test(&fake, TOKEN, &["cloud"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("provider_no_zone") && said.contains("Zone - Zone - Read"), "{said}");
    let (code, said) = test(&fake, "wrong-token-9876543210", &["cloud"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("provider_auth") && said.contains("check api_token") && !said.contains("9876"), "{said}");
    fake.goes_down();
    let (code, said) = test(&fake, TOKEN, &["cloud"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("provider_down"), "{said}");
    let (code, said) = test(&fake, TOKEN, &["duck"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("cannot be asked without changing something"), "{said}");
    let (code, said) = test(&fake, TOKEN, &["idle"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no zone uses \"idle\""), "{said}");
    let (code, said) = test(&fake, TOKEN, &["cluod"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("no provider \"cluod\"; it has cloud, duck, idle"), "{said}");
}

#[test]
fn a_test_works_beside_the_running_gateway() {
    let fake = Fake::start_apart(Cloudflare::default());
    let sections = format!(
        "[[provider]]\nname = \"cloud\"\ntype = \"cloudflare\"\nendpoint = \"{}\"\napi_token = \"{TOKEN}\"\n\
         [[zone]]\nname = \"home.test\"\nproviders = [\"cloud\"]\n",
        fake.endpoint()
    );
    let site = Site::new("provider-beside", &sections);
    let served = site.serve();
    let (code, said) = provider(&["test", "cloud", "--config", &site.configuration().display().to_string()]);
    assert_eq!(code, Some(0), "{said}");
    drop(served);
}

#[test]
fn every_type_has_its_page_and_its_rows_and_every_key_is_explained() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_default();
    let (readme, overview) = (read("README.md"), read("docs/providers.md"));
    for kind in nicgate::provider::KINDS.iter().filter(|kind| kind.word != "embedded") {
        let word = kind.word;
        let row = readme.lines().find(|line| line.starts_with(&format!("| [`{word}`](docs/providers/{word}.md) |")));
        let row = row.unwrap_or_else(|| panic!("README.md has no row for {word}"));
        assert!(overview.contains(&format!("| `{word}` | [")), "docs/providers.md has no row for {word}");
        let page = read(&format!("docs/providers/{word}.md"));
        for key in kind.keys {
            let name = format!("`{}`", key.name);
            assert!(row.contains(&name), "README.md, {word}: {name} is missing");
            assert!(page.contains(&name), "docs/providers/{word}.md: {name} is missing");
        }
    }
}

#[test]
fn what_the_pages_show_is_right_but_for_the_files_it_names() {
    let folder = Folder::new("pages");
    let file = folder.path().join("gateway.toml");
    let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/providers");
    let mut seen = 0;
    for page in std::fs::read_dir(pages).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&page).unwrap();
        for block in text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()) {
            let rest = "[server]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nself_signed = true\n";
            std::fs::write(&file, format!("{rest}{block}")).unwrap();
            let output = run(Command::new(program("nicgate")).args(["check", "--json", "--config"]).arg(&file));
            let said: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
            for mistake in said {
                // A warning in a file without mistakes; a secret's file in one with them.
                let found = mistake["found"].as_str().unwrap();
                let is_fine = output.status.success() || found.contains("No such file") || found.contains("not set");
                assert!(is_fine, "{}: {found}\n{block}", page.display());
            }
            seen += 1;
        }
    }
    assert!(seen >= 35, "{seen} examples");
}
