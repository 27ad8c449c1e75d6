//! Route 53 against moto, which speaks the real XML and, when told to, checks signatures as AWS does.

use nicgate::provider::{Class, Outcome};
use nicgate_logic::state::Applied;
use nicgate_tests::pusher::{Known, Pusher};
use nicgate_tests::servers::Moto;

const ZONE: &str = "example.com";

fn pusher(moto: &Moto, key_id: &str, secret: &str) -> Pusher {
    let keys = [("region", "us-east-1"), ("access_key_id", key_id), ("secret_access_key", secret)];
    let mut pusher = Pusher::new("route53", ZONE, &keys);
    pusher.set("endpoint", &moto.endpoint());
    pusher
}

#[test]
fn hosts_are_made_changed_and_removed_in_batches() {
    let Some(moto) = Moto::start("moto-route53") else { return };
    let id = moto.add_zone(ZONE);
    let mut pusher = pusher(&moto, "AKIAANYKEYID0123", "any-secret-key-0123456789");
    let values = |name: &str| moto.values(&id, name);
    assert_eq!(pusher.confirm("nas.example.com", "192.0.2.1,2001:db8::1"), 3, "zone, look, one batch");
    assert_eq!(values("nas.example.com"), ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(pusher.confirm("nas.example.com", "192.0.2.2,2001:db8::2"), 1);
    assert_eq!(values("nas.example.com"), ["192.0.2.2", "2001:db8::2"]);
    for host in ["*.lan.example.com", "example.com"] {
        pusher.confirm(host, "192.0.2.3");
        assert_eq!(pusher.confirm(host, "192.0.2.4"), 1, "{host}");
        let values = values(host);
        assert!(values.contains(&"192.0.2.4".to_owned()) && !values.contains(&"192.0.2.3".to_owned()), "{values:?}");
        assert_eq!(pusher.look(host).unwrap().addresses, ["192.0.2.4".parse::<std::net::IpAddr>().unwrap()]);
    }
    pusher.confirm("nas.example.com", "");
    assert!(values("nas.example.com").is_empty());
    let pushed = pusher.push(&[("a.example.com", "192.0.2.5"), ("b.example.com", "192.0.2.6")]);
    assert!(pushed.outcomes.iter().all(|outcome| matches!(outcome, Outcome::Confirmed { .. })), "{pushed:?}");
    assert_eq!([values("a.example.com"), values("b.example.com")], [["192.0.2.5"], ["192.0.2.6"]]);
}

/// In this mode moto refuses lists even with the right key, so the pushes remember zone and set, and only write.
#[test]
fn signatures_of_writes_are_checked() {
    let Some(moto) = Moto::start_checking("moto-checking", 4) else { return };
    let ((key_id, secret), id) = (moto.add_user(), moto.add_zone(ZONE));
    for (secret, is_right) in [(secret.as_str(), true), ("wrong-secret-key-0123456789", false)] {
        let mut pusher = pusher(&moto, &key_id, secret);
        let before = Applied {
            provider: "lab".into(),
            addresses: "192.0.2.1".parse::<std::net::IpAddr>().unwrap().into(),
            ttl: 60,
            remembered: Some(format!("2 {ZONE} {ZONE} id={id} A=/60/").into()),
            ..Applied::default()
        };
        pusher.hosts.insert("nas.example.com".into(), Known { before: Some(before), doubted: Vec::new() });
        match pusher.outcome("nas.example.com", "192.0.2.2") {
            Outcome::Confirmed { .. } if is_right => {}
            Outcome::Refused { class: Class::Auth, .. } if !is_right => {}
            other @ (Outcome::Confirmed { .. } | Outcome::Refused { .. } | Outcome::Unconfirmed { .. }) => {
                panic!("the right key: {is_right}: {other:?}");
            }
        }
    }
}
