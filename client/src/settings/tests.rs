//! What a file may say, and how each slip is reported.

use super::*;

const KEY: &str = "TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg";

fn read_text(text: &str) -> Result<Loaded, Mistakes> {
    read(Path::new("/nowhere/client.toml"), text, &|name| (name == "NICGATE_KEY").then(|| format!("{KEY}\n")))
}

fn complaint(text: &str) -> String {
    match read_text(text) {
        Ok(_) => panic!("{text} was taken"),
        Err(mistakes) => mistakes.to_string(),
    }
}

const GOOD: &str = "gateway = \"https://ddns.example.com\"\ndevice = \"laptop\"\nkey_env = \"NICGATE_KEY\"\nhosts = [\"a.example.com\"]\n";

#[test]
fn four_lines_are_enough() {
    let settings = read_text(GOOD).unwrap_or_else(|mistakes| panic!("{mistakes}")).settings;
    assert_eq!(settings.gateways, [BaseUrl::parse("https://ddns.example.com").unwrap()]);
    assert_eq!(settings.key.text(), KEY);
    assert_eq!((settings.ipv4, settings.ipv6), (vec![Source::Web], vec![]));
    assert_eq!(settings.state_file, Some(PathBuf::from("/nowhere/client.state.json")));
    assert_eq!((settings.refresh, settings.timeout), (REFRESH, TIMEOUT));
}

#[test]
fn what_editors_on_windows_write_is_read() {
    let text = GOOD.replace('\n', "\r\n");
    assert_eq!(read_text(&format!("\u{feff}{text}")).unwrap_or_else(|mistakes| panic!("{mistakes}")).settings.ipv6, []);
    let said = complaint(&format!("\u{feff}refesh = \"3d\"\r\n{text}"));
    assert!(said.starts_with("/nowhere/client.toml:1:1: ") && said.ends_with("\n      | ^^^^^^"), "{said}");
}

