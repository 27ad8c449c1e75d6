//! Whole files, and exactly what is said about them. Long because it is tables: a text, and the report it gets.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nicgate_logic::policy::AddressPolicy;
use nicgate_protocol::Hostname;

use super::*;

/// A file in which nothing is wrong.
const GOOD: &str = r#"[server]
listen = ["127.0.0.1:8443"]
[tls]
self_signed = true
[dns]
listen = ["127.0.0.1:5353"]
[[provider]]
name = "lab"
type = "embedded"
[[zone]]
name = "home.test"
providers = ["lab"]
[[device]]
id = "fritzbox"
hosts = ["home.home.test", "*.lan.home.test"]
"#;

fn nothing(_name: &str) -> Option<String> {
    None
}

fn read(text: &str) -> Result<Settings, Mistakes> {
    parse(text, Path::new("gateway.toml"), &nothing)
}

/// What is said about a text; nothing when it is right.
fn said(text: &str) -> String {
    read(text).err().map(|mistakes| mistakes.to_string()).unwrap_or_default()
}

/// The first line of each report.
fn heads(mistakes: &Mistakes) -> Vec<String> {
    mistakes.0.iter().map(|mistake| mistake.to_string().lines().next().unwrap_or_default().to_owned()).collect()
}

/// What is said about the good file with one text put in another's place, first lines only.
fn said_with(old: &str, new: &str) -> Vec<String> {
    assert!(GOOD.contains(old), "{old}");
    read(&GOOD.replacen(old, new, 1)).err().map(|mistakes| heads(&mistakes)).unwrap_or_default()
}

