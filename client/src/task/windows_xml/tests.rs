use std::process::Command;

use super::*;
use crate::task::tests::{golden, skipped};

const EXE: &str = r"C:\Program Files\nicgate\nicgate-client.exe";
const CONFIG: &str = r"C:\ProgramData\nicgate\client.toml";

fn plan(exe: &str, config: &str, account: Account) -> Plan {
    Plan { resident: true, ..Plan::new(exe.into(), config.into(), account) }
}

/// Every kind of definition there is, and paths that need care.
fn definitions() -> Vec<(String, String)> {
    let me = || Account::User(r"PC\R&D".to_owned());
    let odd = (r"D:\Tüv & 名前\it's nicgate-client.exe", r"D:\Tüv & 名前\客户端 (1).toml");
    [
        ("service", plan(EXE, CONFIG, Account::Service)),
        ("system", plan(EXE, CONFIG, Account::System)),
        ("me", plan(odd.0, odd.1, me())),
    ]
    .into_iter()
    .flat_map(|(who, plan)| Job::BOTH.map(|job| (format!("{who}-{}.xml", job.name()), definition(&plan, job).unwrap())))
    .collect()
}

#[test]
fn definitions_are_those_of_the_golden_files() {
    for (name, text) in definitions() {
        golden(&name, &text);
    }
}

#[test]
fn definitions_conform_to_the_published_schema() {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/src/task/golden/task.xsd");
    if Command::new("xmllint").arg("--version").output().is_err() {
        return skipped("xmllint");
    }
    let folder = std::env::temp_dir().join(format!("nicgate-xml-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let check = |file: &Path| Command::new("xmllint").args(["--noout", "--schema", schema]).arg(file).output().unwrap();
    let sound = definitions();
    let broken = [("<Enabled>true", "<Enabled>yes"), ("<UserId>", "<User>"), ("S4U", "ServiceAccount"), ("255", "999")];
    for (name, text) in &sound {
        let file = folder.join(name);
        std::fs::write(&file, utf16(text)).unwrap();
        let output = check(&file);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
    for (from, to) in broken {
        let (_, text) = sound.iter().rfind(|(_, text)| text.contains(from)).unwrap();
        let file = folder.join("broken.xml");
        std::fs::write(&file, utf16(&text.replace(from, to))).unwrap();
        assert!(!check(&file).status.success(), "the schema should not take {to}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn paths_keep_their_letters() {
    let (_, text) = definitions().into_iter().find(|(name, _)| name == "me-update.xml").unwrap();
    for part in [
        r"<Command>&quot;D:\Tüv &amp; 名前\it&apos;s nicgate-client.exe&quot;</Command>",
        r"<Arguments>--config &quot;D:\Tüv &amp; 名前\客户端 (1).toml&quot; update --scheduled</Arguments>",
        r"<WorkingDirectory>D:\Tüv &amp; 名前</WorkingDirectory>",
        r"<UserId>PC\R&amp;D</UserId>",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let text = definition(&plan(r"C:\n.exe", CONFIG, Account::Service), Job::Update).unwrap();
    assert!(text.contains(r"<WorkingDirectory>C:\</WorkingDirectory>"), "{text}");
}

#[test]
fn what_task_scheduler_would_read_otherwise_is_refused() {
    let long = format!(r"C:\{}\n.exe", "x".repeat(250));
    for (exe, config, part) in [
        (r"C:\%TEMP%\n.exe", CONFIG, "variable"),
        (EXE, r"C:\$(Arg0)\c.toml", "variable"),
        (EXE, "C:\\a\".toml", "no path"),
        (EXE, "C:\\a\nb.toml", "letters"),
        (&long, CONFIG, "longer"),
        ("n.exe", CONFIG, "not a full path"),
    ] {
        let unfit = definition(&plan(exe, config, Account::Service), Job::Update).unwrap_err();
        assert!(unfit.what.contains(part), "{unfit}");
    }
    assert!(definition(&plan(r"C:\100% mine\n.exe", CONFIG, Account::Service), Job::Update).is_ok());
}

#[test]
fn arguments_are_quoted_as_windows_takes_them_apart() {
    for (word, text) in [
        (r"C:\a b\c.toml", r#""C:\a b\c.toml""#),
        (r"C:\a b\", r#""C:\a b\\""#),
        (r#"a"b"#, r#""a\"b""#),
        (r#"a\"b"#, r#""a\\\"b""#),
        ("", r#""""#),
    ] {
        assert_eq!(quoted(word), text);
    }
}

#[test]
fn spans_are_written_as_xml_schema_writes_them() {
    for (seconds, text) in [(600, "PT10M"), (90, "PT90S"), (0, "PT0M"), (86_400, "PT1440M")] {
        assert_eq!(iso(Duration::from_secs(seconds)), text);
    }
}

#[test]
fn a_definition_is_utf16_with_its_mark() {
    assert_eq!(utf16("aü"), [0xff, 0xfe, b'a', 0, 0xfc, 0]);
}

#[test]
fn registering_ends_replaces_and_starts() {
    let steps = install(&plan(EXE, CONFIG, Account::Service), Path::new(r"C:\Windows\System32")).unwrap();
    let calls: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Run(call) => call.to_string().replace(r"C:\Windows\System32\schtasks.exe ", ""),
            Step::Remove(_) | Step::Write(..) => panic!("nothing but calls"),
        })
        .collect();
    assert_eq!(
        calls,
        [
            r"/end /tn \nicgate-update",
            r"/create /xml {file} /tn \nicgate-update /f",
            r"/run /tn \nicgate-update",
            r"/end /tn \nicgate-resident",
            r"/create /xml {file} /tn \nicgate-resident /f",
            r"/run /tn \nicgate-resident",
        ]
    );
}