#[test]
fn a_backslash_between_double_quotes_is_told_with_its_cure() {
    let file = GOOD.replace("key_env = \"NICGATE_KEY\"", "key_file = ");
    for (value, place) in [
        (r#""C:\keys\laptop.key""#, 16),
        (r#""C:\Users\me\laptop.key""#, 17),
        (r#""C:\new\table.key""#, 12),
        (r#""C:\my\table.key""#, 16),
    ] {
        let said = complaint(&file.replace("key_file = ", &format!("key_file = {value}")));
        assert!(said.starts_with(&format!("/nowhere/client.toml:3:{place}: ")), "{said}");
        assert!(said.contains(r"between single quotes, for instance 'C:\keys\laptop.key'"), "{said}");
        assert!(!said.contains("client.toml:3:12: C:"), "told once: {said}");
    }
    let said = complaint(&format!("{GOOD}command = [\"C:\\bin\\tell.exe\"]\nallow_command = true\n"));
    assert!(said.contains("client.toml:5:12: ") && said.contains("single quotes"), "{said}");
    let said = complaint(&file.replace("key_file = ", r"key_file = 'C:\new\laptop.key'"));
    assert!(said.contains(r"C:\new\laptop.key cannot be read") && !said.contains("single quotes"), "{said}");
}

#[test]
fn a_file_that_others_may_change_runs_no_command_for_an_administrator() {
    let with = "ipv4 = \"command\"\ncommand = [\"/bin/true\"]\nallow_command = true\n";
    for (lines, is_elevated, exposed, is_refused) in [
        (with, true, Some("/home/a"), true),
        (with, true, None, false),
        (with, false, Some("/home/a"), false),
        ("", true, Some("/home/a"), false),
    ] {
        let settings = read_text(&format!("{GOOD}{lines}")).unwrap_or_else(|mistakes| panic!("{mistakes}")).settings;
        let said = refuse_command(&settings, is_elevated, || exposed.map(PathBuf::from));
        assert_eq!(said.is_some_and(|said| said.contains("/home/a")), is_refused, "{is_elevated} {exposed:?}");
    }
}

/// On Windows a service may write its state and not its configuration.
#[test]
fn state_and_log_of_the_machine_are_where_its_configuration_is_not() {
    let folder = platform::system_folder();
    let key = |name: &str| (name == "NICGATE_KEY").then(|| KEY.to_owned());
    let loaded = read(&folder.join("client.toml"), GOOD, &key).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let settings = loaded.settings;
    let state = match std::env::consts::OS {
        "windows" => folder.join("state"),
        "linux" => PathBuf::from("/var/lib/nicgate-client"),
        _ => folder,
    };
    assert_eq!(settings.state_file, Some(state.join("client.state.json")));
    assert_eq!(settings.log.unwrap().path, state.join("client.log"));
}

#[test]
fn a_misspelt_key_is_shown_with_the_nearest_one() {
    let said = complaint(&format!("{GOOD}refesh = \"3d\"\n"));
    assert_eq!(
        said,
        "/nowhere/client.toml:5:1: there is no key \"refesh\"; perhaps \"refresh\" is meant\n    \
         5 | refesh = \"3d\"\n      | ^^^^^^"
    );
    assert!(complaint(&format!("{GOOD}zzz = 1\n")).contains("there are allow_command, "));
}

#[test]
fn every_slip_has_its_place_and_its_cure() {
    for (line, place, cure) in [
        ("ipv6 = \"wbe\"", ":5:8:", "\"interface:eth0\""),
        ("ipv6 = \"192.0.2.1\"", ":5:8:", "the other family"),
        ("ipv6 = \"interface:\"", ":5:8:", "name the interface"),
        ("ipv4 = \"off\"", ":5:8:", "both families"),
        ("timeout = 20", ":5:11:", "quotes"),
        ("timeout = \"0s\"", ":5:11:", "above zero"),
        ("timeout = \"20 sec\"", ":5:11:", "\"20s\""),
        ("refresh = \"d\"", ":5:11:", "\"25d\""),
        ("allow_private = \"yes\"", ":5:17:", "true or false"),
        ("ca_file = \"ca.crt\"", ":5:11:", "ca.crt cannot be read"),
        ("key_file = \"laptop.key\"", ":5:12:", "more than one"),
        ("hosts = 1", ":5:", "duplicate key"),
        ("ipv6 = \"router\"", ":5:8:", "IPv4 address only"),
        ("ipv4 = []", ":5:8:", "order of preference"),
        ("interface_id = \"2001:db8::1\"", ":5:16:", "last 64 bits"),
        ("log_size = \"1G\"", ":5:12:", "\"1M\""),
        ("stun = \"a b\"", ":5:8:", "host:port"),
        ("echo = [\"http://192.0.2.1\"]", ":5:9:", "https URL"),
        ("bind = \"\"", ":5:8:", "name the interface"),
        ("[[uplink]]\nbnd = \"eth0\"", ":6:1:", "perhaps \"bind\" is meant"),
        ("[[uplink]]\nname = \"a\"", "client.toml:", "bind is missing"),
        ("[uplink]\nname = \"a\"", ":5:1:", "two brackets"),
        ("=", ":5:1:", ""),
    ] {
        let said = complaint(&format!("{GOOD}{line}\n"));
        assert!(said.contains(place) && said.contains(cure), "{line}: {said}");
    }
    for (from, to, cure) in [
        ("https://", "http://", "allow_plain = true"),
        ("\"laptop\"", "\"lap top\"", "a device id is"),
        ("NICGATE_KEY", "NO_SUCH_KEY", "no such environment variable"),
        ("a.example.com", "a", "at least two labels"),
        ("[\"a.example.com\"]", "[]", "1 to 20"),
        ("[\"a.example.com\"]", "[\"a.example.com\", \"A.example.com.\"]", "twice"),
        ("[\"a.example.com\"]", "\"a.example.com\"", "list of texts"),
        ("device = \"laptop\"", "", "device is missing"),
        ("key_env = \"NICGATE_KEY\"", "", "key_file is missing"),
    ] {
        let said = complaint(&GOOD.replace(from, to));
        assert!(said.contains(cure), "{to}: {said}");
    }
}

#[test]
fn what_is_written_in_order_is_taken_in_order() {
    let text = GOOD.replace("\"https://ddns.example.com\"", "[\"https://one.example\", \"https://two.example\"]");
    let loaded = read_text(&format!(
        "{text}ipv4 = [\"router\", \"web\", \"stun\"]\nipv6 = \"interface:default\"\ninterface_id = \"::1\"\n\
         [[uplink]]\nname = \"fibre\"\nbind = \"eth0\"\nprobe = [\"tcp:192.0.2.1:443\", \"dns:192.0.2.53\"]\n\
         [[uplink]]\nbind = \"wwan*\"\n"
    ));
    let settings = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")).settings;
    let gateways: Vec<String> = settings.gateways.iter().map(BaseUrl::to_string).collect();
    assert_eq!(gateways, ["https://one.example", "https://two.example"]);
    assert_eq!(settings.ipv4, [Source::Router(Method::Any), Source::Web, Source::Stun]);
    assert_eq!(settings.ipv6, [Source::Interface(Which::DefaultRoute)]);
    let names: Vec<&str> = settings.uplinks.iter().map(|uplink| uplink.name.as_str()).collect();
    assert_eq!(names, ["fibre", "wwan*"]);
    assert_eq!((settings.uplinks[0].probes.len(), settings.uplinks[1].probes.len()), (2, 0));
}

#[test]
fn a_command_is_run_only_where_the_file_says_so_twice() {
    let command = "ipv4 = \"command\"\ncommand = [\"/usr/bin/address\"]\n";
    assert!(complaint(&format!("{GOOD}{command}")).contains("allow_command = true"));
    assert!(complaint(&format!("{GOOD}ipv4 = \"command\"\nallow_command = true\n")).contains("twice"));
    assert!(read_text(&format!("{GOOD}{command}allow_command = true\n")).is_ok());
}

#[test]
fn what_a_service_manager_hands_over_is_found() {
    let folder = std::env::temp_dir().join(format!("nicgate-credential-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("laptop.key"), KEY).unwrap();
    let text = GOOD.replace("key_env = \"NICGATE_KEY\"", "key_file = \"/etc/nicgate/laptop.key\"");
    let environment = |name: &str| match name {
        "CREDENTIALS_DIRECTORY" => Some(folder.display().to_string()),
        "STATE_DIRECTORY" => Some("/var/lib/nicgate-client".to_owned()),
        _ => None,
    };
    let loaded = read(Path::new("/etc/nicgate/client.toml"), &text, &environment);
    let settings = loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")).settings;
    assert_eq!(settings.key.text(), KEY);
    assert_eq!(settings.state_file, Some(PathBuf::from("/var/lib/nicgate-client/client.state.json")));
    assert_eq!(settings.log.unwrap().path, PathBuf::from("/var/lib/nicgate-client/client.log"));
    if cfg!(unix) {
        let other = read(Path::new("/etc/other/client.toml"), &text, &environment);
        let state_file = other.unwrap_or_else(|mistakes| panic!("{mistakes}")).settings.state_file;
        assert_eq!(state_file, Some(PathBuf::from("/var/lib/nicgate-client/other-client.state.json")));
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn all_mistakes_come_at_once() {
    let said = complaint("gateway = \"ftp://x\"\ndevice = 7\nipv4 = \"wbe\"\n");
    let heads: Vec<&str> = said.lines().filter(|line| line.starts_with("/nowhere")).collect();
    assert_eq!(heads.len(), 5, "{said}");
    assert!(heads[0].contains(":1:11:") && heads[1].contains(":2:10:") && heads[2].contains(":3:8:"), "{said}");
}

#[test]
fn a_key_that_cannot_be_used_is_not_repeated() {
    let said = complaint(&GOOD.replace("key_env = \"NICGATE_KEY\"", "key = \"05Bqnz2YTPaqmfwcEOS4SN\""));
    assert!(said.contains("22 bytes") && !said.contains("05Bqnz"), "{said}");
}

#[test]
fn the_example_file_is_read_and_names_every_key() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config");
    let text = fs::read_to_string(folder.join("client.example.toml")).unwrap();
    for key in file::KEYS {
        let is_shown = text.contains(&format!("{key} = ")) || text.contains(&format!("[[{key}]]"));
        assert!(is_shown, "{key} is not shown");
    }
    let path = folder.join("client.example.toml");
    // The key and the authority of the example do not exist; what else it says must hold.
    let text = text.replace("\nkey_file = \"laptop.key\"", "\nkey_env = \"NICGATE_KEY\"");
    let loaded = read(&path, &text, &|_| Some(KEY.to_owned())).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert_eq!(loaded.settings.hosts.len(), 1);
    // What stands behind `#` is meant to be used too.
    let used: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ") && !rest.starts_with(' ')))
        .filter(|line| !["key ", "key_env ", "ca_file "].iter().any(|key| line.starts_with(key)))
        .map(str::to_owned)
        .collect();
    assert!(!used.is_empty());
    for line in used {
        let key = format!("{} = ", line.split(" = ").next().unwrap());
        let rest: Vec<&str> = text.lines().filter(|other| !other.starts_with(&key)).collect();
        let swapped = format!("{}\n{line}\n", rest.join("\n"));
        if let Err(mistakes) = read(&path, &swapped, &|_| Some(KEY.to_owned())) {
            panic!("{line}: {mistakes}");
        }
    }
    let uplinks: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("#   ")).skip_while(|line| *line != "[[uplink]]").collect();
    let loaded = read(&path, &format!("{text}\n{}\n", uplinks.join("\n")), &|_| Some(KEY.to_owned()));
    assert_eq!(loaded.unwrap_or_else(|mistakes| panic!("{mistakes}")).settings.uplinks.len(), 2);
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = std::env::temp_dir().join(format!("nicgate-key-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("laptop.key"), format!("{KEY}\n")).unwrap();
    let text = GOOD.replace("key_env = \"NICGATE_KEY\"", "key_file = \"laptop.key\"");
    for (mode, warnings) in [(0o600, 0), (0o644, 1), (0o660, 1)] {
        fs::set_permissions(folder.join("laptop.key"), fs::Permissions::from_mode(mode)).unwrap();
        let loaded =
            read(&folder.join("client.toml"), &text, &|_| None).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(loaded.warnings.len(), warnings, "{mode:o}");
        assert_eq!(loaded.settings.key.text(), KEY);
    }
    fs::remove_dir_all(folder).unwrap();
}
