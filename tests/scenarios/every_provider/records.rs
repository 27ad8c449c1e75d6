//! What becomes of records when all goes well, and when somebody else has been there.

use nicgate::provider::{Outcome, Sight};
use nicgate_tests::fake::{Record, Removal};
use serde_json::json;

use super::bench::Bench;

pub(super) async fn the_first_address_is_made(mut bench: Bench) {
    let calls = bench.confirm(&bench.host(), "192.0.2.1").await;
    assert!(bench.fake().is_none() || calls == bench.traits.first_calls, "{}: {calls} calls", bench.word);
}

pub(super) async fn a_change_is_made_in_place_by_as_few_calls_as_can_be(mut bench: Bench) {
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1").await;
    for last in 2..5 {
        let calls = bench.confirm(&host, &format!("192.0.2.{last}")).await;
        let expected = bench.traits.change_calls + usize::from(bench.traits.learns_late && last == 2);
        assert!(bench.fake().is_none() || calls == expected, "{}: {calls} calls", bench.word);
    }
}

pub(super) async fn both_families_are_made_and_changed(mut bench: Bench) {
    if !bench.traits.has_ipv6 {
        return;
    }
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1,2001:db8::1").await;
    let calls = bench.confirm(&host, "192.0.2.2,2001:db8::2").await;
    let expected = bench.traits.dual_stack_calls + usize::from(bench.traits.learns_late);
    assert!(bench.fake().is_none() || calls == expected, "{}: {calls} calls", bench.word);
    bench.confirm(&host, "192.0.2.2,2001:db8::3").await;
    bench.confirm(&host, "192.0.2.3,2001:db8::3").await;
    // One after the other, as many routers send them.
    let late = bench.below("late");
    bench.confirm(&late, "2001:db8::1").await;
    bench.confirm(&late, "192.0.2.1,2001:db8::1").await;
}

pub(super) async fn no_change_costs_no_call(mut bench: Bench) {
    let host = bench.host();
    let wanted = if bench.traits.has_ipv6 { "192.0.2.1,2001:db8::1" } else { "192.0.2.1" };
    bench.confirm(&host, wanted).await;
    assert_eq!(bench.confirm(&host, wanted).await, 0, "{}", bench.word);
}

pub(super) async fn a_family_that_is_not_asked_for_stays(mut bench: Bench) {
    if !bench.traits.has_ipv6 {
        return;
    }
    let host = bench.host();
    bench.vendor.put_by_hand(by_hand(&bench, "AAAA", "2001:db8::99"));
    for address in ["192.0.2.1", "192.0.2.2"] {
        let pushed = bench.push(&host, address).await;
        assert!(matches!(pushed.outcomes[..], [Outcome::Confirmed { .. }]), "{}: {pushed:?}", bench.word);
        assert_eq!(bench.contents(&host, "A"), [address], "{}", bench.word);
        assert_eq!(bench.contents(&host, "AAAA"), ["2001:db8::99"], "{}", bench.word);
    }
}

pub(super) async fn a_wildcard_and_the_zone_itself_are_hosts(mut bench: Bench) {
    let mut hosts = vec![bench.host()];
    hosts.extend(bench.traits.has_deep_names.then(|| bench.below("a.b")));
    hosts.extend(bench.traits.has_wildcard.then(|| bench.below("*.lan")));
    hosts.extend(bench.traits.has_root.then(|| bench.traits.zone.to_owned()));
    for host in &hosts {
        bench.confirm(host, "192.0.2.1").await;
        bench.confirm(host, "192.0.2.2").await;
    }
    for host in &hosts {
        assert_eq!(bench.addresses(host), "192.0.2.2", "{}: {host}", bench.word);
    }
}

pub(super) async fn a_ttl_is_set_when_asked_for_and_kept_when_not(mut bench: Bench) {
    let Some((asked, set)) = bench.traits.ttl else { return };
    let host = bench.host();
    if bench.traits.can_look {
        bench.vendor.put_by_hand(by_hand(&bench, "A", "192.0.2.99"));
        for address in ["192.0.2.1", "192.0.2.2"] {
            bench.confirm(&host, address).await;
            assert_eq!(bench.record(&host, "A").ttl, bench.traits.ttl_by_hand, "{}: {address}", bench.word);
        }
    }
    bench.ttl = Some(asked);
    bench.confirm(&host, "192.0.2.3").await;
    assert_eq!(bench.record(&host, "A").ttl, set, "{}: changed", bench.word);
    let new = bench.below("new");
    bench.confirm(&new, "192.0.2.3").await;
    assert_eq!(bench.record(&new, "A").ttl, set, "{}: made", bench.word);
}

