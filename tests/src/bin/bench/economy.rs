//! (p) What a change costs a provider: calls, counted at the strict fakes and real servers of the tests, through the
//! gateway's own store and reconciler. No time is measured, so one round says all.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nicgate::clock::Clock;
use nicgate::entropy;
use nicgate::provider::send::Sender;
use nicgate::reconciler::{Ledger, Reconciler, Settled, Surroundings};
use nicgate::store::Store;
use nicgate_logic::policy::{AddressPolicy, Policy, ZonePolicy};
use nicgate_protocol::{AddressSet, Hostname, Timestamp};
use nicgate_tests::fake::{SUBJECTS, Subject};
use nicgate_tests::{Folder, tool};

use crate::Effort;
use crate::laboratory::Laboratory;
use crate::table::Table;

/// Hosts of one zone that change at the same time.
const BURST: usize = 50;
/// The bench is not to wait for the budgets that vendors allow; how they hold is a matter of tests.
const CALLS_PER_MINUTE: u32 = 60_000;
/// For all hosts of a burst to be confirmed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn measure(_: &Laboratory, _: Effort, _: &mut Table) {
    println!("calls to the provider; a burst is {BURST} hosts of one zone at once, IPv4 only");
    println!(
        "{:<14}{:>7}{:>8}{:>9}{:>11}{:>12}{:>14}",
        "", "first", "change", "no", "A + AAAA", "burst of", "burst of"
    );
    println!(
        "{:<14}{:>7}{:>8}{:>9}{:>11}{:>12}{:>14}",
        "type", "change", "after", "change", "after", "new hosts", "known hosts"
    );
    for subject in SUBJECTS {
        if let Some(missing) = subject.traits.needs.iter().find(|program| tool(program).is_none()) {
            println!("{:<14}skipped: {missing} is missing", subject.word);
            continue;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let costs = runtime.block_on(costs(subject));
        let shown = costs.map(|cost| cost.map_or_else(|| "-".to_owned(), |calls| calls.to_string()));
        let [first, change, none, both, fresh, known] = shown;
        println!("{:<14}{first:>7}{change:>8}{none:>9}{both:>11}{fresh:>12}{known:>14}", subject.word);
    }
}

/// First change, change, no change, change of both families, a burst of new and one of known hosts; `None`: not to be
/// had there.
async fn costs(subject: &Subject) -> [Option<usize>; 6] {
    let one = [Hostname::parse(&format!("nas.{}", subject.traits.zone)).expect("a name")];
    let desk = Desk::new(subject);
    let first = desk.change(&one, 1, false).await;
    let change = desk.change(&one, 2, false).await;
    let none = desk.change(&one, 2, false).await;
    let both = if subject.traits.has_ipv6 {
        desk.change(&one, 3, true).await;
        desk.change(&one, 4, true).await
    } else {
        None
    };
    let many: Vec<Hostname> =
        (0..BURST).filter_map(|n| Hostname::parse(&format!("h{n}.{}", subject.traits.zone)).ok()).collect();
    let fresh = desk.change(&many, 5, false).await;
    let known = if fresh.is_some() { desk.change(&many, 6, false).await } else { None };
    desk.reconciler.stop().await;
    [first, change, none, both, fresh, known]
}

/// A store and a reconciler with one provider.
struct Desk {
    store: Arc<Store>,
    reconciler: Arc<Reconciler>,
    policy: Arc<Policy>,
    calls: Arc<Mutex<usize>>,
    /// Kept for as long as the provider is told something.
    _vendor: Box<dyn nicgate_tests::fake::Vendor>,
    _folder: Folder,
}

impl Desk {
    fn new(subject: &Subject) -> Self {
        let started = (subject.start)();
        let mut settings = started.settings;
        settings.calls_per_minute = Some(CALLS_PER_MINUTE);
        let zone = ZonePolicy {
            name: Hostname::parse(subject.traits.zone).expect("the zone of a subject"),
            providers: vec![Arc::clone(&settings.name)],
            addresses: AddressPolicy::Any,
            ttl: None,
        };
        let policy = Arc::new(Policy::new(vec![zone], Vec::new(), Duration::ZERO));
        let folder = Folder::new("economy");
        let store = Arc::new(Store::open(folder.path(), Timestamp(0)).expect("a new store"));
        let (clock, calls) = (Clock::system(), Arc::new(Mutex::new(0)));
        let counted = Arc::clone(&calls);
        let surroundings = Surroundings {
            now: Arc::new(move || clock.now()),
            dice: Arc::new(entropy::roll),
            report: Arc::new(move |event| *counted.lock().expect("nobody panics while counting") += event.calls),
            drifted: Arc::new(|_| ()),
        };
        let reconciler =
            Reconciler::new(Arc::clone(&store) as Arc<dyn Ledger>, Sender::new().expect("a sender"), surroundings);
        reconciler.configure(Arc::clone(&policy), &[settings]).expect("the settings of a subject");
        reconciler.resume();
        Self { store, reconciler, policy, calls, _vendor: started.vendor, _folder: folder }
    }

    /// Gives all these hosts the address with this last part, and counts the calls; `None` when one is not confirmed.
    async fn change(&self, hosts: &[Hostname], last: u8, both: bool) -> Option<usize> {
        *self.calls.lock().expect("nobody panics while counting") = 0;
        let settled = futures_util::future::join_all(hosts.iter().map(|host| self.publish(host, last, both))).await;
        // The event of the last push follows its confirmation.
        tokio::task::yield_now().await;
        let all = settled.iter().all(|settled| *settled == Settled::Confirmed);
        all.then(|| *self.calls.lock().expect("nobody panics while counting"))
    }

    async fn publish(&self, hostname: &Hostname, last: u8, both: bool) -> Settled {
        let desired = AddressSet {
            v4: Some([192, 0, 2, last].into()),
            v6: both.then(|| [0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(last)].into()),
        };
        let turn = self.store.turn(hostname).await;
        let state = turn.state().clone();
        if state.desired == desired {
            return Settled::Confirmed;
        }
        let next = nicgate_logic::state::HostState { desired, ..state };
        let ticket = turn.record(next).await.expect("the disk takes it");
        let policy = self.policy.of(hostname).expect("a host of the zone");
        self.reconciler.settle(&ticket, &policy, PATIENCE).await
    }
}
