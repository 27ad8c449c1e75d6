//! What must hold on every system, asked of the one at hand.

use std::net::IpAddr;
use std::path::PathBuf;

use super::*;

/// A file of its own for each test; gone at the end.
struct Scrap(PathBuf);

impl Scrap {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("nicgate-platform-{}-{name}", std::process::id()));
        std::fs::write(&path, "secret").unwrap();
        Self(path)
    }
}

impl Drop for Scrap {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_loopback_is_listed_and_known() {
    let interfaces = interfaces().unwrap();
    let loopback = interfaces.iter().find(|interface| interface.kind == Kind::Loopback).unwrap();
    assert!(loopback.is_up && loopback.routes.is_empty() && loopback.mac.is_none(), "{loopback:?}");
    let local = loopback.addresses.iter().find(|local| local.address == IpAddr::from([127, 0, 0, 1])).unwrap();
    assert_eq!((local.prefix, local.marks), (8, None));
    let mut names: Vec<_> = interfaces.iter().map(|interface| &interface.name).collect();
    names.dedup();
    assert_eq!(names.len(), interfaces.len(), "each is listed once");
}

#[test]
fn a_default_route_leaves_by_a_card_that_is_up_and_has_an_address_of_its_family() {
    for interface in interfaces().unwrap() {
        for route in &interface.routes {
            let is_usable = |local: &Local| local.address.is_ipv4() == route.router.is_ipv4();
            assert!(interface.is_up && interface.addresses.iter().any(is_usable), "{interface:?}");
        }
    }
}

#[tokio::test]
async fn changes_can_be_watched_and_given_up() {
    let mut changes = Changes::watch().unwrap();
    // Nothing has to happen meanwhile; waiting must neither fail nor turn into a busy loop.
    let soon = std::time::Duration::from_millis(20);
    let _ = tokio::time::timeout(soon, changes.next()).await;
    drop(changes);
    assert!(Changes::watch().is_ok(), "once more");
}

#[test]
fn a_sealed_key_comes_back() {
    for scope in [Scope::User, Scope::Machine] {
        let sealed = seal(b"a key", scope).unwrap();
        assert_eq!(sealed.is_some(), cfg!(windows));
        let Some(sealed) = sealed else {
            assert_eq!(unseal(b"a key").err().unwrap().kind(), io::ErrorKind::Unsupported);
            continue;
        };
        assert!(!sealed.windows(5).any(|part| part == b"a key"), "{scope:?}: it can be read");
        assert_eq!(unseal(&sealed).unwrap().expose(), b"a key", "{scope:?}");
        assert!(unseal(&sealed[..sealed.len() / 2]).is_err(), "{scope:?}: half of it");
        assert!(unseal(b"").is_err());
    }
}

#[test]
fn files_and_folders_are_restricted_or_it_is_said() {
    let file = Scrap::new("restricted");
    let folder = Scrap::new("restricted-folder");
    std::fs::remove_file(&folder.0).unwrap();
    std::fs::create_dir(&folder.0).unwrap();
    for (path, readers) in [
        (&file.0, Readers::Owner),
        (&file.0, Readers::Service),
        (&folder.0, Readers::ServiceWriter),
        (&folder.0, Readers::Administrators),
        (&folder.0, Readers::Owner),
    ] {
        match restrict(path, readers) {
            // To give something to the administrators takes one.
            Err(fault) if cfg!(windows) && readers != Readers::Owner && !is_elevated() => {
                assert!(fault.raw_os_error().is_some(), "{readers:?}: {fault}");
                continue;
            }
            result => result.unwrap(),
        }
        assert_eq!(is_readable_by_others(path), if cfg!(windows) { None } else { Some(false) });
    }
    assert_eq!(std::fs::read(&file.0).unwrap(), b"secret", "the owner still reads");
    std::fs::write(folder.0.join("inside"), "x").unwrap();
    assert_eq!(restrict(&folder.0.join("missing"), Readers::Owner).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_private_file_is_private_before_anything_stands_in_it() {
    let folder = std::env::temp_dir().join(format!("nicgate-private-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("key");
    let mut file = create_private(&path, Readers::Owner).unwrap();
    assert_eq!(is_readable_by_others(&path), if cfg!(windows) { None } else { Some(false) });
    io::Write::write_all(&mut file, b"secret").unwrap();
    drop(file);
    assert_eq!(std::fs::read(&path).unwrap(), b"secret");
    assert_eq!(create_private(&path, Readers::Owner).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    if cfg!(unix) {
        share(&path, Readers::Service).unwrap();
        assert_eq!(is_readable_by_others(&path), Some(true));
        // A folder that somebody made and closed stays closed.
        restrict(&folder, Readers::Owner).unwrap();
        claim_folder(&folder, Readers::ServiceWriter, false).unwrap();
        assert_eq!(is_readable_by_others(&folder), Some(false));
        claim_folder(&folder, Readers::ServiceWriter, true).unwrap();
        assert_eq!(is_readable_by_others(&folder), Some(true));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn what_others_may_change_is_found_with_every_folder_on_the_way() {
    use std::os::unix::fs::PermissionsExt;
    if !is_elevated() {
        return;
    }
    let folder = std::fs::canonicalize(std::env::temp_dir()).unwrap().join(format!("nicgate-x-{}", std::process::id()));
    let inner = folder.join("a/b");
    std::fs::create_dir_all(&inner).unwrap();
    let path = inner.join("file");
    std::fs::write(&path, "x").unwrap();
    for (changed, mode, found) in [
        (&path, 0o644, None),
        (&path, 0o664, Some(&path)),
        (&path, 0o600, None),
        (&inner, 0o1777, Some(&inner)),
        (&inner, 0o755, None),
        (&folder, 0o775, Some(&folder)),
        (&folder, 0o700, None),
    ] {
        std::fs::set_permissions(changed, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(exposed(&path).as_ref(), found, "{} {mode:o}", changed.display());
    }
    std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
    assert_eq!(exposed(&path).as_ref(), Some(&path), "it is somebody's");
    assert_eq!(exposed(&folder.join("missing")), Some(folder.join("missing")));
    std::fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn what_a_link_points_to_is_not_restricted() {
    let (file, link) = (Scrap::new("pointed-to"), Scrap::new("link"));
    share(&file.0, Readers::Service).unwrap();
    std::fs::remove_file(&link.0).unwrap();
    std::os::unix::fs::symlink(&file.0, &link.0).unwrap();
    for result in [restrict(&link.0, Readers::Owner), share(&link.0, Readers::Service)] {
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(is_readable_by_others(&file.0), Some(true), "it is as it was");
}

#[test]
fn what_is_held_stays_as_it_was_written() {
    let file = Scrap::new("held");
    assert_eq!(write_held(&file.0, b"x").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    std::fs::remove_file(&file.0).unwrap();
    let held = write_held(&file.0, b"a task").unwrap();
    assert_eq!(std::fs::read(&file.0).unwrap(), b"a task", "others read it meanwhile");
    if cfg!(windows) {
        assert!(std::fs::write(&file.0, b"another").is_err());
        assert!(std::fs::remove_file(&file.0).is_err());
    }
    assert_eq!(std::fs::read(&file.0).unwrap(), b"a task");
    drop(held);
    std::fs::remove_file(&file.0).unwrap();
}

#[test]
fn a_machine_has_a_short_name() {
    let name = machine_name().unwrap();
    assert!(!name.contains(['.', '\n']), "{name:?}");
}

#[test]
fn folders_are_absolute_and_the_users_own_comes_from_the_environment() {
    assert!(system_folder().is_absolute());
    assert_eq!(own_folder(&|_| None), None);
    assert_eq!(own_folder(&|_| Some(String::new())), None);
    let of = |set: &'static [&'static str]| own_folder(&move |name| set.contains(&name).then(|| name.to_owned()));
    if cfg!(windows) {
        assert_eq!(of(&["APPDATA", "HOME"]), Some(PathBuf::from("APPDATA").join("nicgate")));
    } else {
        assert_eq!(of(&["HOME"]), Some(PathBuf::from("HOME/.config/nicgate")));
        assert_eq!(of(&["HOME", "XDG_CONFIG_HOME"]), Some(PathBuf::from("XDG_CONFIG_HOME/nicgate")));
    }
}

#[test]
fn a_hidden_program_says_what_it_has_to_say() {
    let (program, arguments) = if cfg!(windows) {
        (system_program("cmd.exe"), ["/c", "echo hidden& exit 3"])
    } else {
        (PathBuf::from("/bin/sh"), ["-c", "echo hidden; exit 3"])
    };
    let output = run_hidden(&program, &arguments.map(OsString::from)).unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "hidden");
    assert!(run_hidden(Path::new("/there/is/no/such/program"), &[]).is_err());
}

/// A program that Windows brings along.
fn system_program(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("SystemRoot").unwrap_or_default()).join("System32").join(name)
}