pub(super) async fn what_was_set_by_hand_stays(mut bench: Bench) {
    if !bench.traits.can_look {
        return;
    }
    let host = bench.host();
    bench.vendor.put_by_hand(by_hand(&bench, "A", "192.0.2.99"));
    if bench.traits.has_record_sets {
        bench.vendor.put_by_hand(by_hand(&bench, "TXT", "words of somebody"));
        bench.vendor.put_by_hand(by_hand(&bench, "MX", "10 mail.elsewhere.test"));
        bench.vendor.put_by_hand(Record { hostname: bench.below("neighbour"), ..by_hand(&bench, "A", "192.0.2.98") });
    }
    let before = bench.record(&host, "A").extra;
    for address in ["192.0.2.1", "192.0.2.2"] {
        bench.confirm(&host, address).await;
        assert_eq!(bench.record(&host, "A").extra, before, "{}: {address}", bench.word);
    }
}

pub(super) async fn a_removal_takes_what_we_wrote_and_nothing_else(mut bench: Bench) {
    let host = bench.host();
    let both = bench.traits.has_ipv6;
    bench.confirm(&host, if both { "192.0.2.1,2001:db8::1" } else { "192.0.2.1" }).await;
    match bench.traits.removal {
        Removal::Nothing => {
            let pushed = bench.push(&host, "").await;
            let [Outcome::Refused { text, .. }] = pushed.outcomes.as_slice() else {
                panic!("{}: {pushed:?}", bench.word);
            };
            assert!(!text.is_empty(), "{}", bench.word);
            return;
        }
        Removal::Family if both => {
            bench.confirm(&host, "192.0.2.1").await;
        }
        Removal::Family | Removal::Host => {}
    }
    bench.confirm(&host, "").await;
    if bench.traits.can_look {
        bench.confirm(&host, "192.0.2.1").await;
        bench.vendor.lose(&host, "A");
        bench.vendor.put_by_hand(by_hand(&bench, "A", "192.0.2.99"));
        let pushed = bench.push(&host, "").await;
        assert!(matches!(pushed.outcomes[..], [Outcome::Confirmed { .. }]), "{}: {pushed:?}", bench.word);
        assert_eq!(bench.addresses(&host), "192.0.2.99", "{}: somebody else's", bench.word);
    }
}

pub(super) async fn of_several_records_those_of_others_stay(mut bench: Bench) {
    if !(bench.traits.has_record_sets && bench.traits.can_look) {
        return;
    }
    let others = bench.below("others");
    for address in ["192.0.2.98", "192.0.2.99"] {
        bench.vendor.put_by_hand(Record { hostname: others.clone(), ..by_hand(&bench, "A", address) });
    }
    let pushed = bench.push(&others, "192.0.2.1").await;
    let [Outcome::Refused { text, maybe_written: false, .. }] = pushed.outcomes.as_slice() else {
        panic!("{}: none of them is ours: {pushed:?}", bench.word);
    };
    assert!(!text.is_empty(), "{}", bench.word);
    assert_eq!(bench.contents(&others, "A"), ["192.0.2.98", "192.0.2.99"], "{}", bench.word);

    // A second one beside ours: ours may be changed, or the change be refused. What counts is that the other stays.
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1").await;
    bench.vendor.put_by_hand(by_hand(&bench, "A", "192.0.2.99"));
    if bench.traits.replaces_sets {
        // Only after an outage, when what stands there is not known for sure.
        bench.known(&host).doubted.push(nicgate_protocol::AddressSet::EMPTY);
    }
    for address in ["192.0.2.2", "192.0.2.3"] {
        let before = bench.contents(&host, "A");
        let pushed = bench.push(&host, address).await;
        let after = bench.contents(&host, "A");
        match pushed.outcomes.as_slice() {
            [Outcome::Confirmed { .. }] => assert_eq!(after, [address, "192.0.2.99"], "{}", bench.word),
            [Outcome::Refused { .. }] => assert_eq!(after, before, "{}", bench.word),
            other => panic!("{}: {other:?}", bench.word),
        }
    }
}

pub(super) async fn a_cname_in_the_way_is_refused_in_words(mut bench: Bench) {
    if !bench.traits.has_record_sets {
        return;
    }
    let host = bench.host();
    bench.vendor.put_by_hand(by_hand(&bench, "CNAME", "elsewhere.test"));
    let pushed = bench.push(&host, "192.0.2.1").await;
    let [Outcome::Refused { text, .. }] = pushed.outcomes.as_slice() else { panic!("{}: {pushed:?}", bench.word) };
    assert!(text.to_uppercase().contains("CNAME"), "{}: {text}", bench.word);
    assert_eq!(bench.addresses(&host), "", "{}", bench.word);
}

