//! Names as keys: labels in wire form, lower case, without the root's empty label (RFC 1035 3.1).
//!
//! Built on the stack, so that a look-up allocates nothing. What a label may hold is not judged here: a
//! stranger's question may hold any octet, and then simply finds nothing.

use nicgate_protocol::Hostname;

/// The longest key: 255 octets on the wire less the root's one.
pub(super) const LONGEST: usize = 254;
/// The most labels that fit in it.
const MOST_LABELS: usize = LONGEST / 2;

/// A name ready to be looked up, whole or by its last labels.
pub(super) struct WireName {
    octets: [u8; LONGEST],
    length: usize,
    /// Where each label begins.
    starts: [u8; MOST_LABELS],
    labels: usize,
}

impl WireName {
    /// From labels, left to right, the root left out. Nothing when they make no name.
    pub(super) fn from_labels<'a>(labels: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut name = Self { octets: [0; LONGEST], length: 0, starts: [0; MOST_LABELS], labels: 0 };
        for label in labels {
            let end = name.length + 1 + label.len();
            if label.is_empty() || label.len() > 63 || end > LONGEST {
                return None;
            }
            *name.starts.get_mut(name.labels)? = name.length as u8;
            name.octets[name.length] = label.len() as u8;
            name.octets[name.length + 1..end].copy_from_slice(label);
            name.length = end;
            name.labels += 1;
        }
        // The octets that count a label's length are below `A` and stay as they are.
        name.octets[..name.length].make_ascii_lowercase();
        Some(name)
    }

    pub(super) fn from_hostname(hostname: &Hostname) -> Self {
        Self::from_labels(hostname.labels().map(str::as_bytes)).expect("a hostname has at most 253 characters")
    }

    /// From what `key` gave.
    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        let mut rest = key;
        Self::from_labels(std::iter::from_fn(|| {
            let (length, behind) = rest.split_first()?;
            let (label, behind) = behind.split_at_checked(usize::from(*length))?;
            rest = behind;
            Some(label)
        }))
    }

    /// The whole name.
    pub(super) fn key(&self) -> &[u8] {
        &self.octets[..self.length]
    }

    pub(super) fn labels(&self) -> usize {
        self.labels
    }

    /// The last `labels` labels; the whole name when it has no more than that.
    pub(super) fn suffix(&self, labels: usize) -> &[u8] {
        let starts = &self.starts[..self.labels];
        let start = starts.get(self.labels.saturating_sub(labels)).map_or(self.length, |start| usize::from(*start));
        &self.octets[start..self.length]
    }

    /// The names strictly between this one and its last `labels` labels, nearest first.
    pub(super) fn between(&self, labels: usize) -> impl Iterator<Item = &[u8]> {
        (labels + 1..self.labels).rev().map(|depth| self.suffix(depth))
    }

    /// `*` in front of the last `labels` labels, written into `room`. Only asked of a longer name: then it fits.
    pub(super) fn wildcard<'a>(&self, labels: usize, room: &'a mut [u8; LONGEST]) -> Option<&'a [u8]> {
        let base = self.suffix(labels);
        let wildcard = room.get_mut(..base.len() + 2)?;
        wildcard[..2].copy_from_slice(b"\x01*");
        wildcard[2..].copy_from_slice(base);
        Some(wildcard)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(text: &str) -> WireName {
        WireName::from_hostname(&Hostname::parse(text).unwrap())
    }

    #[test]
    fn a_name_is_taken_apart_by_its_last_labels() {
        let name = wire("a.bc.home.test");
        assert_eq!(name.key(), b"\x01a\x02bc\x04home\x04test");
        assert_eq!(name.labels(), 4);
        assert_eq!(name.suffix(0), b"");
        assert_eq!(name.suffix(2), b"\x04home\x04test");
        assert_eq!(name.suffix(4), name.key());
        assert_eq!(name.suffix(9), name.key());
        assert_eq!(name.between(2).collect::<Vec<_>>(), [b"\x02bc\x04home\x04test".as_slice()]);
        assert_eq!(name.between(3).count(), 0);
        assert_eq!(name.wildcard(2, &mut [0; LONGEST]), Some(b"\x01*\x04home\x04test".as_slice()));
        assert_eq!(WireName::from_key(name.key()).unwrap().suffix(1), b"\x04test");
    }

    #[test]
    fn labels_of_a_stranger_keep_their_octets_but_lose_their_case() {
        let name = WireName::from_labels([b"A.\0\xc4".as_slice(), b"Test"].into_iter()).unwrap();
        assert_eq!(name.key(), b"\x04a.\0\xc4\x04test");
    }

    #[test]
    fn what_is_too_long_is_no_name() {
        let label = [b'a'; 63];
        assert!(WireName::from_labels([label.as_slice(); 3].into_iter().chain([&label[..61]])).is_some());
        assert!(WireName::from_labels([label.as_slice(); 3].into_iter().chain([&label[..62]])).is_none());
        assert!(WireName::from_labels([b"a".as_slice(); 127].into_iter()).is_some());
        assert!(WireName::from_labels([b"a".as_slice(); 128].into_iter()).is_none());
        assert!(WireName::from_labels([[b'a'; 64].as_slice()].into_iter()).is_none());
    }
}
