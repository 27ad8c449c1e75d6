//! What a client is told: status, headers and body, out of how an update ended and of who asked.
//!
//! dyndns2 has one set of words and no agreement about statuses: routers and ddclient read the body and stumble
//! over a 404, others read the status and take every 2xx for success. So each row of the table has three columns,
//! and [`Dress`] says which one holds.
//!
//! An error body is the bare word and nothing else: inadyn takes any body with "ok" or "good" in it for success.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use ::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, PRAGMA, RETRY_AFTER, USER_AGENT};
use ::http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use ::http::{Response, StatusCode};
use bytes::Bytes;
use http_body_util::Full;
use nicgate_logic::Refusal;
use nicgate_logic::answer::{Answer, Ending, Line};
use nicgate_logic::device::Profile;
use nicgate_logic::enrollment::Enrolled;
use nicgate_protocol::ReturnCode;
use serde::Serialize;

/// No answer is longer: inadyn's buffer holds 8 KiB, head included.
const LONGEST_BODY: usize = 7 * 1024;

/// What goes back over the wire.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status; its reason phrase is the standard one.
    pub status: StatusCode,
    /// Everything but `Content-Length` and `Date`.
    pub headers: HeaderMap,
    /// The body, under 8 KiB.
    pub body: Bytes,
}

impl Reply {
    fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::with_capacity(4);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { status, headers, body: body.into() }
    }

    /// With this, the connection ends after the reply.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        self
    }
}

impl From<Reply> for Response<Full<Bytes>> {
    fn from(reply: Reply) -> Self {
        let mut response = Self::new(Full::new(reply.body));
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        response
    }
}

/// How a reply is dressed for the client that asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dress {
    /// Which statuses it understands.
    pub profile: Profile,
    /// Whether it asked for JSON; statuses are the strict ones then.
    pub is_json: bool,
}

impl Dress {
    /// By what the request says of its client. The profile of a device counts more: see [`of_update`].
    #[must_use]
    pub fn choose(headers: &HeaderMap) -> Self {
        let is_json = headers.get_all(ACCEPT).iter().any(|value| holds_word(value.as_bytes(), b"application/json"));
        let agent = headers.get(USER_AGENT).map_or(&[][..], HeaderValue::as_bytes);
        let reads_status = is_json || STRICT_AGENTS.iter().any(|name| agent.starts_with(name.as_bytes()));
        Self { profile: if reads_status { Profile::Strict } else { Profile::Classic }, is_json }
    }
}

/// Programs that take every 2xx for success: OPNsense's own client; ddns-go's callback, by the name it gives or by
/// that of its library.
const STRICT_AGENTS: [&str; 3] = ["OPNsense-dyndns", "ddns-go", "Go-http-client"];

fn holds_word(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}

/// The reply to an update. `retry_after` goes with "not now".
#[must_use]
pub fn of_update(answer: &Answer, dress: Dress, retry_after: Duration) -> Reply {
    let profile = if dress.is_json { Profile::Strict } else { answer.profile.unwrap_or(dress.profile) };
    let status = status_of_all(&answer.lines, profile);
    let mut reply = if dress.is_json {
        Reply::new(status, "application/json", json(&answer.lines))
    } else {
        Reply::new(status, "text/plain", text(&answer.lines))
    };
    match status {
        StatusCode::UNAUTHORIZED if !dress.is_json => {
            reply.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"nicgate\""));
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            reply.headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        StatusCode::METHOD_NOT_ALLOWED => {
            reply.headers.insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        _ => {}
    }
    // Where a message that breaks HTTP ends is anybody's guess: nothing after it is read.
    let is_broken = answer.lines.iter().any(|line| matches!(line.ending, Ending::Refused(Refusal::BadHttp)));
    if is_broken { reply.closing() } else { reply }
}

#[derive(Serialize)]
struct Granted<'a> {
    device: &'a str,
    key: &'a str,
    hosts: &'a [String],
}

