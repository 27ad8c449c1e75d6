use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use nicgate_logic::policy::{AddressPolicy, ZonePolicy};
use nicgate_logic::reconcile::Class;
use nicgate_protocol::Timestamp;
use tokio::time::Instant;

use super::*;
use crate::provider::{Budget, Call, Drift, Heard, HttpCall, Job, Moment, Outcome, Sight, Step, Talk, kind};

/// A store in a map.
#[derive(Default)]
struct Book(Mutex<BTreeMap<Hostname, HostState>>);

impl Ledger for Book {
    fn host(&self, hostname: &Hostname) -> Option<HostState> {
        self.0.lock().unwrap().get(hostname).cloned()
    }

    fn confirm<'a>(
        &'a self,
        hostname: &'a Hostname,
        applied: Applied,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.lock().unwrap().get_mut(hostname).unwrap().set_applied(applied);
        Box::pin(std::future::ready(()))
    }

    fn doubt<'a>(
        &'a self,
        hostname: &'a Hostname,
        provider: &'a str,
        addresses: AddressSet,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.lock().unwrap().get_mut(hostname).unwrap().doubt(provider, addresses);
        Box::pin(std::future::ready(()))
    }

    fn for_each_host(&self, visit: &mut dyn FnMut(&Hostname, &HostState)) {
        for (hostname, state) in &*self.0.lock().unwrap() {
            visit(hostname, state);
        }
    }
}

/// A provider that ends each conversation as it is told to, for all its hosts alike, and confirms when it is told
/// nothing.
#[derive(Default)]
struct Told {
    /// 0 for one.
    hosts_at_once: usize,
    ends: Mutex<VecDeque<Outcome>>,
    jobs: Mutex<Vec<Job>>,
    /// Hosts for which it calls this URL first.
    calls_for: Mutex<BTreeMap<Hostname, String>>,
    /// What a look sees, or how it ends.
    seen: Mutex<Option<Result<Sight, Outcome>>>,
    /// How often somebody looked.
    looks: Mutex<usize>,
}

impl Told {
    fn then(&self, end: Outcome) {
        self.ends.lock().unwrap().push_back(end);
    }

    fn job_count(&self) -> usize {
        self.jobs.lock().unwrap().len()
    }
}

impl Provider for Told {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        self.jobs.lock().unwrap().push(job.clone());
        let remembered = Some("ids".into());
        let end = self.ends.lock().unwrap().pop_front().unwrap_or(Outcome::Confirmed { remembered, ttl: 60 });
        let first = self.calls_for.lock().unwrap().get(&job.hosts[0].hostname).cloned();
        Box::new(Ends { first, ends: vec![end; job.hosts.len()] })
    }

    fn look(&self, _zone: &Hostname, _hostname: &Hostname) -> Option<Box<dyn Talk + Send>> {
        *self.looks.lock().unwrap() += 1;
        Some(Box::new(Sees(self.seen.lock().unwrap().clone()?)))
    }

    fn hosts_at_once(&self) -> usize {
        self.hosts_at_once.max(1)
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }
}

struct Sees(Result<Sight, Outcome>);

impl Talk for Sees {
    fn next(&mut self, _: Option<Heard>, _: Moment) -> Step {
        match self.0.clone() {
            Ok(sight) => Step::Seen(sight),
            Err(outcome) => Step::Done(vec![outcome]),
        }
    }
}

struct Ends {
    /// To call this URL, once.
    first: Option<String>,
    ends: Vec<Outcome>,
}

impl Talk for Ends {
    fn next(&mut self, heard: Option<Heard>, _: Moment) -> Step {
        if let Some(url) = self.first.take() {
            let (method, headers) = (http::Method::GET, Vec::new());
            return Step::Send(Call::Http(HttpCall { method, url, headers, body: Bytes::new() }));
        }
        if let Some(Heard::Silence(silence)) = heard {
            return Step::Done(vec![unconfirmed(Class::Down, &silence.why, None); self.ends.len()]);
        }
        Step::Done(self.ends.clone())
    }
}

fn unconfirmed(class: Class, why: &str, retry_after: Option<u64>) -> Outcome {
    let retry_after = retry_after.map(Duration::from_secs);
    Outcome::Unconfirmed { class, why: why.into(), retry_after, maybe_written: class == Class::Down }
}

fn refused() -> Outcome {
    Outcome::refused(Class::Invalid, "9005", "no such address")
}

