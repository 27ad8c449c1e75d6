//! What is handed to people who use Windows: the archive, the tables of the installer, and what an installation, an
//! upgrade and a removal leave on a disk under Wine. The program in it is the one that `tests/windows` has built.
//!
//! Wine's installer shows that the tables mean what they shall. That Windows shows the entry, its icon and the PATH in
//! new consoles is on the list in docs/windows.md.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nicgate_tests::wine::Wine;
use nicgate_tests::{Folder, run, text, tool};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const PROGRAM: &str = r"C:\Program Files\nicgate\nicgate-client.exe";
const UPGRADE_CODE: &str = "{A43DD0E1-8C5F-4C0B-9D37-51B3E6F0B7C2}";

/// Wine, where everything else that packing takes is there, too.
fn packers() -> Option<Wine> {
    for name in ["wixl", "msibuild", "msiinfo", "zip", "unzip", "perl"] {
        tool(name)?;
    }
    Wine::find()
}

/// Packs the program and gives the folder's two packages: archive and installer.
fn pack(wine: &Wine, folder: &Path, version: &str) -> (PathBuf, PathBuf) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(root.join("packaging/build"));
    command.arg("--exe").arg(wine.client()).args(["--version", version, "--dist"]).arg(folder);
    // Not the commit's time: somebody may be committing just now.
    let output = run(command.env("SOURCE_DATE_EPOCH", "1795348800"));
    assert!(output.status.success(), "{}", text(&output));
    let package = |ending| folder.join(format!("nicgate-client-{version}-windows-x86_64.{ending}"));
    (package("zip"), package("msi"))
}