/// The reply to a client that enrolls: its device, the key, and what that may touch, as many names as fit. The
/// opposite is told as to an update, by strict statuses and without a challenge: no password would help.
#[must_use]
pub fn of_enrolling(enrolled: Result<&Enrolled, Ending>, headers: &HeaderMap, retry_after: Duration) -> Reply {
    let mut reply = match enrolled {
        Ok(enrolled) => {
            let hosts = enrolled.device.grants.patterns();
            let mut room = LONGEST_BODY - 512;
            let fits = |host: &&String| {
                let left = room.checked_sub(host.len() + 3);
                room = left.unwrap_or_default();
                left.is_some()
            };
            let count = hosts.iter().take_while(fits).count();
            let granted =
                Granted { device: enrolled.device.id.as_str(), key: enrolled.key.text(), hosts: &hosts[..count] };
            // Strings always have a form in JSON.
            Reply::new(StatusCode::OK, "application/json", serde_json::to_vec(&granted).unwrap_or_default())
        }
        Err(ending) => {
            let answer = Answer { lines: vec![Line::of_request(ending)], device: None, profile: None };
            let dress = Dress { profile: Profile::Strict, ..Dress::choose(headers) };
            of_update(&answer, dress, retry_after)
        }
    };
    reply.headers.remove(WWW_AUTHENTICATE);
    if reply.headers.contains_key(ALLOW) {
        reply.headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    reply.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// Several hosts have one status: 200 as soon as one of them succeeded (207 where the status is all that is read
/// and others failed), else that of the first line.
fn status_of_all(lines: &[Line], profile: Profile) -> StatusCode {
    let mut successes = 0;
    for line in lines {
        successes += usize::from(line.ending.return_code().is_success());
    }
    match (successes, lines) {
        (0, [first, ..]) => status(&first.ending, profile),
        (0, []) => StatusCode::SERVICE_UNAVAILABLE,
        (_, _) if successes < lines.len() && profile == Profile::Strict => StatusCode::MULTI_STATUS,
        (_, _) => StatusCode::OK,
    }
}

/// One row of the table, one of its columns.
fn status(ending: &Ending, profile: Profile) -> StatusCode {
    let pick = |classic, strict| match profile {
        Profile::Classic => classic,
        Profile::Strict => strict,
    };
    match ending {
        Ending::Good(_) | Ending::NoChg(_) => StatusCode::OK,
        Ending::ProviderRefused => pick(StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_GATEWAY),
        Ending::Unconfirmed | Ending::Fault(_) => StatusCode::SERVICE_UNAVAILABLE,
        Ending::Refused(Refusal::BadForm | Refusal::BadHttp) => StatusCode::BAD_REQUEST,
        Ending::Refused(Refusal::BadMethod) => StatusCode::METHOD_NOT_ALLOWED,
        Ending::Refused(Refusal::FormTooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        // Without TLS there is no such path.
        Ending::Refused(Refusal::EnrollInClear | Refusal::NoSuchPath) => StatusCode::NOT_FOUND,
        // 429 ends inadyn for good: only those who read the status hear it.
        Ending::Refused(Refusal::TooFast) => pick(StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS),
        Ending::Refused(refusal) => match refusal.return_code() {
            ReturnCode::Good(_) | ReturnCode::NoChg(_) => StatusCode::OK,
            ReturnCode::BadAuth => StatusCode::UNAUTHORIZED,
            ReturnCode::NoHost => pick(StatusCode::OK, StatusCode::NOT_FOUND),
            ReturnCode::NotFqdn | ReturnCode::NumHost | ReturnCode::DnsErr => {
                pick(StatusCode::OK, StatusCode::UNPROCESSABLE_ENTITY)
            }
            ReturnCode::NineOneOne => StatusCode::SERVICE_UNAVAILABLE,
            ReturnCode::Abuse => StatusCode::FORBIDDEN,
            ReturnCode::BadAgent => StatusCode::BAD_REQUEST,
        },
    }
}

/// One line per host, LF after each.
fn text(lines: &[Line]) -> Bytes {
    if let [only] = lines
        && let Some(line) = bare_line(only.ending.return_code())
    {
        return Bytes::from_static(line);
    }
    let mut text = String::with_capacity(64 * lines.len());
    for line in lines {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", line.ending.return_code());
    }
    Bytes::from(text)
}

/// The whole line of a word without addresses, ready made.
fn bare_line(code: ReturnCode) -> Option<&'static [u8]> {
    Some(match code {
        ReturnCode::Good(_) | ReturnCode::NoChg(_) => return None,
        ReturnCode::BadAuth => b"badauth\n",
        ReturnCode::NoHost => b"nohost\n",
        ReturnCode::NotFqdn => b"notfqdn\n",
        ReturnCode::NumHost => b"numhost\n",
        ReturnCode::DnsErr => b"dnserr\n",
        ReturnCode::NineOneOne => b"911\n",
        ReturnCode::Abuse => b"abuse\n",
        ReturnCode::BadAgent => b"badagent\n",
    })
}

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<OneResult<'a>>,
}

#[derive(Serialize)]
struct OneResult<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    hostname: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<IpAddr>,
}