/// What is warned of in the good file with one text put in another's place.
fn warned_with(old: &str, new: &str) -> Vec<String> {
    assert!(GOOD.contains(old), "{old}");
    match read(&GOOD.replacen(old, new, 1)) {
        Ok(settings) => heads(&Mistakes(settings.warnings)),
        Err(mistakes) => panic!("{mistakes}"),
    }
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nicgate-config-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// What is said about a text in this folder, with the folder's own path left out.
    fn said(&self, text: &str) -> String {
        let mistakes = parse(text, &self.0.join("gateway.toml"), &nothing).err().unwrap_or(Mistakes(Vec::new()));
        mistakes.to_string().replace(&format!("{}/", self.0.display()), "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_mistake_shows_its_line_and_a_caret() {
    let text = format!(
        "{}# a comment\n{}",
        "\n".repeat(4),
        GOOD.replacen("[tls]", "data_dir = \"d\"\nreply_deadline = \"8 sec\"\n[tls]", 1)
    );
    assert_eq!(
        said(&text),
        "gateway.toml:9:18: reply_deadline is \"8 sec\"; write a number with s, m or h, for instance \"8s\"\n    \
         9 | reply_deadline = \"8 sec\"\n      |                  ^^^^^^^"
    );
}

#[test]
fn what_counts_from_the_next_start_on_is_known() {
    let folder = Folder::new("restart");
    let key = "0123456789abcdef".repeat(4);
    let file = folder.write("master.key", key);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let read = |text: &str| match parse(text, &folder.0.join("gateway.toml"), &nothing) {
        Ok(settings) => settings,
        Err(mistakes) => panic!("{mistakes}"),
    };
    let before = read(GOOD);
    for (key, what) in [
        ("plain_listen = [\"127.0.0.1:8080\"]", Some("[server] plain_listen")),
        ("trusted_proxies = [\"10.0.0.1\"]", Some("[server] trusted_proxies")),
        ("data_dir = \"other\"", Some("[server] data_dir")),
        ("max_connections = 7", Some("[server] max_connections")),
        ("max_connections_per_source = 7", Some("[server] max_connections_per_source")),
        ("log = \"human\"", Some("[server] log")),
        ("master_key_file = \"master.key\"", Some("the master key")),
        ("reply_deadline = \"3s\"", None),
        ("rotation_grace = \"1h\"", None),
        ("public_url = \"https://ddns.example.com\"", None),
    ] {
        let after = read(&GOOD.replacen("[server]\n", &format!("[server]\n{key}\n"), 1));
        assert_eq!(before.needs_restart(&after), what.into_iter().collect::<Vec<_>>(), "{key}");
    }
}

#[test]
fn a_public_url_is_one() {
    for (url, hint) in [
        ("https://ddns.example.com:8443/ddns", None),
        ("ddns.example.com", Some("write the gateway as a URL, for instance \"https://ddns.example.com\"")),
        ("http://ddns.example.com", Some("the scheme is \"https\" (\"http\" for loopback alone)")),
        ("https://ddns.example.com/?a=b", Some("a gateway's URL has no user name, no query and no fragment")),
    ] {
        let said = said_with("[server]\n", &format!("[server]\npublic_url = \"{url}\"\n"));
        let expected = hint.map(|hint| format!("gateway.toml:2:14: public_url is \"{url}\"; {hint}"));
        assert_eq!(said, Vec::from_iter(expected), "{url}");
    }
}

#[test]
fn settings_know_the_version_of_their_file() {
    let folder = Folder::new("stamp");
    let file = folder.write("gateway.toml", GOOD);
    let Ok(settings) = load(&file, &nothing) else { panic!("the good file is good") };
    assert!(settings.stamp.is_some() && settings.stamp == Stamp::of(&file));
    folder.write("gateway.toml", format!("{GOOD}\n"));
    assert_ne!(settings.stamp, Stamp::of(&file));
    assert_eq!(Stamp::of(&folder.0.join("none")), None);
}

#[test]
fn a_mistyped_type_is_recognised() {
    assert_eq!(
        said_with("type = \"embedded\"", "typ = \"embedded\"\ntoken = \"x\"\nurl = \"y\""),
        [
            "gateway.toml:7:1: [[provider]] has no type; write type = \"embedded\"",
            "gateway.toml:9:1: unknown key `typ`; did you mean `type`?",
        ]
    );
}

#[test]
fn all_mistakes_come_at_once_in_file_order() {
    let text = r#"[server]
lisen = ["127.0.0.1:8443"]
plain_listen = ["localhost:80"]
reply_deadline = "2m"
[[device]]
id = "fritz box"
hosts = ["home"]
profile = "clasic"
colour = "red"
[[provider]]
name = "lab"
type = "embeded"
[serve]
x = 1
[tls.acme]
email = "me@example.com"
"#;
    assert_eq!(
        said(text),
        r#"gateway.toml:2:1: unknown key `lisen`; did you mean `listen`?
    2 | lisen = ["127.0.0.1:8443"]
      | ^^^^^
gateway.toml:3:17: plain_listen holds "localhost:80"; write an address and a port, for instance "127.0.0.1:8443" or "[::]:8443"
    3 | plain_listen = ["localhost:80"]
      |                 ^^^^^^^^^^^^^^
gateway.toml:4:18: reply_deadline is "2m"; write at least "1s" and at most "60s"
    4 | reply_deadline = "2m"
      |                  ^^^^
gateway.toml:6:6: id is "fritz box"; a device id is 1 to 64 letters, digits, ".", "_" or "-"
    6 | id = "fritz box"
      |      ^^^^^^^^^^^
gateway.toml:7:10: hosts holds "home"; a full name has at least two labels, for instance "home.example.com"
    7 | hosts = ["home"]
      |          ^^^^^^
gateway.toml:8:11: profile is "clasic"; did you mean "classic"?
    8 | profile = "clasic"
      |           ^^^^^^^^
gateway.toml:9:1: unknown key `colour`; [[device]] takes id, hosts, profile, query_credentials, allow_plain and allow_delete
    9 | colour = "red"
      | ^^^^^^
gateway.toml:12:8: type is "embeded"; did you mean "embedded"?
   12 | type = "embeded"
      |        ^^^^^^^^^
gateway.toml:13:2: unknown section [serve]; did you mean [server]?
   13 | [serve]
      |  ^^^^^
gateway.toml:15:1: this version gets no certificates by itself; use cert_file and key_file with a tool such as certbot or lego; the files are read again when they change
   15 | [tls.acme]
      | ^^^^^^^^^^"#
    );
}

#[test]
fn what_is_no_toml_has_a_place_and_hides_no_other_mistake() {
    let text =
        "[server]\nlisten = [\"127.0.0.1:8443\"]\ndata_dir = here\nhttp2 = \"no\"\nlog = \"json\nlog = \"json\"\n";
    assert_eq!(
        said(text),
        r#"gateway.toml:3:12: this is no value; a text stands in quotes
    3 | data_dir = here
      |            ^^^^
gateway.toml:4:9: http2 is "no"; write true or false, without quotes
    4 | http2 = "no"
      |         ^^^^
gateway.toml:5:12: the text has no end; close it with "
    5 | log = "json
      |            ^
gateway.toml:6:1: `log` stands twice; keep one
    6 | log = "json"
      | ^^^"#
    );
}

#[test]
fn every_wrong_value_is_told_its_cure() {
    for (old, new, wanted) in [
        (
            "[\"127.0.0.1:8443\"]",
            "\"127.0.0.1:8443\"",
            "2:10: listen is \"127.0.0.1:8443\"; write a list: listen = [\"127.0.0.1:8443\"]",
        ),
        ("[\"127.0.0.1:8443\"]", "[8443]", "2:11: listen holds 8443; write a text in quotes: \"127.0.0.1:8443\""),
        ("[\"127.0.0.1:8443\"]", "[]", "1:1: there is nothing to listen on; write listen = [\"[::]:443\"] in [server]"),
        (
            "[tls]\nself_signed = true\n",
            "",
            ": listen speaks HTTPS, and there is no [tls]; add [tls] and write cert_file and key_file, or self_signed = true",
        ),
        (
            "self_signed = true",
            "self_signed = false",
            "3:1: [tls] has no certificate; write cert_file and key_file, or self_signed = true",
        ),
        (
            "self_signed = true",
            "self_signed = true\nnames = [\"my pc\"]",
            "5:10: names holds \"my pc\"; a label holds letters, digits, \"-\" and \"_\" (no \"-\" at its edges); only the first may be \"*\"",
        ),
        (
            "[tls]",
            "reply_deadline = 8\n[tls]",
            "3:18: reply_deadline is 8; write a number with s, m or h, for instance \"8s\"",
        ),
        (
            "[tls]",
            "max_connections = 0\n[tls]",
            "3:19: max_connections is 0; write a whole number from 1 to 1000000, without quotes",
        ),
        (
            "[tls]",
            "max_connections = \"9\"\n[tls]",
            "3:19: max_connections is \"9\"; write a whole number from 1 to 1000000, without quotes",
        ),
        ("[tls]", "data_dir = 7\n[tls]", "3:12: data_dir is 7; write a text in quotes"),
        ("[tls]", "log = \"text\"\n[tls]", "3:7: log is \"text\"; write \"json\" or \"human\""),
        (
            "[tls]",
            "trusted_proxies = [\"10.0.0.0/33\"]\n[tls]",
            "3:20: trusted_proxies holds \"10.0.0.0/33\"; write a network or an address, for instance \"10.0.0.0/8\" or \"192.0.2.1\"",
        ),
        (
            "[tls]",
            "trusted_proxies = [\"10.0.0.1\"]\nproxy_protocol = [\"127.0.0.1:81\"]\n[tls]",
            "4:19: proxy_protocol holds \"127.0.0.1:81\"; it names addresses that stand in listen or plain_listen too",
        ),
        (
            "[tls]",
            "proxy_protocol = [\"127.0.0.1:8443\"]\n[tls]",
            "3:18: proxy_protocol trusts nobody; name the proxies that may send the header in trusted_proxies",
        ),
        (
            "[tls]",
            "plain_listen = [\"127.0.0.1:8443\"]\n[tls]",
            "3:17: plain_listen \"127.0.0.1:8443\" stands twice; line 2 has it already",
        ),
        (
            "[dns]\nlisten = [\"127.0.0.1:5353\"]\n",
            "",
            "7:8: type is \"embedded\", and there is no [dns]; add [dns] with listen = [\"[::]:53\"]",
        ),
        (
            "[dns]",
            "[dns]\nnameserver_addresses = [\"ns1\"]",
            "6:25: nameserver_addresses holds \"ns1\"; write an IP address, for instance \"198.51.100.53\"",
        ),
        ("listen = [\"127.0.0.1:5353\"]", "", "5:1: [dns] has nothing to listen on; write listen = [\"[::]:53\"]"),
        ("[[provider]]", "[provider]", "7:1: provider is one section; there may be several: write [[provider]]"),
        ("[server]", "[[server]]", "1:1: server is several sections; write one section [server]"),
        ("name = \"lab\"\n", "", "7:1: [[provider]] has no name; write name = \"main\""),
        (
            "name = \"lab\"",
            "name = \"my lab\"",
            "8:8: name is \"my lab\"; a name is 1 to 64 letters, digits, \".\", \"_\" or \"-\"",
        ),
        (
            "type = \"embedded\"",
            "type = \"embedded\"\nttl = -1",
            "10:7: ttl is -1; write a whole number from 1 to 604800, without quotes",
        ),
        (
            "type = \"embedded\"",
            "type = \"embedded\"\nendpoint = \"127.0.0.1:9000\"",
            "10:12: endpoint is \"127.0.0.1:9000\"; write a URL, for instance \"https://api.example.com\"",
        ),
        (
            "[[zone]]",
            "[[provider]]\nname = \"lab\"\ntype = \"embedded\"\n[[zone]]",
            "11:8: provider \"lab\" stands twice; line 8 has it already",
        ),
        ("[\"lab\"]", "[\"labb\"]", "12:14: there is no provider \"labb\"; did you mean \"lab\"?"),
        ("[\"lab\"]", "[\"route66\"]", "12:14: there is no provider \"route66\"; write \"lab\""),
        ("[\"lab\"]", "[\"lab\", \"lab\"]", "12:21: provider \"lab\" stands twice; line 12 has it already"),
        ("[\"lab\"]", "[]", "12:13: the zone has no provider; write providers = [\"lab\"]"),
        ("providers = [\"lab\"]\n", "", "10:1: the zone has no provider; write providers = [\"lab\"]"),
        (
            "name = \"home.test\"",
            "name = \"*.home.test\"",
            "11:8: name is \"*.home.test\"; only a host may begin with \"*\"",
        ),
        (
            "[[device]]",
            "addresses = \"public\"\n[[device]]",
            "13:13: addresses is \"public\"; did you mean \"public-only\"?",
        ),
        (
            "[[device]]",
            "mailbox = \"a.b@home.test\"\n[[device]]",
            "13:11: mailbox is \"a.b@home.test\"; write it like \"hostmaster@example.com\", without a dot before the \"@\"",
        ),
        (
            "[[device]]",
            "[[zone]]\nname = \"HOME.test.\"\nproviders = [\"lab\"]\n[[device]]",
            "14:8: zone \"home.test\" stands twice; line 11 has it already",
        ),
        ("id = \"fritzbox\"\n", "", "13:1: [[device]] has no id; write id = \"fritzbox\""),
        (
            "\"home.home.test\"",
            "\"home.hme.test\"",
            "15:10: \"home.hme.test\" lies in no zone; the zones are home.test",
        ),
        (
            "\"home.home.test\"",
            "\"*.lan.home.test\"",
            "15:29: host \"*.lan.home.test\" stands twice; line 15 has it already",
        ),
        (
            "[\"home.home.test\", \"*.lan.home.test\"]",
            "[]",
            "15:9: the device has no hosts; write hosts = [\"home.example.com\"]",
        ),
        (
            "[[device]]",
            "[[device]]\nid = \"fritzbox\"\nhosts = [\"home.test\"]\n[[device]]",
            "17:6: device \"fritzbox\" stands twice; line 14 has it already",
        ),
        (
            "[[device]]",
            "[[host]]\nname = \"nas.test\"\n[[device]]",
            "14:8: \"nas.test\" lies in no zone; the zones are home.test",
        ),
        (
            "[[device]]",
            "[[host]]\nname = \"a.home.test\"\nservice = \"nass\"\n[[device]]",
            "15:11: there is no service \"nass\"; did you mean \"nas\"?",
        ),
        (
            "[[device]]",
            "[[host]]\nname = \"a.home.test\"\ninterface_id = \"::\"\n[[device]]",
            "15:16: interface_id is \"::\"; write the host's part of an IPv6 address, for instance \"::211:32ff:fe12:3456\"",
        ),
        (
            "[[device]]",
            "[[host]]\nname = \"a.home.test\"\ninterface_id = \"fe80::1:2\"\n[[device]]",
            "15:16: interface_id is \"fe80::1:2\"; leave the prefix out, it is what changes: \"::1:2\"",
        ),
        (
            "[[device]]",
            "[[host]]\nname = \"a.home.test\"\n[[host]]\nname = \"A.home.test\"\n[[device]]",
            "16:8: host \"a.home.test\" stands twice; line 14 has it already",
        ),
        ("[[device]]", "[[service]]\nname = \"camera\"\n[[device]]", "13:1: [[service]] has no ttl; write ttl = 60"),
        (
            "[[device]]",
            "[policy]\ncool_down = \"5 min\"\n[[device]]",
            "14:13: cool_down is \"5 min\"; write a number with s, m or h, for instance \"5m\"",
        ),
    ] {
        let colon = if wanted.starts_with(':') { "" } else { ":" };
        assert_eq!(said_with(old, new), [format!("gateway.toml{colon}{wanted}")], "{new}");
    }
}

#[test]
fn one_mistake_causes_no_others() {
    // A zone, provider or service whose name cannot be read may be the one that is meant elsewhere.
    assert_eq!(said_with("name = \"home.test\"", "name = \"home..test\"").len(), 1);
    assert_eq!(said_with("name = \"lab\"", "name = 1").len(), 1);
    let service = "[[service]]\nname = 1\nttl = 5\n[[host]]\nname = \"a.home.test\"\nservice = \"x\"\n[[device]]";
    assert_eq!(said_with("[[device]]", service).len(), 1);
    // What stands on or below a broken line may be missing because of it.
    for (old, new, wanted) in [
        ("[tls]", "tls]", "3:4: key with no value; expected `=`"),
        ("[dns]", "[dns", "5:5: unclosed table; expected `]`"),
        ("[[provider]]", "[[provider]", "7:12: unclosed array table; expected `]`"),
        ("[[zone]]", "[[zone", "10:7: unclosed array table; expected `]]`"),
        ("name = \"lab\"", "name = lab", "8:8: this is no value; a text stands in quotes"),
        ("name = \"lab\"", "name = \"lab", "8:12: the text has no end; close it with \""),
        ("providers = [\"lab\"]", "providers = [\"lab\"", "12:13: the list has no end; close it with ]"),
        ("id = \"fritzbox\"", "id fritzbox", "14:4: key with no value; expected `=`"),
    ] {
        assert_eq!(said_with(old, new), [format!("gateway.toml:{wanted}")], "{new}");
    }
}

#[test]
fn no_slip_of_the_pen_goes_without_a_place() {
    let text = format!("{GOOD}# ä\n[[provider]]\nname = \"c\"\ntype = \"cloudflare\"\napi_token = \"x\"\n");
    let slips = ["", "\"", "'", "[", "]", "{", "=", ".", "#", "\n", "\r", "\t", "\0", "ü", "\u{2028}", "\"\"\""];
    // Only a section that is missing as a whole has no place.
    let placeless = ["listen speaks HTTPS, and there is no [tls]", "there is nothing to listen on"];
    for (at, letter) in text.char_indices() {
        for slip in slips {
            let text = format!("{}{slip}{}", &text[..at], &text[at + letter.len_utf8()..]);
            let Err(Mistakes(mistakes)) = read(&text) else { continue };
            for mistake in mistakes {
                assert!(mistake.to_string().lines().count() <= 3, "{mistake}");
                assert!(mistake.place.position.is_some() || placeless.contains(&&*mistake.found), "{mistake}");
            }
        }
        drop(read(&text[..at]));
    }
}

#[test]
fn a_type_by_another_name_is_understood() {
    for (written, hint) in [
        ("Route53", "did you mean \"route53\"?"),
        ("aws", "did you mean \"route53\"?"),
        ("clodflare", "did you mean \"cloudflare\"?"),
        ("carrier-pigeon", "`nicgate provider list` shows all types"),
    ] {
        let said = said_with("\"embedded\"", &format!("\"{written}\"\nkey = \"x\""));
        assert_eq!(said, [format!("gateway.toml:9:8: type is \"{written}\"; {hint}")]);
    }
}

#[test]
fn no_report_shows_a_secret() {
    let secret = "hunter2-hunter2";
    for section in [
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = \"hunter2-hunter2\"\napi_token_env = \"X\"",
        "name = \"p\"\ntype = \"cloudflare\"\napi_tokn = \"hunter2-hunter2\"",
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = hunter2-hunter2",
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = \"hunter2-hunter2",
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = \"a\"\napi_token = \"hunter2-hunter2\"",
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = \"\nhunter2-hunter2\n\"",
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = \"\nhunter2-hunter2==\n\"",
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = [\"hunter2-hunter2\"]",
        "name = \"p\"\ntype = \"cloudflare\"\napi_token = \"\"\"\nhunter2-hunter2\"\"\"\nx = 1",
        "name = \"p\"\napi_token = \"hunter2-hunter2\"\nttl = true",
    ] {
        let said = said(&GOOD.replacen("[[zone]]", &format!("[[provider]]\n{section}\n[[zone]]"), 1));
        assert!(!said.is_empty() && !said.contains(secret), "{said}");
    }
    for inline in [
        "provider = [{ name = 1, type = \"cloudflare\", api_token = \"hunter2-hunter2\" }]",
        "provider = [{ name = \"p\", type = \"porkbun\", api_key = \"hunter2-hunter2\" }]",
        "provider = { name = \"p\", type = \"cloudflare\", api_token = \"hunter2-hunter2\" }",
        "provder = [{ name = \"p\", type = \"cloudflare\", api_token = \"hunter2-hunter2\" }]",
        "password = \"hunter2-hunter2\"",
    ] {
        let said = said(&format!("{inline}\n[server]\nlisten = [\"[::]:1\"]\n[tls]\nself_signed = true\n"));
        assert!(!said.is_empty() && !said.contains(secret), "{said}");
    }
}

#[test]
fn a_secret_is_found_in_the_file_beside_it_and_in_the_environment() {
    let folder = Folder::new("secrets");
    folder.write("good.token", "abc\r\n");
    folder.write("empty.token", "\n");
    folder.write("binary.token", [0xff, 0xfe]);
    let with = |keys: &str| {
        let text = GOOD.replacen("\"lab\"\ntype = \"embedded\"", &format!("\"lab\"\ntype = \"cloudflare\"\n{keys}"), 1);
        parse(&text, &folder.0.join("gateway.toml"), &|name| match name {
            "TOKEN" => Some("def".to_owned()),
            "CREDENTIALS_DIRECTORY" => Some(folder.0.display().to_string()),
            _ => None,
        })
    };
    for (keys, wanted) in [
        ("api_token = \"xyz\"", "xyz"),
        ("api_token_credential = \"good.token\"", "abc"),
        ("api_token_file = \"good.token\"", "abc"),
        ("api_token_env = \"TOKEN\"", "def"),
    ] {
        let Ok(settings) = with(keys) else { panic!("{keys}") };
        let secret = settings.providers[0].secret("api_token").unwrap();
        assert!(secret.verify_slice(wanted.as_bytes()), "{keys}");
    }
    for (keys, wanted) in [
        (
            "",
            "provider of type \"cloudflare\" has no api_token; write api_token = \"…\", api_token_file = \"…\" or api_token_env = \"…\"",
        ),
        ("api_token = \"\"", "api_token is empty; write the secret, or use api_token_file or api_token_env"),
        ("api_token_env = \"NO\"", "api_token_env names NO, which is not set; set it where the gateway is started"),
        (
            "api_token_env = \"TOKEN\"\napi_token = \"a\"",
            "api_token_env and api_token stand side by side; keep one of them",
        ),
        (
            "api_token_credential = \"../good.token\"",
            "api_token_credential is no name of a credential; write LoadCredential=../good.token:/path/of/the/secret into the unit",
        ),
        (
            "api_token_file = \"empty.token\"",
            "api_token_file cannot be used: it is empty; DIR/empty.token should hold the secret and nothing else",
        ),
        (
            "api_token_file = \"binary.token\"",
            "api_token_file cannot be used: it is no text; DIR/binary.token should hold the secret and nothing else",
        ),
        (
            "api_token_file = \"no.token\"",
            "api_token_file cannot be used: No such file or directory (os error 2); DIR/no.token should hold the secret and nothing else",
        ),
    ] {
        let Err(Mistakes(mistakes)) = with(keys) else { panic!("{keys}") };
        let said: Vec<String> = mistakes.iter().map(|mistake| format!("{}; {}", mistake.found, mistake.hint)).collect();
        assert_eq!(said, [wanted.replace("DIR", &folder.0.display().to_string())], "{keys}");
    }
}

#[test]
fn a_master_key_is_32_bytes_in_hexadecimal() {
    let text = GOOD.replacen("[tls]", "master_key_env = \"KEY\"\n[tls]", 1);
    let with = |key: &str| parse(&text, Path::new("gateway.toml"), &|_| Some(key.to_owned()));
    let Ok(settings) = with(&"0aF1".repeat(16)) else { panic!("a good key") };
    assert!(settings.server.master_key.is_some_and(|key| key.verify_slice(&[0x0a, 0xf1].repeat(16))));
    for bad in ["00", &"0g".repeat(32), &"00".repeat(33)] {
        let Err(mistakes) = with(bad) else { panic!("{bad}") };
        assert_eq!(
            heads(&mistakes),
            [
                "gateway.toml:3:18: the master key is not one; write 32 random bytes as 64 hexadecimal digits, for instance from openssl rand -hex 32"
            ]
        );
    }
}

#[test]
fn certificates_must_be_there_and_be_such() {
    let folder = Folder::new("tls");
    let made = rcgen::generate_simple_self_signed(vec!["ddns.example.com".to_owned()]).unwrap();
    folder.write("good.crt", made.cert.pem());
    folder.write("good.key", made.signing_key.serialize_pem());
    folder.write("bad.key", "hello");
    let half: String = made.cert.pem().lines().take(4).collect::<Vec<_>>().join("\n");
    folder.write("half.crt", format!("{}{half}", made.cert.pem()));
    let with = |keys: &str| folder.said(&GOOD.replacen("self_signed = true", keys, 1));
    assert_eq!(with("cert_file = \"good.crt\"\nkey_file = \"good.key\""), "");
    let said = with("cert_file = \"no.crt\"\nkey_file = \"bad.key\"");
    let heads: Vec<&str> = said.lines().filter(|line| line.starts_with("gateway.toml")).collect();
    assert_eq!(
        heads,
        [
            "gateway.toml:4:13: cert_file cannot be read: No such file or directory (os error 2); no.crt should be a PEM file",
            "gateway.toml:5:12: key_file holds no private key that can be read; bad.key should be a PEM file with one",
        ]
    );
    assert!(
        with("cert_file = \"good.key\"\nkey_file = \"good.key\"")
            .contains("cert_file holds no certificate that can be read")
    );
    assert!(
        with("cert_file = \"half.crt\"\nkey_file = \"good.key\"")
            .contains("cert_file holds no certificate that can be read")
    );
    assert!(with("cert_file = \"good.crt\"").contains("3:1: [tls] has no key_file; write key_file = \"server.key\""));
    let both = with("cert_file = \"good.crt\"\nkey_file = \"good.key\"\nself_signed = true");
    assert!(
        both.contains("6:15: self_signed stands beside cert_file and key_file; keep one of the two ways"),
        "{both}"
    );
}

#[test]
fn what_is_odd_is_warned_of_and_taken() {
    assert_eq!(warned_with("[dns]", "[dns]"), Vec::<String>::new());
    for (old, new, wanted) in [
        (
            "[dns]",
            "[limits]\nenabled = false\n[dns]",
            "6:11: limits are off: no rate limits, no bans; write true, unless this is a laboratory",
        ),
        (
            "[tls]",
            "plain_listen = [\"0.0.0.0:80\"]\n[tls]",
            "3:16: plain_listen takes passwords in clear from the network; keep it for routers without usable TLS, in networks you trust",
        ),
        (
            "[tls]",
            "trusted_proxies = [\"0.0.0.0/0\"]\n[tls]",
            "3:20: every peer is a trusted proxy; anybody may then claim any address; name the proxies",
        ),
        ("[tls]", "http2 = true\n[tls]", "3:9: http2 is true; it is not offered yet; HTTP/1.1 is served"),
        (
            "[[device]]",
            "addresses = \"any\"\n[[device]]",
            "13:13: the zone takes any address, loopback and documentation too; write \"public-only\" or \"allow-private\", unless this is a laboratory",
        ),
        (
            "[[zone]]",
            "[[provider]]\nname = \"spare\"\ntype = \"embedded\"\n[[zone]]",
            "11:8: no zone uses provider \"spare\"; name it in a zone's providers, or leave it out",
        ),
        (
            "[[device]]",
            "[[zone]]\nname = \"b.test\"\nproviders = [\"lab\"]\n[[device]]",
            "14:8: no device has a host in zone \"b.test\"; name one in a device's hosts, or add a device by command",
        ),
    ] {
        assert_eq!(warned_with(old, new), [format!("gateway.toml:{wanted}")], "{new}");
    }
    // Behind a proxy of this machine, plain HTTP is no risk.
    assert_eq!(warned_with("[tls]", "plain_listen = [\"127.0.0.1:80\"]\n[tls]"), Vec::<String>::new());
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new("modes");
    let token = folder.write("x.token", "abc");
    let cloudflare = |key: &str| GOOD.replacen("\"embedded\"", &format!("\"cloudflare\"\n{key}"), 1);
    let in_file = folder.write("clear.toml", cloudflare("api_token = \"abc\""));
    let beside = folder.write("beside.toml", cloudflare("api_token_file = \"x.token\""));
    let warnings = |path: &Path| load(path, &nothing).map(|settings| settings.warnings.len()).unwrap_or(usize::MAX);
    let change = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (mode, wanted) in [(0o644, 2), (0o640, 1)] {
        // The name server, which serves no zone now, is the other one.
        for path in [&in_file, &token] {
            change(path, mode);
        }
        assert_eq!((warnings(&in_file), warnings(&beside)), (wanted, wanted), "{mode:o}");
    }
}

#[test]
fn what_is_written_is_what_is_used() {
    let text = GOOD
        .replacen("[tls]", "data_dir = \"data\"\nreply_deadline = \"3s\"\ntrusted_proxies = [\"192.0.2.1\", \"fd00::/8\"]\n[tls]", 1)
        .replacen("[[device]]", "ttl = 90\naddresses = \"allow-private\"\nmailbox = \"me@home.test\"\n[[service]]\nname = \"camera\"\nttl = 20\n[[host]]\nname = \"cam.home.test\"\nservice = \"camera\"\ninterface_id = \"::7\"\n[[host]]\nname = \"nas.home.test\"\nservice = \"nas\"\nttl = 30\n[[device]]\nid = \"laptop\"\nhosts = [\"cam.home.test\"]\nallow_delete = true\n[[device]]", 1);
    let settings = match parse(&text, Path::new("/etc/nicgate/gateway.toml"), &nothing) {
        Ok(settings) => settings,
        Err(mistakes) => panic!("{mistakes}"),
    };
    assert_eq!(settings.server.data_dir, Path::new("/etc/nicgate/data"));
    assert_eq!(settings.server.reply_deadline, Duration::from_secs(3));
    assert_eq!(settings.server.rotation_grace, Duration::from_secs(86_400));
    assert_eq!(
        settings.server.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.1/32", "fd00::/8"]
    );
    assert_eq!(settings.tls, Some(Tls::SelfSigned { names: Vec::new() }));
    assert!(settings.limits.is_enabled && settings.server.log.is_none());
    assert_eq!(settings.policy.cool_down, Duration::from_secs(300));

    let zone = &settings.zones[0];
    assert!(zone.is_embedded && zone.policy.addresses == AddressPolicy::AllowPrivate);
    assert_eq!(
        (zone.nameservers[0].as_str(), zone.mailbox.as_str(), zone.negative_ttl),
        ("ns.home.test", "me.home.test", 60)
    );

    let ttl = |name: &str| settings.policy.of(&Hostname::parse(name).unwrap()).unwrap().ttl();
    assert_eq!([ttl("cam.home.test"), ttl("nas.home.test"), ttl("x.home.test")], [Some(20), Some(30), Some(90)]);
    assert_eq!(settings.policy.with_interface_id().len(), 1);

    let laptop = &settings.devices[0];
    assert!(laptop.allowances.delete && !laptop.allowances.plain && laptop.profile.is_none());
    assert_eq!(settings.devices[1].grants.patterns(), ["*.lan.home.test", "home.home.test"]);
    assert_eq!(
        settings.device_places[&laptop.id].position.unwrap().line,
        text[..text.find("\"laptop\"").unwrap()].lines().count()
    );
}

/// The good file with `[[host]]` of these keys for `home.home.test`, after a second device `lte` without hosts there.
fn with_host(keys: &str) -> String {
    format!(
        "{GOOD}[[device]]\nid = \"lte\"\nhosts = [\"x.home.test\", \"*.lan.home.test\"]\n\
         [[host]]\nname = \"nas.lan.home.test\"\n{keys}\n"
    )
}

#[test]
fn several_devices_of_one_host_are_read_and_compared() {
    let both = "devices = [\"fritzbox\", \"lte\"]";
    for (keys, wanted) in [
        (format!("{both}\nheartbeat = \"10m\""), ""),
        (
            both.to_owned(),
            "21:1: devices stands without heartbeat; write heartbeat = \"10m\": how often each of them speaks at the least",
        ),
        (
            "misses = 2".to_owned(),
            "21:1: misses stands without devices; write devices = [\"fiber\", \"lte\"], the preferred one first, or leave it out",
        ),
        (
            "devices = []\nheartbeat = \"10m\"".to_owned(),
            "21:11: devices is empty; write devices = [\"fiber\", \"lte\"], the preferred one first, or leave it out",
        ),
        (
            "devices = [\"lte\", \"lte\"]\nheartbeat = \"10m\"".to_owned(),
            "21:19: device \"lte\" stands twice; line 21 has it already",
        ),
        (
            format!("{both}\nheartbeat = \"1s\""),
            "22:13: heartbeat is \"1s\"; write at least \"5s\" and at most \"168h\"",
        ),
        (
            format!("{both}\nheartbeat = \"10m\"\nreturns = 0"),
            "23:11: returns is 0; write a whole number from 1 to 1000, without quotes",
        ),
        (
            format!("{both}\nheartbeat = \"10m\"\n[[host]]\nname = \"home.home.test\"\n{both}\nheartbeat = \"10m\""),
            "25:24: device \"lte\" may not update \"home.home.test\"; add \"home.home.test\" to the hosts of [[device]] \"lte\"",
        ),
    ] {
        let heads = read(&with_host(&keys)).err().map(|mistakes| heads(&mistakes)).unwrap_or_default();
        let wanted = if wanted.is_empty() { vec![] } else { vec![format!("gateway.toml:{wanted}")] };
        assert_eq!(heads, wanted, "{keys}");
    }
    let warned = |devices: &str| match read(&with_host(&format!("devices = [{devices}]\nheartbeat = \"10m\""))) {
        Ok(settings) => heads(&Mistakes(settings.warnings)),
        Err(mistakes) => panic!("{mistakes}"),
    };
    assert_eq!(warned("\"fritzbox\", \"lte\""), [""; 0]);
    assert_eq!(
        warned("\"fritzbux\", \"satellite\""),
        [
            "gateway.toml:21:12: no device \"fritzbux\" stands in this file; did you mean \"fritzbox\"?",
            "gateway.toml:21:24: no device \"satellite\" stands in this file; \
             add it as [[device]], or by `nicgate device add satellite --host nas.lan.home.test`",
        ]
    );
}

#[test]
fn a_host_fails_over_as_it_says_itself_then_as_its_service_says() {
    let rule = |keys: &str| {
        let settings = match read(&with_host(&format!("devices = [\"fritzbox\", \"lte\"]\n{keys}"))) {
            Ok(settings) => settings,
            Err(mistakes) => panic!("{mistakes}"),
        };
        let host = settings.policy.of(&Hostname::parse("nas.lan.home.test").unwrap()).unwrap();
        let rule = host.rule.fail_over.unwrap();
        assert_eq!(rule.devices.iter().map(DeviceId::as_str).collect::<Vec<_>>(), ["fritzbox", "lte"]);
        let seconds = |span: Duration| span.as_secs();
        (seconds(rule.heartbeat), rule.misses, rule.returns, seconds(rule.hold_down), host.rule.ttl)
    };
    let service = "[[service]]\nname = \"uplink\"\nttl = 30\nheartbeat = \"2m\"\nmisses = 5\nhold_down = \"1m\"";
    assert_eq!(rule("heartbeat = \"10m\""), (600, 3, 2, 300, None));
    assert_eq!(rule(&format!("service = \"uplink\"\n{service}")), (120, 5, 2, 60, Some(30)));
    let own = "service = \"uplink\"\nheartbeat = \"1m\"\nreturns = 4\nhold_down = \"0s\"";
    assert_eq!(rule(&format!("{own}\n{service}")), (60, 5, 4, 0, Some(30)));
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake_too() {
    let folder = Folder::new("unreadable");
    let said = |path: &Path| match load(path, &nothing) {
        Ok(_) => String::new(),
        Err(mistakes) => mistakes.to_string().replace(&format!("{}/", folder.0.display()), ""),
    };
    let wanted = "no.toml: cannot be read: No such file or directory (os error 2); name another file with --config";
    assert_eq!(said(&folder.0.join("no.toml")), wanted);
    let latin = folder.write("latin.toml", b"# ok\n# \xe4\n");
    assert_eq!(said(&latin), "latin.toml: line 2 is not UTF-8; save the file as UTF-8");
    let large = folder.write("large.toml", "#".repeat(LARGEST_FILE as usize + 1));
    assert!(said(&large).starts_with("large.toml: cannot be read: it is larger than "), "{}", said(&large));
}

#[test]
fn ten_thousand_devices_take_well_under_a_second() {
    let mut text = GOOD.to_owned();
    for number in 0..10_000 {
        text.push_str(&format!(
            "[[device]]\nid = \"d{number}\"\nhosts = [\"d{number}.home.test\", \"*.d{number}.home.test\"]\n"
        ));
    }
    #[expect(clippy::disallowed_methods, reason = "what is measured here is the time it takes")]
    let began = Instant::now();
    let Ok(settings) = read(&text) else { panic!("nothing is wrong with it") };
    assert_eq!(settings.devices.len(), 10_001);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?} even without optimisation", began.elapsed());
}