/// A reconciler with two told providers, "one" and "two", and an embedded one.
struct Bench {
    book: Arc<Book>,
    reconciler: Arc<Reconciler>,
    one: Arc<Told>,
    two: Arc<Told>,
    events: Arc<Mutex<Vec<PushEvent>>>,
    drifts: Arc<Mutex<Vec<DriftEvent>>>,
    policy: Arc<Policy>,
}

fn name(text: &str) -> Hostname {
    Hostname::parse(text).unwrap()
}

fn policy(zones: &[(&str, &[&str])]) -> Arc<Policy> {
    let zone = |(zone, providers): &(&str, &[&str])| ZonePolicy {
        name: name(zone),
        providers: providers.iter().map(|provider| Arc::from(*provider)).collect(),
        addresses: AddressPolicy::Any,
        ttl: None,
    };
    Arc::new(Policy::new(zones.iter().map(zone).collect(), Vec::new(), Duration::ZERO))
}

fn upstream(account: u64, provider: Arc<dyn Provider>) -> Upstream {
    let (sender, mask, budget) = (Sender::new().unwrap(), Arc::default(), Budget::default());
    Upstream { provider, sender, mask, ttl: Some(120), account, budget, drift: None }
}

impl Bench {
    fn new() -> Self {
        Self::with(Told::default())
    }

    fn with(one: Told) -> Self {
        let book = Arc::new(Book::default());
        let events = Arc::new(Mutex::new(Vec::new()));
        let (start, heard) = (Instant::now(), Arc::clone(&events));
        let drifts = Arc::new(Mutex::new(Vec::new()));
        let of_drift = Arc::clone(&drifts);
        let surroundings = Surroundings {
            now: Arc::new(move || Now { wall: Timestamp(0) + start.elapsed(), uptime: start.elapsed() }),
            dice: Arc::new(|| 0),
            report: Arc::new(move |event| heard.lock().unwrap().push(event)),
            drifted: Arc::new(move |event| of_drift.lock().unwrap().push(event)),
        };
        let reconciler = Reconciler::new(Arc::clone(&book) as Arc<dyn Ledger>, Sender::new().unwrap(), surroundings);
        let policy = policy(&[("one.test", &["one"]), ("both.test", &["one", "two"]), ("lab.test", &["lab", "two"])]);
        let (one, two) = (Arc::new(one), Arc::default());
        let bench = Self { book, reconciler, one, two, events, drifts, policy: Arc::clone(&policy) };
        bench.reconciler.adopt(policy, bench.upstreams());
        bench
    }

    /// Gives provider "one" another account or budget.
    fn change_one(&self, change: impl FnOnce(&mut Upstream)) {
        let mut upstreams = self.upstreams();
        change(upstreams.get_mut("one").unwrap());
        self.reconciler.adopt(Arc::clone(&self.policy), upstreams);
    }

    fn upstreams(&self) -> HashMap<Arc<str>, Upstream> {
        HashMap::from([
            (Arc::from("one"), upstream(1, Arc::clone(&self.one) as Arc<dyn Provider>)),
            (Arc::from("two"), upstream(2, Arc::clone(&self.two) as Arc<dyn Provider>)),
            (Arc::from("lab"), upstream(3, ProviderSettings::new("lab", kind("embedded").unwrap()).open().unwrap())),
        ])
    }

    fn record(&self, hostname: &str, last: u8) -> Ticket {
        let hostname = name(hostname);
        let mut hosts = self.book.0.lock().unwrap();
        let number = hosts.values().map(|state| state.number).max().unwrap_or(0) + 1;
        let state = hosts.entry(hostname.clone()).or_default();
        state.desired = AddressSet { v4: Some([192, 0, 2, last].into()), v6: None };
        state.number = number;
        Ticket { hostname, number, desired: state.desired }
    }

    async fn settle(&self, ticket: &Ticket) -> Settled {
        let host = self.policy.of(&ticket.hostname).unwrap();
        self.reconciler.settle(ticket, &host, Duration::from_secs(8)).await
    }

