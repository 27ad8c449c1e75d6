//! Networks of a story's own: namespaces of the Linux kernel, tied together by pairs of virtual cards. A story sees
//! its routers and uplinks there, and nothing of the machine's; routers with fixed ports disturb nobody.
//!
//! It takes root. Where the kernel refuses, a story says so and is skipped, also under `NICGATE_TESTS_COMPLETE`:
//! a right cannot be installed.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{run, text, tool};

/// A network of its own, with nothing in it but loopback. Goes with its owner, and its cards with it.
pub struct Namespace {
    name: String,
    /// Where the program is that makes it.
    ip: PathBuf,
}

/// One end of a cable.
#[derive(Clone, Copy)]
pub struct End<'a> {
    /// The network that has it.
    pub network: &'a Namespace,
    /// What the card is called there; 15 letters at the most.
    pub card: &'a str,
    /// Its addresses with their prefix lengths: `10.0.0.1/24`.
    pub addresses: &'a [&'a str],
}

impl Namespace {
    /// A new one; `None`, with a word about it, where there is no `ip` or this user may not.
    ///
    /// # Panics
    /// When loopback cannot be switched on.
    #[must_use]
    pub fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let ip = tool("ip")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nicgate-{}-{number}", std::process::id());
        let made = run(Command::new(&ip).args(["netns", "add", &name]));
        if !made.status.success() {
            eprintln!("skipped: no network of its own for this story: {}", text(&made).trim());
            return None;
        }
        let namespace = Self { name, ip };
        namespace.ip("link set lo up");
        Some(namespace)
    }

    /// What `ip netns` calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Has `ip` do something here: `route add default via 10.0.0.1`.
    ///
    /// # Panics
    /// When it does not.
    pub fn ip(&self, arguments: &str) {
        let mut command = Command::new(&self.ip);
        let output = run(command.args(["-n", &self.name]).args(arguments.split(' ')));
        assert!(output.status.success(), "ip -n {} {arguments}: {}", self.name, text(&output));
    }

    /// A command that will run here. It keeps the process id of what is spawned.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Does something in this network, in a thread that has moved into it. Threads and tasks that it starts are in it
    /// as well.
    ///
    /// # Panics
    /// When the thread cannot move, or panics.
    pub fn run<T: Send>(&self, story: impl FnOnce() -> T + Send) -> T {
        let door = File::open(Path::new("/run/netns").join(&self.name)).expect("`ip netns add` made it");
        std::thread::scope(|scope| {
            let told = scope.spawn(|| {
                move_into_link_name_space(door.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("who may make a network may enter it");
                story()
            });
            told.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Fails only for one that somebody else has removed.
        let _ = Command::new(&self.ip).args(["netns", "del", &self.name]).output();
    }
}

/// Lays a cable between two networks: a pair of cards, up, with their addresses. IPv6 addresses are of use at once.
///
/// # Panics
/// When a name is taken or an address is none.
pub fn cable(one: End, other: End) {
    one.network.ip(&format!("link add {} type veth peer name {} netns {}", one.card, other.card, other.network.name));
    for End { network, card, addresses } in [one, other] {
        for address in addresses {
            // Nobody else can have it: looking for duplicates would cost seconds.
            let at_once = if address.contains(':') { " nodad" } else { "" };
            network.ip(&format!("address add {address} dev {card}{at_once}"));
        }
        network.ip(&format!("link set {card} up"));
    }
}
