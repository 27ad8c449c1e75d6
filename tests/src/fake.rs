//! Fakes of the providers' APIs on loopback, and the server they all plug into.
//!
//! A fake is as strict as its vendor at least, and knows nothing of our provider file: whoever writes it reads the
//! vendor's pages and recorded traffic, not `gateway/src/provider`. A fake that takes what the vendor would refuse
//! makes a test that cannot fail.
//!
//! # How to write one
//!
//! One file `fake/NAME.rs` and one word in the `fakes!` line below.
//!
//! - A struct with a [`Zone`] in it, and [`Api`] for it: [`Api::answer`] reads an [`Asked`] and gives a [`Said`];
//!   [`Api::is_write`] tells which calls change something. All state about records lives in the zone, whatever form the
//!   vendor gives it (ids, record sets, members of a domain object): so the suite can look, put and remove without
//!   knowing the vendor. What a vendor's records have beside (comment, line, weight) is [`Record::extra`], and stays
//!   when a caller does not name it, or goes when the real one forgets it.
//! - Match on `(asked.method(), asked.path().as_slice())`. What matches nothing is [`Asked::unknown_call`]: answered as
//!   the vendor answers, and noted.
//! - Answer what the vendor answers: status, headers, body, its own error codes and words; and refuse what it refuses:
//!   wrong credential, unknown zone or record, an address of the other family, a TTL below its least, the same record
//!   twice, a CNAME beside another record, a deletion whose values do not match. An API that answers 200 to a failure
//!   does so here too. Echo the vendor's spelling: final dots, `\052`, upper case, numbers as text.
//! - What a vendor lets pass but no careful caller does is a *mistake*, not an answer: an unknown parameter
//!   ([`Asked::only_parameters`]) or member ([`Asked::only_members`]), a header that is missing or sent twice, a wrong
//!   content type ([`Asked::json`], [`Asked::form`]), a write that would reset what was set by hand. Every test fails
//!   on any ([`Fake::mistakes`]). The server itself asks for our User-Agent, for a content type exactly where there is
//!   content, and for no body on GET.
//! - Credentials are constants in the fake, taken by [`Asked::credential`], [`Asked::basic`], [`Asked::header`] or
//!   [`Asked::parameter`], before anything else is looked at. Secrets are long enough to be found in a text.
//! - A signature is computed again from the request as it came over the wire ([`Asked::raw_path`],
//!   [`Asked::raw_query`], [`Asked::host`], [`Asked::body`]) and `now`, by code that shares nothing with ours
//!   ([`hmac_sha256`] and [`sha256_hex`] are there), written after the vendor's page and held to the vendor's published
//!   examples by a unit test in the same file. Time windows and nonces count. Where the vendor publishes an SDK, name a
//!   program of `tests/oracles` in [`Traits::oracle`] as well: the suite shows it every request that a story sent, in
//!   one go.
//! - `SUBJECT`, with the [`Traits`] that differ from [`Traits::USUAL`]: that enters the fake into the suite
//!   (`scenarios/every_provider.rs`), which must pass. What is special to a vendor gets a scenario file of its own
//!   beside it.
//!
//! An id, a field or a code that no page and no recording shows is not invented: the file says that it is unknown.
//!
//! # Mishaps
//!
//! Misbehaviour is the server's, the same for all: [`Fake::then`], [`Fake::then_at_write`], [`Fake::always`] take a
//! [`Mishap`]. Nothing of it belongs into a fake.
//!
//! # What is no HTTP
//!
//! DNS UPDATE is tried on real name servers: they enter the suite by a [`Vendor`] of their own that holds the running
//! program and ends it when dropped.

mod asked;
mod canonical;
mod digest;
mod said;
mod server;
mod subject;
mod zone;

use nicgate_protocol::Timestamp;

pub use asked::{Asked, pairs};
pub use digest::{hex, hmac_sha256, sha256_hex};
pub use said::{Mishap, Said, http_date};
pub use server::{Fake, Seen};
pub use subject::{Removal, Started, Subject, Traits, Vendor};
pub use zone::{Record, Zone};

/// Writes the modules and the list that the suite goes through. `cargo fmt` does not enter modules named in a macro: a
/// format check names `tests/src/fake/*.rs` by hand.
macro_rules! fakes {
    ($($name:ident),+ $(,)?) => {
        $(pub mod $name;)+

        /// All subjects of the suite.
        pub static SUBJECTS: &[&Subject] = &[$(&$name::SUBJECT),+];

        /// Hands the names of all fakes to a macro.
        #[macro_export]
        macro_rules! for_every_fake {
            ($stories:ident) => { $stories! { $($name)+ } };
        }
    };
}

fakes! {
    alidns,
    baidu,
    bunny,
    cloudflare,
    desec,
    digitalocean,
    dnspod,
    duckdns,
    dyndns2,
    dynu,
    dynv6,
    gandi,
    gcore,
    godaddy,
    hetzner,
    huaweicloud,
    inwx,
    ionos,
    linode,
    namecheap,
    namecom,
    namesilo,
    netcup,
    noip,
    ovh,
    porkbun,
    powerdns,
    rfc2136,
    route53,
    scaleway,
    spaceship,
    vercel,
    volcengine,
    vultr,
    webhook,
}

/// One vendor's API, as the vendor describes it.
pub trait Api: Send + 'static {
    /// The part of the path that belongs to the endpoint, as in the vendor's own base URL: `/client/v4`. Empty for none.
    fn base(&self) -> &'static str {
        ""
    }

    /// Answers one request; `now` is for signatures and tokens that expire.
    fn answer(&mut self, asked: &Asked, now: Timestamp) -> Said;

    /// Whether a request is one that changes records. Logging in is none.
    fn is_write(&self, asked: &Asked) -> bool;

    /// Its zone.
    fn zone(&mut self) -> &mut Zone;

    /// Puts a record there as somebody would by hand. A fake that keeps something beside each record fills in what
    /// `record.extra` leaves out.
    fn put_by_hand(&mut self, record: Record) {
        self.zone().add(record);
    }
}
