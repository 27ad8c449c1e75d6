//! Linux: `/proc/net/if_inet6` tells which IPv6 addresses are temporary, deprecated or tentative.
//!
//! One line for each address: 32 hex digits, interface index, prefix length, scope, flags (all hex), interface name.
//! The flags are `IFA_F_*` of `linux/if_addr.h`.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::choose::Marks;

/// `IFA_F_TEMPORARY`: a privacy address (RFC 8981).
const TEMPORARY: u8 = 0x01;
/// `IFA_F_DADFAILED`: somebody else has the address.
const DUPLICATE: u8 = 0x08;
/// `IFA_F_DEPRECATED`: past its preferred lifetime.
const DEPRECATED: u8 = 0x20;
/// `IFA_F_TENTATIVE`: duplicate detection is not over.
const TENTATIVE: u8 = 0x40;

/// The marks of every address. Nothing where the kernel has no IPv6.
#[cfg(target_os = "linux")]
pub(super) fn address_marks() -> BTreeMap<Ipv6Addr, Marks> {
    std::fs::read_to_string("/proc/net/if_inet6").map(|text| parse(&text)).unwrap_or_default()
}

/// Reads the table; lines of another form are passed over.
fn parse(text: &str) -> BTreeMap<Ipv6Addr, Marks> {
    text.lines().filter_map(parse_line).collect()
}

fn parse_line(line: &str) -> Option<(Ipv6Addr, Marks)> {
    let mut words = line.split_ascii_whitespace();
    let digits = words.next().filter(|digits| digits.len() == 32)?;
    let address = Ipv6Addr::from_bits(u128::from_str_radix(digits, 16).ok()?);
    let flags = u8::from_str_radix(words.nth(3)?, 16).ok()?;
    let marks = Marks {
        is_temporary: flags & TEMPORARY != 0,
        is_deprecated: flags & DEPRECATED != 0,
        is_tentative: flags & (TENTATIVE | DUPLICATE) != 0,
    };
    Some((address, marks))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_from_the_kernels_table() {
        let table = parse(
            "20010db8000000000000000000000001 02 40 00 80     eth0\n\
             20010db8000000000000000000000002 02 40 00 01     eth0\n\
             20010db8000000000000000000000003 02 40 00 21     eth0\n\
             20010db8000000000000000000000004 02 40 00 40   wlan0\n\
             20010db8000000000000000000000005 02 40 00 c8   wlan0\n\
             00000000000000000000000000000001 01 80 10 80       lo\n",
        );
        let marks = |last: u16| {
            let marks = table[&Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last)];
            (marks.is_temporary, marks.is_deprecated, marks.is_tentative)
        };
        assert_eq!(marks(1), (false, false, false));
        assert_eq!(marks(2), (true, false, false));
        assert_eq!(marks(3), (true, true, false));
        assert_eq!(marks(4), (false, false, true));
        assert_eq!(marks(5), (false, false, true));
        assert_eq!(table.len(), 6);
    }

    #[test]
    fn lines_of_another_form_are_passed_over() {
        for line in [
            "",
            "x",
            "20010db8 02 40 00 80 eth0",
            "20010db8000000000000000000000001 02 40",
            "20010db8000000000000000000000001 02 40 00 zz eth0",
            "+0010db8000000000000000000000001 02 40 00 8z eth0",
        ] {
            assert!(parse(line).is_empty(), "{line:?}");
        }
    }
}