/// A table of an installer, without its head: what stands in each column of each row.
fn table(installer: &Path, name: &str) -> Vec<Vec<String>> {
    let output = run(Command::new("msiinfo").arg("export").arg(installer).arg(name));
    assert!(output.status.success(), "{name}: {}", text(&output));
    let lines = text(&output);
    lines.lines().skip(3).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// The row of a table that begins with `key`.
fn row(installer: &Path, name: &str, key: &str) -> Vec<String> {
    let rows = table(installer, name);
    rows.iter().find(|row| row[0] == key).unwrap_or_else(|| panic!("no {key} in {name}: {rows:?}")).clone()
}

#[test]
fn two_packings_give_the_same_bytes() {
    let Some(wine) = packers() else { return };
    let (first, second) = (Folder::new("packages-first"), Folder::new("packages-second"));
    let packages = pack(&wine, first.path(), VERSION);
    // A second later than anything that could be written down.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let again = pack(&wine, second.path(), VERSION);
    for (one, other) in [(&packages.0, &again.0), (&packages.1, &again.1)] {
        assert!(std::fs::read(one).unwrap() == std::fs::read(other).unwrap(), "{}", one.display());
    }
    let sums = run(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(first.path()));
    assert!(sums.status.success(), "{}", text(&sums));
    assert_eq!(text(&sums).lines().count(), 2);
}

#[test]
fn the_archive_holds_five_files_for_windows() {
    let Some(wine) = packers() else { return };
    let folder = Folder::new("packages-zip");
    let (archive, _) = pack(&wine, folder.path(), VERSION);
    let list = text(&run(Command::new("unzip").arg("-Z1").arg(&archive)));
    let top = format!("nicgate-client-{VERSION}-windows-x86_64");
    let names = ["LICENSE-APACHE.txt", "LICENSE-MIT.txt", "README.txt", "client.example.toml", "nicgate-client.exe"];
    assert_eq!(list.lines().collect::<Vec<_>>(), names.map(|name| format!("{top}/{name}")));
    let read = |name: &str| run(Command::new("unzip").arg("-p").arg(&archive).arg(format!("{top}/{name}"))).stdout;
    assert!(read("nicgate-client.exe") == std::fs::read(wine.client()).unwrap(), "it is the program");
    for name in &names[..4] {
        let text = String::from_utf8(read(name)).unwrap();
        assert!(text.lines().count() > 10 && text.split_inclusive('\n').all(|line| line.ends_with("\r\n")), "{name}");
        assert!(!text.contains("@VERSION@") && !text.contains("@HOME@"), "{name}");
    }
    assert!(String::from_utf8(read("README.txt")).unwrap().starts_with(&format!("nicgate client {VERSION} for")));
}

#[test]
fn the_installer_says_what_it_does_in_its_tables() {
    let Some(wine) = packers() else { return };
    let folder = Folder::new("packages-tables");
    let (_, installer) = pack(&wine, folder.path(), VERSION);
    let files: Vec<String> = table(&installer, "File").into_iter().map(|row| row[2].clone()).collect();
    let names = ["LICENSE-APACHE.txt", "LICENSE-MIT.txt", "README.txt", "client.example.toml", "nicgate-client.exe"];
    assert!(names.iter().all(|name| files.iter().any(|file| file == name)) && files.len() == 5, "{files:?}");
    // An upgrade replaces a program by its version alone.
    assert_eq!(row(&installer, "File", "nicgate_client.exe")[4], format!("{VERSION}.0"));
    for component in table(&installer, "Component") {
        assert_eq!((component[2].as_str(), component[3].as_str()), ("INSTALLDIR", "256"), "64 bits: {component:?}");
    }
    assert_eq!(row(&installer, "Directory", "INSTALLDIR")[1..], ["ProgramFiles64Folder", "nicgate"]);
    assert_eq!(table(&installer, "Environment"), [["Path", "=-*PATH", "[~];[INSTALLDIR]", "Program"]]);
    for (name, value) in [
        ("ALLUSERS", "1"),
        ("ARPNOMODIFY", "1"),
        ("ARPPRODUCTICON", "nicgate.ico"),
        ("Manufacturer", "nicgate"),
        ("ProductVersion", VERSION),
        ("REBOOT", "ReallySuppress"),
        ("UpgradeCode", UPGRADE_CODE),
    ] {
        assert_eq!(row(&installer, "Property", name)[1], value, "{name}");
    }
    assert!(row(&installer, "Property", "ARPHELPLINK")[1].ends_with("docs/windows.md"));
    // Older ones are replaced, of a newer one it only takes notice, and then refuses.
    let mut upgrades = table(&installer, "Upgrade");
    upgrades.sort();
    assert_eq!(upgrades[0][..5], [UPGRADE_CODE, "", VERSION, "", "1"]);
    assert_eq!(upgrades[1][..5], [UPGRADE_CODE, VERSION, "", "", "2"]);
    assert_eq!(table(&installer, "LaunchCondition")[0][0], "NOT WIX_DOWNGRADE_DETECTED");
    // Deferred (1024), as the system (2048), an installed program (18), whose exit code does not matter (64).
    assert_eq!(
        row(&installer, "CustomAction", "RemoveTasks")[1..4],
        ["3154", "nicgate_client.exe", "--quiet uninstall"]
    );
    let place = |action: &str| -> u32 {
        let row = row(&installer, "InstallExecuteSequence", action);
        row[2].parse().unwrap()
    };
    let order =
        ["RemoveExistingProducts", "InstallInitialize", "RemoveTasks", "RemoveFiles", "InstallFiles"].map(place);
    assert!(order.is_sorted(), "{order:?}");
    let condition = &row(&installer, "InstallExecuteSequence", "RemoveTasks")[1];
    assert_eq!(condition, r#"REMOVE="ALL" AND NOT UPGRADINGPRODUCTCODE"#);
}

/// A disk under Wine on which packages are installed.
struct Disk<'a>(&'a Wine);

impl Disk<'_> {
    /// Runs a program. What it starts in the background keeps no pipe of ours open.
    fn run(&self, program: &str, words: &[&str]) -> (bool, String) {
        let folder = Folder::new("packages-said");
        let said = folder.path().join("said");
        let file = std::fs::File::create(&said).unwrap();
        let mut command = self.0.command(Path::new(program));
        command.args(words).stdin(Stdio::null()).stderr(Stdio::null()).stdout(file);
        let status = command.status().unwrap();
        (status.success(), std::fs::read_to_string(said).unwrap_or_default())
    }

    fn msiexec(&self, verb: &str, installer: &Path) -> bool {
        self.run("msiexec", &[verb, &self.0.path(installer), "/qn"]).0
    }

    fn registry(&self, words: &[&str]) -> String {
        self.run("reg", &[&["query"], words].concat()).1
    }

    /// The entries of ours in the list of programs: their versions.
    fn entries(&self) -> Vec<String> {
        let list = self.registry(&[r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall", "/s"]);
        let keys = list.split("HKEY_LOCAL_MACHINE").filter(|key| key.contains("nicgate client"));
        let version = |key: &str| {
            let line = key.lines().find(|line| line.contains("DisplayVersion")).unwrap_or_default();
            line.split_whitespace().last().unwrap_or_default().to_owned()
        };
        keys.map(version).collect()
    }

    fn has_path(&self) -> bool {
        let key = r"HKLM\System\CurrentControlSet\Control\Session Manager\Environment";
        self.registry(&[key, "/v", "PATH"]).contains(r"C:\Program Files\nicgate\")
    }

    /// Whether Task Scheduler has a task of this name: only one that is there can be removed.
    fn takes_task_away(&self, name: &str) -> bool {
        self.run("schtasks", &["/delete", "/tn", name, "/f"]).0
    }
}

#[test]
fn an_installation_an_upgrade_and_a_removal_leave_what_they_should() {
    let Some(wine) = packers() else { return };
    let _alone = wine.scheduler();
    let disk = Disk(&wine);
    let folder = Folder::new("packages-installed");
    let (_, installer) = pack(&wine, folder.path(), VERSION);
    let (_, newer) = pack(&wine, folder.path(), "99.0.0");
    for left_over in [&installer, &newer] {
        disk.msiexec("/x", left_over);
    }
    assert!(disk.entries().is_empty() && !disk.has_path());
    assert!(!disk.run("nicgate-client", &["--version"]).0);
    disk.takes_task_away("nicgate-update");

    assert!(disk.msiexec("/i", &installer));
    assert_eq!(disk.run(PROGRAM, &["--version"]), (true, format!("nicgate-client {VERSION}\n")));
    // Found by its name alone, too.
    assert_eq!(disk.run("nicgate-client", &["--version"]), (true, format!("nicgate-client {VERSION}\n")));
    assert_eq!(disk.entries(), [VERSION]);
    assert!(disk.has_path());
    assert!(!disk.takes_task_away("nicgate-update"), "nothing is scheduled by itself");

    // Wine does not tell an old product that it makes room for a new one (UPGRADINGPRODUCTCODE), so whether a task
    // outlives an upgrade is for a real Windows to show.
    assert!(disk.msiexec("/i", &newer));
    assert_eq!(disk.entries(), ["99.0.0"]);
    assert!(disk.run(PROGRAM, &["--version"]).0 && disk.has_path(), "the program is there again");
    assert!(!disk.msiexec("/i", &installer), "an older one is refused");
    assert_eq!(disk.entries(), ["99.0.0"]);

    // A task as `install` makes it does not outlive the program.
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/src/task/golden/service-update.xml");
    let task = wine.path(&golden.canonicalize().unwrap());
    let create = || disk.run("schtasks", &["/create", "/xml", &task, "/tn", "nicgate-update", "/f"]).0;
    assert!(create() && disk.takes_task_away("nicgate-update") && create());
    assert!(disk.msiexec("/x", &newer));
    assert!(!disk.run(PROGRAM, &["--version"]).0, "the program is gone");
    assert!(disk.entries().is_empty() && !disk.has_path());
    assert!(!disk.takes_task_away("nicgate-update"), "and so is what it had scheduled");
}