/// `{"results":[{"hostname":"home.example.com","code":"good","addresses":["192.0.2.1"]}]}`, in request order.
fn json(lines: &[Line]) -> Bytes {
    let print = |with_names: bool| {
        let results = lines.iter().map(|line| {
            let code = line.ending.return_code();
            let addresses = code.addresses().map(|set| set.iter().collect()).unwrap_or_default();
            OneResult { hostname: if with_names { &line.hostname } else { "" }, code: code.word(), addresses }
        });
        // Strings and addresses always have a form in JSON.
        serde_json::to_vec(&Results { results: results.collect() }).unwrap_or_default()
    };
    let full = print(true);
    // Twenty names full of letters that JSON escapes: the order alone says which is which.
    Bytes::from(if full.len() > LONGEST_BODY { print(false) } else { full })
}

/// Dyn's page with the peer's address. ddclient looks for `Current IP Address:`, pfSense takes the first thing that
/// looks like an address, MikroTik scripts cut from the first `": "` to `</body>`.
#[must_use]
pub fn check_ip(peer: IpAddr) -> Reply {
    let page =
        format!("<html><head><title>Current IP Check</title></head><body>Current IP Address: {peer}</body></html>\r\n");
    let mut reply = Reply::new(StatusCode::OK, "text/html", page).closing();
    reply.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply.headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    reply
}

