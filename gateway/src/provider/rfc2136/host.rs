//! One host of a job: what is believed to stand at its name, what it takes to believe otherwise, and what is remembered
//! of it between changes.

use std::fmt::Write as _;

use nicgate_protocol::{Family, Hostname};

use super::message::{Edit, Standing};
use super::plan;
use crate::provider::{Class, HostJob, Outcome};

/// How often a host may turn out to be other than it was believed. Twice: once for what was remembered, once for a
/// wildcard that looked like it. The third time somebody else is writing.
const MOST_SURPRISES: u32 = 3;
/// The first word of what is remembered; another form gets another number.
const FORM: &str = "1";
pub(super) const ALIAS: &str = "a CNAME stands at the name";

/// One family of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Nothing to do with us.
    Foreign,
    /// To be looked at.
    Unseen,
    /// What stands there, as far as we know.
    Believed(Standing),
}

/// One host of the job, and how far it got.
pub(super) struct Host {
    pub(super) job: HostJob,
    pub(super) sides: [Side; 2],
    /// Whether `sides` were looked at, rather than remembered.
    is_seen: bool,
    /// What was seen before the last surprise.
    relied_on: Option<[Side; 2]>,
    /// Whether what is seen comes from a wildcard (RFC 4592), and the name itself has nothing.
    is_synthesized: bool,
    surprises: u32,
    pub(super) ttls: [Option<u32>; 2],
    pub(super) outcome: Option<Outcome>,
}

impl Host {
    pub(super) fn new(job: HostJob, ttls: Option<[Option<u32>; 2]>) -> Self {
        let ttls = ttls.unwrap_or_default();
        let is_doubted = !job.doubted.is_empty();
        let before = job.written();
        let side = |family: Family| match before.of(family) {
            _ if !job.concerns(family) => Side::Foreign,
            _ if is_doubted => Side::Unseen,
            Some(address) => {
                let ttl = ttls[index(family)].or(job.before.as_ref().map(|before| before.ttl));
                Side::Believed(Standing { addresses: vec![address], ttl, is_alias: false })
            }
            None => Side::Believed(Standing::default()),
        };
        Self {
            sides: Family::BOTH.map(side),
            job,
            is_seen: is_doubted,
            relied_on: None,
            is_synthesized: false,
            surprises: 0,
            ttls,
            outcome: None,
        }
    }

    pub(super) fn side(&self, family: Family) -> &Side {
        &self.sides[index(family)]
    }

    pub(super) fn saw(&mut self, family: Family, standing: Standing) {
        self.sides[index(family)] = Side::Believed(standing);
        self.is_seen = true;
        // The server shows what it says is not there: a wildcard answers for the name.
        self.is_synthesized = self.relied_on.as_ref() == Some(&self.sides);
    }

    /// What stands there is not what was believed.
    pub(super) fn be_surprised(&mut self) {
        self.surprises += 1;
        let is_alias = |side: &Side| matches!(side, Side::Believed(Standing { is_alias: true, .. }));
        if self.is_seen && self.sides.iter().any(is_alias) {
            let text = format!("{ALIAS}; remove it, or give the host another name");
            self.outcome = Some(Outcome::refused(Class::Invalid, "in_the_way", &text));
        } else if self.surprises >= MOST_SURPRISES {
            let why = "the records of the name change while they are being changed";
            let (class, why) = (Class::Busy, why.into());
            self.outcome = Some(Outcome::Unconfirmed { class, why, retry_after: None, maybe_written: false });
        } else {
            self.relied_on = self.is_seen.then(|| self.sides.clone());
            for side in self.sides.iter_mut().filter(|side| **side != Side::Foreign) {
                *side = Side::Unseen;
            }
        }
    }

    pub(super) fn edit(&mut self) -> Result<Edit, Outcome> {
        let mut edit = Edit::default();
        for family in Family::BOTH {
            let Side::Believed(standing) = self.side(family) else { continue };
            let nothing = Standing::default();
            let standing = if self.is_synthesized { &nothing } else { standing };
            let (of_family, ttl) = plan::edit(&self.job, family, standing)?;
            self.ttls[index(family)] = ttl;
            edit.append(of_family);
        }
        Ok(edit)
    }

    pub(super) fn confirmed(&self, zone: &Hostname, configured: &Hostname) -> Outcome {
        let memory = Memory { zone: zone.clone(), ttls: self.ttls };
        let ttl = self.ttls.into_iter().flatten().next().unwrap_or(0);
        Outcome::Confirmed { remembered: Some(memory.write(configured).into()), ttl }
    }
}

fn index(family: Family) -> usize {
    match family {
        Family::V4 => 0,
        Family::V6 => 1,
    }
}

/// What is remembered of a host between changes: the server's zone, and the TTL of each type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) zone: Hostname,
    pub(super) ttls: [Option<u32>; 2],
}

impl Memory {
    /// `None` when it is no memory, or one of another configured zone.
    pub(super) fn parse(text: &str, configured: &Hostname) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some(FORM) || words.next() != Some(configured.as_str()) {
            return None;
        }
        let zone = Hostname::parse(words.next()?).ok().filter(|zone| configured.is_within(zone))?;
        let mut ttls = [None; 2];
        for word in words {
            let (kind, ttl) = word.split_once('=')?;
            let family = Family::BOTH.into_iter().find(|family| family.record_type() == kind)?;
            ttls[index(family)] = Some(ttl.parse().ok()?);
        }
        Some(Self { zone, ttls })
    }

    pub(super) fn write(&self, configured: &Hostname) -> String {
        let mut text = format!("{FORM} {configured} {}", self.zone);
        for family in Family::BOTH {
            if let Some(ttl) = self.ttls[index(family)] {
                // Writing into a String cannot fail.
                let _ = write!(text, " {}={ttl}", family.record_type());
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_read_and_anything_else_forgotten() {
        let configured = Hostname::parse("dyn.home.test").unwrap();
        let zone = Hostname::parse("home.test").unwrap();
        for (ttls, text) in [
            ([Some(60), Some(300)], "1 dyn.home.test home.test A=60 AAAA=300"),
            ([None, Some(300)], "1 dyn.home.test home.test AAAA=300"),
            ([None, None], "1 dyn.home.test home.test"),
        ] {
            let memory = Memory { zone: zone.clone(), ttls };
            assert_eq!(memory.write(&configured), text);
            assert_eq!(Memory::parse(text, &configured), Some(memory));
        }
        for other in [
            "",
            "2 dyn.home.test home.test A=60",
            "1 other.home.test home.test A=60",
            "1 dyn.home.test elsewhere.test A=60",
            "1 dyn.home.test home.test A",
            "1 dyn.home.test home.test A=x",
            "1 dyn.home.test home.test TXT=60",
        ] {
            assert_eq!(Memory::parse(other, &configured), None, "{other}");
        }
    }
}