pub(super) async fn a_record_that_somebody_removed_is_made_again(mut bench: Bench) {
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1").await;
    bench.vendor.lose(&host, "A");
    bench.confirm(&host, "192.0.2.2").await;
    bench.confirm(&host, "192.0.2.3").await;
}

pub(super) async fn what_is_remembered_may_be_garbage(mut bench: Bench) {
    let host = bench.host();
    bench.confirm(&host, "192.0.2.1").await;
    let good = bench.known(&host).before.as_ref().and_then(|before| before.remembered.clone()).unwrap_or_default();
    let half: String = good.chars().take(good.chars().count() / 2).collect();
    let doubled = format!("{good}{good}");
    let other = good.replace(|letter: char| letter.is_ascii_digit(), "7");
    for (last, garbage) in (2..).zip(["", "{", "null", "../../..", "a b\tc\n", &half, &doubled, &other, &good]) {
        let before = bench.known(&host).before.as_mut().unwrap();
        before.remembered = Some(garbage.into());
        let wanted = format!("192.0.2.{last}");
        let pushed = bench.push(&host, &wanted).await;
        assert!(matches!(pushed.outcomes[..], [Outcome::Confirmed { .. }]), "{}: {garbage:?}: {pushed:?}", bench.word);
        assert_eq!(bench.addresses(&host), wanted, "{}: {garbage:?}", bench.word);
    }
}

pub(super) async fn a_look_sees_what_stands_there_and_changes_nothing(mut bench: Bench) {
    let host = bench.host();
    let Some(seen) = bench.look(&host).await else {
        assert!(!bench.traits.can_look, "{}: it says that it cannot look", bench.word);
        return;
    };
    assert!(bench.traits.can_look, "{}: it says that it can look", bench.word);
    let Ok(Sight { addresses, .. }) = seen else { panic!("{}: {seen:?}", bench.word) };
    assert!(addresses.is_empty(), "{}: {addresses:?}", bench.word);
    let wanted = if bench.traits.has_ipv6 { "192.0.2.1,2001:db8::1" } else { "192.0.2.1" };
    bench.confirm(&host, wanted).await;
    let seen = bench.look(&host).await.unwrap();
    let Ok(Sight { addresses, obstacles, .. }) = seen else { panic!("{}: {seen:?}", bench.word) };
    let mut addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.sort();
    assert_eq!((addresses.join(","), obstacles.len()), (wanted.to_owned(), 0), "{}", bench.word);
    if bench.traits.has_record_sets {
        let alias = bench.below("alias");
        bench.vendor.put_by_hand(Record { hostname: alias.clone(), ..by_hand(&bench, "CNAME", "elsewhere.test") });
        match bench.look(&alias).await.unwrap() {
            Ok(Sight { obstacles, .. }) => assert!(!obstacles.is_empty(), "{}: a CNAME", bench.word),
            Err(Outcome::Refused { .. }) => {}
            Err(other) => panic!("{}: {other:?}", bench.word),
        }
    }
}

pub(super) async fn signatures_are_those_of_the_vendors_own_code(mut bench: Bench) {
    let Some(oracle) = bench.traits.oracle else { return };
    let mut hosts = vec![bench.host()];
    hosts.extend(bench.traits.has_wildcard.then(|| bench.below("*.lan")));
    hosts.extend(bench.traits.has_root.then(|| bench.traits.zone.to_owned()));
    for host in &hosts {
        for address in ["192.0.2.1", "192.0.2.2"] {
            bench.confirm(host, address).await;
        }
        if bench.traits.removal != Removal::Nothing {
            bench.confirm(host, "").await;
        }
        bench.look(host).await;
    }
    assert!(bench.sent.len() >= 2 * hosts.len(), "{}: {} requests", bench.word, bench.sent.len());
    if let Some(answer) = nicgate_tests::signing::ask(oracle, &json!({ "requests": bench.sent })) {
        assert_eq!(answer["mistakes"], json!([]), "{}", bench.word);
    }
}

/// A record of the host, as somebody careful would set it by hand.
fn by_hand(bench: &Bench, record_type: &str, content: &str) -> Record {
    let record = Record::new(&bench.host(), record_type, content).with((bench.traits.beside)());
    Record { ttl: bench.traits.ttl_by_hand, ..record }
}