/// The peer's address, bare.
#[must_use]
pub fn my_ip(peer: IpAddr) -> Reply {
    let mut reply = Reply::new(StatusCode::OK, "text/plain", format!("{peer}\n"));
    reply.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

/// `/healthz` and `/readyz`: a word for whoever watches.
#[must_use]
pub fn health(is_well: bool) -> Reply {
    let (status, word) =
        if is_well { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable\n") };
    Reply::new(status, "text/plain", word)
}

/// No such path.
#[must_use]
pub fn not_found() -> Reply {
    refused(StatusCode::NOT_FOUND)
}

/// A request that never became one: too long, too slow, malformed. The connection ends.
pub(super) fn cut_short(status: StatusCode) -> Reply {
    refused(status).closing()
}

fn refused(status: StatusCode) -> Reply {
    Reply::new(status, "text/plain", Bytes::from_static(b"badagent\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nicgate_logic::device::{Allowances, Device, Generation, Grants, Origin};
    use nicgate_protocol::hostname::BadHostname;
    use nicgate_protocol::{AddressSet, DeviceId, HostPattern, MasterKey};

    use super::*;

    const CLASSIC: Dress = Dress { profile: Profile::Classic, is_json: false };
    const STRICT: Dress = Dress { profile: Profile::Strict, is_json: false };
    const JSON: Dress = Dress { profile: Profile::Strict, is_json: true };

    fn addresses(text: &str) -> AddressSet {
        let mut set = AddressSet::EMPTY;
        for address in text.split(',') {
            match address.parse().unwrap() {
                IpAddr::V4(v4) => set.v4 = Some(v4),
                IpAddr::V6(v6) => set.v6 = Some(v6),
            }
        }
        set
    }

    fn answer(endings: &[Ending]) -> Answer {
        let lines = endings.iter().enumerate();
        let lines = lines.map(|(at, ending)| Line { hostname: format!("h{at}.home.test").into(), ending: *ending });
        Answer { lines: lines.collect(), device: None, profile: None }
    }

    fn reply(answer: &Answer, dress: Dress) -> Reply {
        of_update(answer, dress, Duration::from_secs(30))
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> &'a str {
        reply.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn body(reply: &Reply) -> &str {
        std::str::from_utf8(&reply.body).unwrap()
    }

    fn enrolled(patterns: impl IntoIterator<Item = String>) -> Enrolled {
        let patterns = patterns.into_iter().map(|text| HostPattern::parse(&text).unwrap());
        let device = Device {
            id: DeviceId::parse("laptop").unwrap(),
            grants: Arc::new(Grants::new(patterns)),
            profile: Some(Profile::Classic),
            allowances: Allowances::default(),
            generation: Generation::default(),
            origin: Origin::Command,
        };
        let key = MasterKey::new(&[0x42; 32]).key("fritzbox", 1);
        Enrolled { device: Arc::new(device), key, is_again: false }
    }

    #[test]
    fn a_client_that_enrolls_hears_its_key_and_nobody_keeps_it() {
        let ask =
            |enrolled: Result<&Enrolled, Ending>| of_enrolling(enrolled, &HeaderMap::new(), Duration::from_secs(30));
        let granted = ask(Ok(&enrolled(["b.home.test".to_owned(), "*.lan.home.test".to_owned()])));
        assert_eq!((granted.status, header(&granted, "content-type")), (StatusCode::OK, "application/json"));
        assert_eq!(header(&granted, "cache-control"), "no-store");
        assert_eq!(
            body(&granted),
            r#"{"device":"laptop","key":"TMXYMpMRxDQBdZRC6o8NNl9Ym-raN3GbmvvOE4e56dg","hosts":["*.lan.home.test","b.home.test"]}"#
        );
        for (ending, line, status) in [
            (Ending::Refused(Refusal::BadCode), "badauth\n", 401),
            (Ending::Refused(Refusal::UnknownDevice), "badauth\n", 401),
            (Ending::Refused(Refusal::TooFast), "911\n", 429),
            (Ending::Refused(Refusal::BadMethod), "badagent\n", 405),
            (Ending::Refused(Refusal::BadForm), "badagent\n", 400),
            (Ending::Fault("store"), "911\n", 503),
        ] {
            let refused = ask(Err(ending));
            assert_eq!((refused.status.as_u16(), body(&refused)), (status, line), "{ending:?}");
            assert_eq!(header(&refused, "cache-control"), "no-store");
            assert_eq!(header(&refused, "www-authenticate"), "");
            assert_eq!(header(&refused, "allow"), if status == 405 { "POST" } else { "" });
        }
    }

    #[test]
    fn a_device_with_many_names_hears_as_many_as_fit() {
        let names = (0..500).map(|at| format!("h{at:03}.a-rather-long-name.home.test"));
        let reply = of_enrolling(Ok(&enrolled(names)), &HeaderMap::new(), Duration::ZERO);
        assert!(reply.body.len() <= LONGEST_BODY, "{}", reply.body.len());
        let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert!(told["hosts"].as_array().unwrap().len() > 100 && told["key"].is_string());
    }

    #[test]
    fn every_row_of_the_table_has_its_three_statuses() {
        let good = Ending::Good(addresses("192.0.2.1,2001:db8::1"));
        let no = |refusal| Ending::Refused(refusal);
        // The ending, the body, the statuses: classic, strict, JSON.
        for (ending, line, statuses) in [
            (good, "good 192.0.2.1,2001:db8::1", [200, 200, 200]),
            (Ending::NoChg(addresses("192.0.2.1")), "nochg 192.0.2.1", [200, 200, 200]),
            (no(Refusal::UnknownDevice), "badauth", [401, 401, 401]),
            (no(Refusal::BadPassword), "badauth", [401, 401, 401]),
            (no(Refusal::BadSignature), "badauth", [401, 401, 401]),
            (no(Refusal::Replayed), "badauth", [401, 401, 401]),
            (no(Refusal::BadCode), "badauth", [401, 401, 401]),
            (no(Refusal::CodeExpired), "badauth", [401, 401, 401]),
            (no(Refusal::CodeUsed), "badauth", [401, 401, 401]),
            (no(Refusal::NoCredentials), "badauth", [401, 401, 401]),
            (no(Refusal::NotGranted), "nohost", [200, 404, 404]),
            (no(Refusal::NoZone), "nohost", [200, 404, 404]),
            (no(Refusal::NotFull(BadHostname::NotFull)), "notfqdn", [200, 422, 422]),
            (no(Refusal::NoHostname), "notfqdn", [200, 422, 422]),
            (no(Refusal::TooManyHosts), "numhost", [200, 422, 422]),
            (no(Refusal::BadAddress), "dnserr", [200, 422, 422]),
            (no(Refusal::OutsidePolicy), "dnserr", [200, 422, 422]),
            (no(Refusal::TooFast), "911", [503, 429, 429]),
            (no(Refusal::Overloaded), "911", [503, 503, 503]),
            (no(Refusal::Denied), "abuse", [403, 403, 403]),
            (Ending::ProviderRefused, "dnserr", [503, 502, 502]),
            (Ending::Unconfirmed, "911", [503, 503, 503]),
            (Ending::Fault("store"), "911", [503, 503, 503]),
            (no(Refusal::BadHttp), "badagent", [400, 400, 400]),
            (no(Refusal::BadForm), "badagent", [400, 400, 400]),
            (no(Refusal::FormTooLong), "badagent", [413, 413, 413]),
            (no(Refusal::EnrollInClear), "badagent", [404, 404, 404]),
            (no(Refusal::NoSuchPath), "badagent", [404, 404, 404]),
            (no(Refusal::BadMethod), "badagent", [405, 405, 405]),
        ] {
            for (dress, status) in [CLASSIC, STRICT, JSON].into_iter().zip(statuses) {
                let reply = reply(&answer(&[ending]), dress);
                assert_eq!(reply.status.as_u16(), status, "{ending:?} for {dress:?}");
                if !dress.is_json {
                    assert_eq!(body(&reply), format!("{line}\n"));
                    assert_eq!(header(&reply, "content-type"), "text/plain");
                }
                let challenge = if status == 401 && !dress.is_json { "Basic realm=\"nicgate\"" } else { "" };
                assert_eq!(header(&reply, "www-authenticate"), challenge, "{ending:?} for {dress:?}");
                let retry = if status == 503 || status == 429 { "30" } else { "" };
                assert_eq!(header(&reply, "retry-after"), retry, "{ending:?} for {dress:?}");
                assert_eq!(header(&reply, "allow"), if status == 405 { "GET, POST" } else { "" });
                let connection = if ending == no(Refusal::BadHttp) { "close" } else { "" };
                assert_eq!(header(&reply, "connection"), connection, "{ending:?} for {dress:?}");
            }
        }
    }

    #[test]
    fn several_hosts_have_a_line_each_and_one_status() {
        let good = Ending::Good(addresses("192.0.2.1"));
        let nochg = Ending::NoChg(addresses("192.0.2.1"));
        let nohost = Ending::Refused(Refusal::NotGranted);
        let notfqdn = Ending::Refused(Refusal::NotFull(BadHostname::NotFull));
        let later = Ending::Unconfirmed;
        for (endings, text, statuses) in [
            (&[good, nohost, nochg][..], "good 192.0.2.1\nnohost\nnochg 192.0.2.1\n", [200, 207, 207]),
            (&[nohost, good], "nohost\ngood 192.0.2.1\n", [200, 207, 207]),
            (&[later, good], "911\ngood 192.0.2.1\n", [200, 207, 207]),
            (&[good, nochg], "good 192.0.2.1\nnochg 192.0.2.1\n", [200, 200, 200]),
            (&[nohost, notfqdn], "nohost\nnotfqdn\n", [200, 404, 404]),
            (&[notfqdn, nohost], "notfqdn\nnohost\n", [200, 422, 422]),
            (&[later, nohost], "911\nnohost\n", [503, 503, 503]),
        ] {
            for (dress, status) in [CLASSIC, STRICT, JSON].into_iter().zip(statuses) {
                let reply = reply(&answer(endings), dress);
                assert_eq!(reply.status.as_u16(), status, "{endings:?} for {dress:?}");
                if !dress.is_json {
                    assert_eq!(body(&reply), text);
                }
            }
        }
    }

    #[test]
    fn the_profile_of_a_device_counts_more_than_its_user_agent() {
        let mut answer = answer(&[Ending::Refused(Refusal::NotGranted)]);
        answer.profile = Some(Profile::Strict);
        assert_eq!(reply(&answer, CLASSIC).status, StatusCode::NOT_FOUND);
        answer.profile = Some(Profile::Classic);
        assert_eq!(reply(&answer, STRICT).status, StatusCode::OK);
        assert_eq!(reply(&answer, JSON).status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn json_names_hosts_codes_and_addresses() {
        let two = answer(&[Ending::Good(addresses("192.0.2.1,2001:db8::1")), Ending::Refused(Refusal::NotGranted)]);
        let reply = reply(&two, JSON);
        assert_eq!(header(&reply, "content-type"), "application/json");
        assert_eq!(
            body(&reply),
            r#"{"results":[{"hostname":"h0.home.test","code":"good","addresses":["192.0.2.1","2001:db8::1"]},{"hostname":"h1.home.test","code":"nohost"}]}"#
        );
        let whole = Answer::from(Refusal::BadPassword);
        assert_eq!(body(&super::of_update(&whole, JSON, Duration::ZERO)), r#"{"results":[{"code":"badauth"}]}"#);
    }

    #[test]
    fn no_answer_is_longer_than_a_small_buffer() {
        let widest = Ending::NoChg(addresses("255.255.255.255,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"));
        let mut many = answer(&[widest; 20]);
        assert!(reply(&many, CLASSIC).body.len() < 2048);
        for letter in ["a", "\u{1}", "\"", "\u{10ffff}"] {
            for line in &mut many.lines {
                line.hostname = letter.repeat(253).into();
            }
            let reply = reply(&many, JSON);
            assert!(reply.body.len() <= LONGEST_BODY, "{}", reply.body.len());
            let parsed: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(parsed["results"].as_array().unwrap().len(), 20);
        }
    }

    #[test]
    fn a_client_is_known_by_what_it_says() {
        let choose = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            Dress::choose(&headers)
        };
        for agent in ["OPNsense-dyndns", "OPNsense-dyndns/1.2", "Go-http-client/1.1", "ddns-go/6"] {
            assert_eq!(choose("user-agent", agent), STRICT, "{agent}");
        }
        for agent in ["inadyn/2.12.0", "ddclient/3.10.0", "Fritz!Box DDNS/1.0.1", "curl/8.5.0", "x ddns-go", ""] {
            assert_eq!(choose("user-agent", agent), CLASSIC, "{agent}");
        }
        assert_eq!(choose("accept", "text/html, Application/JSON;q=0.9"), JSON);
        assert_eq!(choose("accept", "*/*"), CLASSIC);
        assert_eq!(Dress::choose(&HeaderMap::new()), CLASSIC);
    }

    #[test]
    fn the_address_page_is_cut_out_by_those_who_cut() {
        for address in ["192.0.2.7", "2001:db8::7"] {
            let reply = check_ip(address.parse().unwrap());
            assert_eq!(header(&reply, "content-type"), "text/html");
            assert_eq!(header(&reply, "cache-control"), "no-cache");
            assert_eq!(header(&reply, "pragma"), "no-cache");
            assert_eq!(header(&reply, "connection"), "close");
            let page = body(&reply);
            // ddclient: skip to the words, then the first address.
            let (_, after) = page.split_once("Current IP Address:").unwrap();
            assert_eq!(after.trim_start().split('<').next(), Some(address));
            // MikroTik: from the first ": " to the end of the body.
            let from = page.find(": ").unwrap() + 2;
            assert_eq!(&page[from..page.find("</body>").unwrap()], address);
            // pfSense: the first digits anywhere.
            let digits = page.find(|letter: char| letter.is_ascii_digit()).unwrap();
            assert!(page[digits..].starts_with(address));
        }
        assert_eq!(body(&my_ip("192.0.2.7".parse().unwrap())), "192.0.2.7\n");
    }
}
