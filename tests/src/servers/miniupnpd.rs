//! miniupnpd: a home router's NAT-PMP, PCP and UPnP, in a network of the story's own. Its ports are fixed, and it
//! writes rules into the kernel's packet filter.

use std::net::Ipv4Addr;

use crate::namespace::Namespace;
use crate::{run, text, tool};

use super::{Server, said};

/// What a router speaks, and where it stands.
#[derive(Clone, Copy)]
pub struct Router<'a> {
    /// Its network.
    pub network: &'a Namespace,
    /// The card that leads home.
    pub inside: &'a str,
    /// The card that leads out; need not be there when `external` is given.
    pub outside: &'a str,
    /// What it calls its address outside, where that is not the card's. Must be a public one.
    pub external: Option<Ipv4Addr>,
    /// Whether it speaks NAT-PMP and PCP.
    pub speaks_natpmp: bool,
    /// Whether it speaks UPnP.
    pub speaks_upnp: bool,
}

/// A running miniupnpd.
pub struct Miniupnpd {
    /// Its process.
    pub server: Server,
}

impl Miniupnpd {
    /// Starts it. `None` when it or `nft` is not installed.
    ///
    /// # Panics
    /// When the packet filter does not take its tables.
    #[must_use]
    pub fn start(router: Router) -> Option<Self> {
        let (miniupnpd, nft) = (tool("miniupnpd")?, tool("nft")?);
        let yes = |wanted: bool| if wanted { "yes" } else { "no" };
        let external = router.external.map_or(String::new(), |address| format!("ext_ip={address}\n"));
        let configuration = format!(
            "ext_ifname={}\n{external}listening_ip={}\nport=0\nenable_natpmp={}\nenable_upnp={}\nsecure_mode=yes\n\
             uuid=6f0e3d1c-7a1c-4c55-8b5e-2b6c3f6d9a01\nallow 1024-65535 0.0.0.0/0 1024-65535\ndeny 0-65535 0.0.0.0/0 \
             0-65535\n",
            router.outside,
            router.inside,
            yes(router.speaks_natpmp),
            yes(router.speaks_upnp)
        );
        let (server, []) = Server::start(
            router.network.name(),
            |folder, []| {
                let (file, rules) = (folder.join("miniupnpd.conf"), folder.join("chains.nft"));
                std::fs::write(&file, &configuration)
                    .and_then(|()| std::fs::write(&rules, CHAINS))
                    .expect("a new folder takes files");
                let loaded = run(router.network.command(&nft).arg("-f").arg(rules));
                assert!(loaded.status.success(), "{}", text(&loaded));
                let mut command = router.network.command(&miniupnpd);
                command.args(["-d", "-f"]).arg(file).arg("-P").arg(folder.join("pid"));
                command
            },
            |folder, []| said(folder).contains(if router.speaks_natpmp { "NAT-PMP/PCP traffic" } else { "version" }),
        );
        Some(Self { server })
    }
}

/// The kernel's rules in a network, as `nft` lists them; `None` when that is not installed.
#[must_use]
pub fn rules(network: &Namespace) -> Option<String> {
    let nft = tool("nft")?;
    Some(text(&run(network.command(nft).args(["list", "ruleset"]))))
}

/// The chains that miniupnpd fills, under the names that it expects.
const CHAINS: &str = "table inet filter {
    chain miniupnpd { }
    chain prerouting_miniupnpd { }
    chain postrouting_miniupnpd { }
    chain forward { type filter hook forward priority 0; jump miniupnpd; }
    chain prerouting { type nat hook prerouting priority -100; jump prerouting_miniupnpd; }
    chain postrouting { type nat hook postrouting priority 100; jump postrouting_miniupnpd; }
}
";