    /// Until nothing waits any more; the clock jumps meanwhile.
    async fn calm(&self) {
        while self.reconciler.pending() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn applied(&self, hostname: &str, provider: &str) -> Option<Applied> {
        self.book.host(&name(hostname)).unwrap().applied_by(provider).cloned()
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_goes_to_every_provider_and_its_ids_come_back() {
    let bench = Bench::new();
    let ticket = bench.record("a.both.test", 1);
    assert_eq!(bench.settle(&ticket).await, Settled::Confirmed);
    bench.calm().await;
    for provider in ["one", "two"] {
        let applied = bench.applied("a.both.test", provider).unwrap();
        assert_eq!((applied.addresses, applied.remembered.as_deref()), (ticket.desired, Some("ids")));
    }
    let second = bench.record("a.both.test", 2);
    assert_eq!(bench.settle(&second).await, Settled::Confirmed);
    let jobs = bench.one.jobs.lock().unwrap().clone();
    assert_eq!(
        (jobs[1].hosts[0].before.as_ref().unwrap().addresses, jobs[1].hosts[0].ttl),
        (ticket.desired, Some(120))
    );
    assert_eq!(bench.settle(&second).await, Settled::Confirmed);
    assert_eq!(bench.one.job_count(), 2, "nothing changed, nobody was asked");
}

#[tokio::test(start_paused = true)]
async fn the_embedded_primary_is_never_waited_for_and_the_others_hear_all_the_same() {
    let bench = Bench::new();
    bench.two.then(unconfirmed(Class::Busy, "busy", None));
    assert_eq!(bench.settle(&bench.record("a.lab.test", 1)).await, Settled::Confirmed);
    bench.calm().await;
    assert_eq!(bench.two.job_count(), 2);
    assert!(bench.applied("a.lab.test", "lab").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_and_stands_until_something_changes() {
    let bench = Bench::new();
    bench.one.then(refused());
    let ticket = bench.record("a.one.test", 1);
    assert_eq!(bench.settle(&ticket).await, Settled::Refused);
    assert_eq!(bench.settle(&ticket).await, Settled::Refused);
    assert_eq!(bench.one.job_count(), 1);
    let status = &bench.reconciler.status(&ticket.hostname)[0];
    assert_eq!((status.attempts, status.trouble.as_deref()), (1, Some("no such address (9005)")));
    assert_eq!(bench.settle(&bench.record("a.one.test", 2)).await, Settled::Confirmed);
    let status = &bench.reconciler.status(&ticket.hostname)[0];
    assert_eq!((status.attempts, status.trouble.as_deref()), (0, None));
    let codes: Vec<_> = bench.events.lock().unwrap().iter().map(|event| (event.error_code, event.is_refused)).collect();
    assert_eq!(codes, [(Some("provider_invalid"), true), (None, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_passing_trouble_is_over_before_the_reply_is_due() {
    let bench = Bench::new();
    bench.one.then(unconfirmed(Class::Down, "no answer", None));
    let ticket = bench.record("a.one.test", 1);
    assert_eq!(bench.settle(&ticket).await, Settled::Confirmed);
    let jobs = bench.one.jobs.lock().unwrap().clone();
    assert_eq!((jobs[0].hosts[0].doubted.len(), &jobs[1].hosts[0].doubted), (0, &vec![ticket.desired]));
    let event = bench.events.lock().unwrap()[0].clone();
    assert_eq!((event.error_code, event.next_try), (Some("provider_down"), Some(Duration::from_secs(1))));
}

#[tokio::test(start_paused = true)]
async fn when_patience_is_asked_for_beyond_the_deadline_the_answer_comes_at_once() {
    let bench = Bench::new();
    bench.one.then(unconfirmed(Class::Rate, "slow down", Some(60)));
    let start = Instant::now();
    let ticket = bench.record("a.one.test", 1);
    assert_eq!(bench.settle(&ticket).await, Settled::NotYet);
    assert_eq!(bench.settle(&bench.record("b.one.test", 1)).await, Settled::NotYet);
    assert!(start.elapsed() < Duration::from_secs(1));
    bench.calm().await;
    assert!(start.elapsed() >= Duration::from_secs(60));
    assert_eq!(bench.settle(&ticket).await, Settled::Confirmed);
    assert_eq!(bench.one.job_count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_provider_delays_only_its_own_host() {
    let bench = Bench::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    bench.one.calls_for.lock().unwrap().insert(name("slow.one.test"), url);
    let start = Instant::now();
    let slow = bench.record("slow.one.test", 1);
    let quick = bench.record("quick.one.test", 1);
    let (slow, quick) = tokio::join!(async { (bench.settle(&slow).await, start.elapsed()) }, async {
        (bench.settle(&quick).await, start.elapsed())
    });
    assert_eq!(quick.0, Settled::Confirmed);
    assert!(quick.1 < Duration::from_secs(1), "{quick:?}");
    assert_eq!(slow.0, Settled::NotYet);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_everything_behind_is_pushed_with_a_doubt() {
    let bench = Bench::new();
    let ticket = bench.record("a.both.test", 1);
    let applied = Applied { provider: "one".into(), addresses: ticket.desired, ..Applied::default() };
    bench.book.confirm(&ticket.hostname, applied).await;
    bench.record("a.one.test", 1);
    bench.record("a.gone.test", 1);
    bench.reconciler.resume();
    bench.calm().await;
    let jobs = bench.two.jobs.lock().unwrap().clone();
    assert_eq!(jobs.iter().map(|job| job.hosts[0].hostname.as_str()).collect::<Vec<_>>(), ["a.both.test"]);
    assert_eq!(jobs[0].hosts[0].doubted, [ticket.desired]);
    assert_eq!(bench.one.job_count(), 1, "what is applied is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_reload_drops_what_vanished_and_queues_what_is_new() {
    let bench = Bench::new();
    bench.reconciler.resume();
    bench.one.then(refused());
    assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::Refused);
    let mut upstreams = bench.upstreams();
    upstreams.remove("one");
    bench.reconciler.adopt(policy(&[("one.test", &["two"])]), upstreams);
    bench.calm().await;
    assert_eq!((bench.one.job_count(), bench.two.job_count()), (1, 1));
    assert!(bench.applied("a.one.test", "two").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_be_opened_changes_nothing() {
    let bench = Bench::new();
    let broken = ProviderSettings::new("cloud", kind("cloudflare").unwrap());
    let (name, bad) = bench.reconciler.configure(policy(&[]), &[broken]).unwrap_err();
    assert_eq!((&*name, bad.key), ("cloud", "api_token"));
    assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::Confirmed);
}

/// Breaks once, then confirms.
struct Breaks(std::sync::atomic::AtomicBool);

impl Provider for Breaks {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        assert!(self.0.swap(true, std::sync::atomic::Ordering::Relaxed), "broken on purpose");
        Told::default().update(job)
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_that_breaks_off_inside_is_made_again() {
    let bench = Bench::new();
    let provider: Arc<dyn Provider> = Arc::new(Breaks(false.into()));
    let upstreams = HashMap::from([(Arc::from("one"), upstream(1, provider))]);
    bench.reconciler.adopt(Arc::clone(&bench.policy), upstreams);
    assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::Confirmed);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_on_its_way_and_answers_the_rest() {
    let bench = Bench::new();
    bench.one.then(unconfirmed(Class::Busy, "busy", None));
    let (start, ticket) = (Instant::now(), bench.record("a.one.test", 1));
    let (settled, ()) = tokio::join!(bench.settle(&ticket), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.reconciler.stop().await;
    });
    assert_eq!(settled, Settled::NotYet);
    assert!(start.elapsed() < Duration::from_secs(1), "nobody waits for what will not be done any more");
    assert_eq!(bench.one.job_count(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_while_it_stops_is_answered_at_once() {
    let bench = Bench::new();
    bench.reconciler.stop().await;
    let (start, ticket) = (Instant::now(), bench.record("a.one.test", 1));
    assert_eq!(bench.settle(&ticket).await, Settled::NotYet);
    assert!(start.elapsed().is_zero());
    assert_eq!(bench.one.job_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn many_updates_of_many_hosts_end_with_the_newest() {
    let bench = Bench::new();
    let mut newest = BTreeMap::new();
    for round in 0..200u8 {
        if round % 5 == 0 {
            bench.one.then(unconfirmed(Class::Down, "no answer", None));
        }
        let ticket = bench.record(&format!("h{}.both.test", round % 7), round);
        let host = bench.policy.of(&ticket.hostname).unwrap();
        // Nobody waits: updates come faster than answers.
        let _ = bench.reconciler.settle(&ticket, &host, Duration::ZERO).await;
        newest.insert(ticket.hostname.clone(), ticket.desired);
    }
    bench.calm().await;
    for (hostname, desired) in newest {
        let state = bench.book.host(&hostname).unwrap();
        assert!(state.is_applied_by("one") && state.is_applied_by("two"), "{hostname}");
        assert_eq!(state.desired, desired);
    }
}

#[tokio::test(start_paused = true)]
async fn fifty_hosts_at_once_cost_two_conversations_and_each_is_told_its_own_end() {
    let bench = Bench::with(Told { hosts_at_once: 100, ..Told::default() });
    let first = bench.record("h0.one.test", 1);
    let others: Vec<Ticket> = (1..50).map(|index| bench.record(&format!("h{index}.one.test"), 1)).collect();
    let settle_others = async {
        tokio::task::yield_now().await; // the first is on its way
        futures_util::future::join_all(others.iter().map(|ticket| bench.settle(ticket))).await
    };
    let (first, others) = tokio::join!(bench.settle(&first), settle_others);
    assert!(first == Settled::Confirmed && others.iter().all(|settled| *settled == Settled::Confirmed));
    let sizes: Vec<usize> = bench.one.jobs.lock().unwrap().iter().map(|job| job.hosts.len()).collect();
    assert!(sizes.len() <= 2 && sizes.iter().sum::<usize>() == 50, "{sizes:?}");
    assert_eq!(bench.events.lock().unwrap().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_batch_refused_together_is_no_answer_to_anybody_yet() {
    let bench = Bench::with(Told { hosts_at_once: 100, ..Told::default() });
    let tickets = ["a.one.test", "b.one.test"].map(|hostname| bench.record(hostname, 1));
    // Both refused together, then "a" alone; "b" alone is confirmed.
    bench.one.then(refused());
    bench.one.then(refused());
    let (a, b) = tokio::join!(bench.settle(&tickets[0]), bench.settle(&tickets[1]));
    assert_eq!((a, b), (Settled::Refused, Settled::Confirmed));
    let sizes: Vec<usize> = bench.one.jobs.lock().unwrap().iter().map(|job| job.hosts.len()).collect();
    assert_eq!(sizes, [2, 1, 1]);
    let events = bench.events.lock().unwrap();
    assert_eq!(events.iter().map(|event| event.is_refused).collect::<Vec<_>>(), [false, false, true, false]);
    assert!(events[0].outcome.ends_with("go one by one next"), "{}", events[0].outcome);
}

#[tokio::test(start_paused = true)]
async fn a_doubt_is_in_the_store_before_the_next_push_and_a_confirmation_ends_it() {
    let bench = Bench::new();
    assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::Confirmed);
    let class = Class::Quota;
    let partly = Outcome::Refused { class, code: "1".into(), text: "full".into(), maybe_written: true };
    for end in [unconfirmed(Class::Down, "no answer", Some(60)), partly] {
        bench.one.then(end);
        let lost = bench.record("a.one.test", 2);
        assert_ne!(bench.settle(&lost).await, Settled::Confirmed);
        assert_eq!(bench.applied("a.one.test", "one").unwrap().doubted, [lost.desired]);
        // The old address comes back, the process dies, and another finds only what the store knows.
        let back = bench.record("a.one.test", 1);
        let next = Bench::new();
        *next.book.0.lock().unwrap() = bench.book.0.lock().unwrap().clone();
        next.reconciler.resume();
        next.calm().await;
        let doubted = next.one.jobs.lock().unwrap()[0].hosts[0].doubted.clone();
        assert_eq!(doubted, [lost.desired, back.desired]);
        assert!(next.book.host(&back.hostname).unwrap().is_applied_by("one"));
        let _ = bench.settle(&back).await;
        bench.calm().await;
        assert!(bench.book.host(&back.hostname).unwrap().is_applied_by("one"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_overtaken_while_it_is_pushed_is_doubted() {
    let bench = Bench::new();
    assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::Confirmed);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    bench.one.calls_for.lock().unwrap().insert(name("a.one.test"), url);
    let ticket = bench.record("a.one.test", 2);
    let policy = bench.policy.of(&ticket.hostname).unwrap();
    assert_eq!(bench.reconciler.settle(&ticket, &policy, Duration::from_millis(10)).await, Settled::NotYet);
    let back = bench.record("a.one.test", 1);
    assert_eq!(bench.reconciler.settle(&back, &policy, Duration::ZERO).await, Settled::NotYet);
    // Were the process to die now, the next one would know that 2 may stand there.
    assert_eq!(bench.applied("a.one.test", "one").unwrap().doubted, [ticket.desired]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_blocked_says_for_how_long_under_each_name_of_its_account() {
    let bench = Bench::new();
    bench.change_one(|one| one.account = 2);
    bench.one.then(unconfirmed(Class::Rate, "slow down", Some(40)));
    assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::NotYet);
    let status = bench.reconciler.status(&name("x.both.test"));
    let blocked: Vec<_> = status.iter().map(|status| status.is_blocked).collect();
    assert_eq!(blocked, [Some(Duration::from_secs(40)); 2]);
    assert_eq!(bench.reconciler.status(&name("x.lab.test"))[0].is_blocked, None, "the name server is nobody's guest");
}

#[tokio::test(start_paused = true)]
async fn a_spent_budget_is_told_at_once_and_waited_for() {
    let bench = Bench::new();
    bench.change_one(|one| one.budget = Budget::per_minute(2));
    let start = Instant::now();
    for (index, expected) in [Settled::Confirmed, Settled::NotYet].into_iter().enumerate() {
        let ticket = bench.record(&format!("h{index}.one.test"), 1);
        assert_eq!(bench.settle(&ticket).await, expected, "{index}");
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    bench.calm().await;
    assert!(start.elapsed() >= Duration::from_secs(30));
}

/// What stands at a provider.
fn sight(addresses: &str) -> Option<Result<Sight, Outcome>> {
    let addresses = addresses.split_whitespace().map(|word| word.parse().unwrap()).collect();
    Some(Ok(Sight { addresses, ..Sight::default() }))
}

#[tokio::test(start_paused = true)]
async fn what_somebody_changed_by_hand_is_told_and_changed_back_where_that_is_wanted() {
    for (repairs, standing, drifts, jobs) in [
        (false, "192.0.2.1 192.0.2.77", 0, 1),
        (true, "192.0.2.1", 0, 1),
        (false, "192.0.2.99", 2, 1),
        (true, "192.0.2.99", 2, 3),
        (true, "", 2, 3),
    ] {
        let bench = Bench::new();
        *bench.one.seen.lock().unwrap() = sight(standing);
        bench.change_one(|one| one.drift = Some(Drift { every: Duration::from_secs(600), repairs }));
        assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::Confirmed);
        tokio::time::sleep(Duration::from_secs(1250)).await;
        bench.calm().await;
        let events = bench.drifts.lock().unwrap().clone();
        assert_eq!((events.len(), bench.one.job_count()), (drifts, jobs), "{repairs} {standing:?}: {events:?}");
        if jobs > 1 {
            let look = AddressSet { v4: standing.parse().ok(), v6: None };
            assert_eq!(
                bench.one.jobs.lock().unwrap()[1].hosts[0].doubted,
                [look],
                "it is looked at before it is written"
            );
        }
        assert_eq!(*bench.two.looks.lock().unwrap(), 0, "nobody asked for provider two to be watched");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reading_that_is_turned_away_closes_the_account_and_comes_again() {
    let bench = Bench::new();
    assert_eq!(bench.settle(&bench.record("a.one.test", 1)).await, Settled::Confirmed);
    *bench.one.seen.lock().unwrap() = Some(Err(unconfirmed(Class::Rate, "slow down", Some(300))));
    bench.change_one(|one| one.drift = Some(Drift { every: Duration::from_secs(600), repairs: true }));
    tokio::time::sleep(Duration::from_secs(610)).await;
    let ticket = bench.record("b.one.test", 1);
    assert_eq!(bench.settle(&ticket).await, Settled::NotYet, "the credential waits as long as it was told");
    assert_eq!(*bench.one.looks.lock().unwrap(), 1);
    assert!(bench.drifts.lock().unwrap().is_empty(), "what could not be read did not drift");
}

#[tokio::test]
async fn a_reload_while_a_round_begins_locks_nobody_out() {
    let bench = Arc::new(Bench::new());
    bench.record("a.one.test", 1);
    let done = |work: fn(&Bench, u64)| {
        let (bench, (told, heard)) = (Arc::clone(&bench), std::sync::mpsc::channel());
        std::thread::spawn(move || {
            (1..20_000).for_each(|turn| work(&bench, turn));
            let _ = told.send(());
        });
        heard
    };
    // Another span each time, so that a round begins anew.
    let reloads = done(|bench, turn| {
        bench.change_one(|one| one.drift = Some(Drift { every: Duration::from_nanos(turn), repairs: false }));
    });
    let rounds = done(|bench, turn| {
        let later = Now { wall: Timestamp(0), uptime: Duration::from_secs((1 << 40) + turn) };
        let _ = bench.reconciler.rounds().next(later, |provider| bench.reconciler.hosts_of(provider));
    });
    for heard in [reloads, rounds] {
        heard.recv_timeout(Duration::from_secs(20)).expect("they wait for each other");
    }
}
