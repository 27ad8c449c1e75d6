//! A disk that is full, read-only or somebody else's: nothing is answered `good` that is not recorded, nobody has to
//! restart anything, and what cannot start says why.
//!
//! A small file system is mounted for it, which takes root; without, the story says that it is skipped.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nicgate_tests::program::{Refused, Served, Site};
use nicgate_tests::wire::{self, Connection};
use nicgate_tests::{Answer, PLAIN, Request, dig, run, text};

/// Longer than the store waits before it tries a file again that failed.
const PAUSE: Duration = Duration::from_millis(210);

/// A file system in memory, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    /// Mounts one of `size` at the site's data folder.
    fn mount(site: &Site, size: &str) -> Option<Self> {
        let folder = site.data();
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).arg(&folder);
        let output = run(&mut command);
        if output.status.success() {
            return Some(Self(folder));
        }
        let may_miss = std::env::var_os("NICGATE_TESTS_COMPLETE").is_none() || !is_root();
        assert!(may_miss, "no file system can be mounted, though we are root: {}", text(&output));
        eprintln!("SKIPPED: no file system can be mounted for it: {}", text(&output).trim());
        None
    }

    fn remount(&self, options: &str) {
        let output = run(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
        assert!(output.status.success(), "{}", text(&output));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a gateway that is being killed may still hold a file.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn is_root() -> bool {
    let output = run(Command::new("id").arg("-u"));
    text(&output).trim() == "0"
}

/// A device that sends one update after the other over one connection.
struct Device {
    connection: Connection,
    authorization: String,
}

impl Device {
    fn new(site: &Site, served: &Served) -> Self {
        use base64::Engine as _;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("box:{}", site.password("box")));
        let connection = Connection::open(served.https[0], &wire::tls_config(&site.ca())).unwrap();
        Self { connection, authorization: format!("Basic {pair}") }
    }

    fn ask(&mut self, target: &str) -> Answer {
        let request = Request::get(target).kept().header("Authorization", &self.authorization);
        self.connection.ask(&request).unwrap()
    }

    /// Updates hosts until so many in a row are refused, and gives those that were answered `good`. One refusal may
    /// pass: opened anew, the store finds a few pages free that it had given up before.
    fn fill_until(&mut self, refusals_in_a_row: u32) -> Vec<u32> {
        let mut good = Vec::new();
        let mut refusals = 0;
        while refusals < refusals_in_a_row {
            let number = good.len() as u32;
            let answer = self.update(number);
            if answer.status == 200 {
                assert_eq!(answer.body, format!("good {}\n", address(number)));
                good.push(number);
                refusals = 0;
            } else {
                assert_eq!((answer.status, answer.body.as_str()), (503, "911\n"));
                refusals += 1;
                thread::sleep(PAUSE);
            }
            assert!(number < 20_000, "so small a disk takes no end of updates");
        }
        good
    }

    fn update(&mut self, number: u32) -> Answer {
        self.ask(&format!("/nic/update?hostname={}&myip={}", name(number), address(number)))
    }
}

/// Names as long as they may be, so that the disk is full soon.
fn name(number: u32) -> String {
    let label = "x".repeat(63);
    format!("h{number}.{label}.{label}.lan.home.test")
}

fn address(number: u32) -> String {
    format!("10.1.{}.{}", number >> 8, number & 0xff)
}

fn assert_all_there(dns: SocketAddr, numbers: &[u32]) {
    for number in numbers {
        assert_eq!(dig(dns, &name(*number), "A"), [address(*number)], "update {number} was answered good");
    }
}

#[test]
fn a_full_disk_is_911_and_room_again_is_good() {
    let site = Site::new("full", PLAIN);
    let Some(disk) = Disk::mount(&site, "128k") else { return };
    let served = site.serve();
    let mut device = Device::new(&site, &served);
    assert_eq!(device.ask("/readyz").status, 200);

    let mut good = device.fill_until(3);
    let number = good.len() as u32;
    let refused = device.update(number);
    assert_eq!((refused.status, refused.body.as_str()), (503, "911\n"), "{}", served.text());
    assert_eq!(refused.header("retry-after"), Some("60"));
    assert!(good.len() > 50, "{} updates filled it", good.len());

    // Reads go on, writes go on being refused, and whoever watches us knows.
    assert_eq!(device.ask("/readyz").status, 503);
    for _ in 0..3 {
        assert_eq!(device.update(number).body, "911\n");
        thread::sleep(PAUSE);
    }
    assert_eq!(device.update(good[0]).body, format!("nochg {}\n", address(good[0])));
    assert!(dig(served.dns[0], &name(number), "A").is_empty(), "what was refused is served");
    assert_all_there(served.dns[0], &good);
    assert!(served.log().iter().any(|line| line["error_code"] == "store_unwritable"), "{}", served.text());

    // Room again: no restart.
    disk.remount("size=2m");
    let mut answers = (0..5).map(|_| {
        thread::sleep(PAUSE);
        device.update(number)
    });
    let answer = answers.find(|answer| answer.status == 200).expect("room is found at once");
    assert_eq!(answer.body, format!("good {}\n", address(number)));
    good.push(number);
    assert_eq!(device.ask("/readyz").status, 200);

    // Killed, so that nothing is tidied up on the way out.
    served.kill();
    let served = site.serve();
    assert_all_there(served.dns[0], &good);
}

#[test]
fn what_was_good_survives_a_kill_while_the_disk_is_full() {
    let site = Site::new("full-killed", PLAIN);
    let Some(disk) = Disk::mount(&site, "128k") else { return };
    let served = site.serve();
    let mut device = Device::new(&site, &served);
    let good = device.fill_until(1);
    let refused = good.len() as u32;
    served.kill();

    // Whether it starts on a full disk or says that it cannot: it forgets nothing.
    match Served::start(&site.configuration()) {
        Ok(served) => assert_all_there(served.dns[0], &good),
        Err(Refused { status, text }) => {
            assert_eq!(status.code(), Some(1), "{text}");
            assert!(text.contains("cannot be written") && text.contains("check free space"), "{text}");
        }
    }
    disk.remount("size=2m");
    let served = site.serve();
    assert_all_there(served.dns[0], &good);
    let mut device = Device::new(&site, &served);
    assert_eq!(device.update(refused).body, format!("good {}\n", address(refused)));
}

#[test]
fn a_data_folder_that_cannot_be_written_is_said_so() {
    let refused = |site: &Site| {
        let refused = Served::start(&site.configuration()).err().expect("it must not start");
        assert_eq!(refused.status.code(), Some(1), "{}", refused.text);
        assert!(refused.text.contains("check free space, owner and mode of its folder"), "{}", refused.text);
        assert!(!refused.text.contains("panicked"), "{}", refused.text);
        refused.text
    };

    let site = Site::new("no-folder", PLAIN);
    std::fs::write(site.data(), "a file where a folder should be").unwrap();
    let said = refused(&site);
    assert!(said.contains(&site.data().display().to_string()), "{said}");

    let site = Site::new("read-only", PLAIN);
    let Some(disk) = Disk::mount(&site, "128k") else { return };
    disk.remount("ro");
    let said = refused(&site);
    assert!(said.contains("Read-only file system"), "{said}");
}

#[test]
fn a_second_gateway_on_the_same_data_is_refused() {
    let site = Site::new("second", PLAIN);
    let first = site.serve();
    let second = Served::start(&site.configuration()).err().expect("there is one already");
    assert_eq!(second.status.code(), Some(1), "{}", second.text);
    assert!(second.text.contains("belongs to another running nicgate; stop that one"), "{}", second.text);
    // The first one has not noticed.
    let mut device = Device::new(&site, &first);
    assert_eq!(device.ask("/nic/update?hostname=a.home.test&myip=192.0.2.1").body, "good 192.0.2.1\n");
    assert!(first.stop().success());
    assert!(site.serve().stop().success());
}
