//! Any other dyndns2 server as a provider: one GET with host and address, Basic authentication, one word back.
//!
//! Servers differ in path, parameter names and in how they take IPv6; each of these is a key, and a preset sets all of
//! them for a known vendor. A server cannot be asked what stands there, and `nochg` once too often is abuse at most of
//! them: what was confirmed is never sent again. So a host that expires when nobody updates it for weeks is not kept
//! alive; nothing here repeats an update just to be seen.

pub(super) mod answer;
mod preset;

use std::sync::Arc;

use http::Method;
use http::header::{AUTHORIZATION, HeaderValue};
use nicgate_logic::policy::DEFAULT_TTL;
use nicgate_protocol::Family;

use self::preset::{Credentials, Ip6, PRESETS, Preset};
use super::encode::{basic_header, query};
use super::service::{Message, Removal, Service, Told, Way};
use super::trouble::Trouble;
use super::{
    Answer, BadSetting, Budget, Class, HttpCall, Key, Kind, Moment, Provider, ProviderSettings, Shape, Window,
    base_url_before,
};

/// Our own bound: servers of this kind publish none, and block who comes too often.
const BUDGET: Budget = Budget::of(&[Window::new(30, 60)]);
/// In a user name: the host that is updated.
const HOSTNAME: &str = "{hostname}";

const HOSTNAME_PARAMETER: &str = "hostname_parameter";
const IP6: &str = "ip6";
const IP_PARAMETER: &str = "ip_parameter";
const PASSWORD: &str = "password";
const PATH: &str = "path";
const PRESET: &str = "preset";
const QUERY_CREDENTIALS: &str = "query_credentials";
const USERNAME: &str = "username";

const KEYS: &[Key] = &[
    Key::text(USERNAME, "The user; {hostname} in it stands for the host that is updated."),
    Key::secret(PASSWORD, "The password, or what the vendor calls update token or key."),
    Key::text(
        PRESET,
        "A vendor whose endpoint, path and parameters are known: dyn, dynu, noip, desec, ovh and others.",
    )
    .optional(),
    Key::text(PATH, "The path below endpoint; /nic/update when left out.").optional(),
    Key::text(HOSTNAME_PARAMETER, "The parameter that names the host; hostname when left out.").optional(),
    Key::text(IP_PARAMETER, "The parameter that holds the address; myip when left out.").optional(),
    Key::text(IP6, "How IPv6 goes: comma (default), separate, none, or its parameter: myipv6, myip6, ipv6, ip6.")
        .optional(),
    Key::text(QUERY_CREDENTIALS, "Whether user and password go into the query rather than into Basic.")
        .optional()
        .shaped(Shape::Flag),
];

/// Its entry in the list of kinds.
pub const KIND: Kind =
    Kind { word: "dyndns2", about: "Any server that speaks dyndns2, another gateway included.", keys: KEYS, open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    Ok(Told::provider(Server::new(settings)?))
}

struct Server {
    base: String,
    preset: Preset,
    username: String,
    password: nicgate_protocol::Secret<String>,
}

impl Server {
    fn new(settings: &ProviderSettings) -> Result<Self, BadSetting> {
        let (username, password) = user(settings)?;
        let mut preset = match settings.text(PRESET) {
            None => Preset::PLAIN,
            Some(word) => PRESETS.iter().find(|preset| preset.word == word).cloned().ok_or_else(|| {
                let words: Vec<&str> = PRESETS.iter().map(|preset| preset.word).collect();
                bad(PRESET, format!("{word:?} is none of {}; without a preset, write endpoint", words.join(", ")))
            })?,
        };
        if settings.endpoint.is_none() && preset.endpoint.is_empty() {
            let why = "write the server's URL, for instance \"https://dyn.example.com\", or a preset";
            return Err(bad("endpoint", why.to_owned()));
        }
        if let Some(path) = settings.text(PATH) {
            let is_path =
                path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#".contains(&byte));
            if !is_path {
                return Err(bad(PATH, "it begins with / and has no query, for instance \"/nic/update\"".to_owned()));
            }
            preset.path = path.to_owned().into();
        }
        for (key, place) in
            [(HOSTNAME_PARAMETER, &mut preset.hostname_parameter), (IP_PARAMETER, &mut preset.ip_parameter)]
        {
            if let Some(name) = settings.text(key) {
                if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
                    return Err(bad(key, "a parameter's name has letters, digits, \"_\", \"-\" and \".\"".to_owned()));
                }
                *place = name.to_owned().into();
            }
        }
        if let Some(word) = settings.text(IP6) {
            let why = || bad(IP6, format!("{word:?} is none of {}", Ip6::WORDS.join(", ")));
            preset.ip6 = Ip6::parse(word).ok_or_else(why)?;
        }
        match settings.flag(QUERY_CREDENTIALS) {
            Some(false) => preset.credentials = Credentials::Basic,
            Some(true) if matches!(preset.credentials, Credentials::Basic) => {
                preset.credentials = Credentials::Query("username", "password");
            }
            Some(true) | None => {}
        }
        let example = if preset.endpoint.is_empty() { "https://dyn.example.com" } else { preset.endpoint };
        Ok(Self { base: base_url_before(&preset.path, settings, example)?, preset, username, password })
    }

    /// The parameters that carry the addresses.
    fn addresses(&self, message: &Message) -> Vec<(String, String)> {
        let Preset { ip_parameter, ip6, absent, removed, .. } = &self.preset;
        let parameter = match ip6 {
            Ip6::Comma | Ip6::None | Ip6::Separate => {
                return vec![(ip_parameter.to_string(), message.addresses.to_string())];
            }
            Ip6::Parameter(name) => *name,
        };
        let name = |family| if family == Family::V4 { ip_parameter.to_string() } else { parameter.to_owned() };
        let value = |family| match message.addresses.of(family) {
            Some(address) => Some(address.to_string()),
            None if message.removed.iter().any(|(gone, _)| *gone == family) => removed.map(str::to_owned),
            None => absent.map(str::to_owned),
        };
        Family::BOTH.into_iter().filter_map(|family| Some((name(family), value(family)?))).collect()
    }
}

/// User and password of the settings.
pub(super) fn user(settings: &ProviderSettings) -> Result<(String, nicgate_protocol::Secret<String>), BadSetting> {
    let username = settings.text(USERNAME).map(str::trim).unwrap_or_default();
    if username.is_empty() {
        return Err(bad(USERNAME, "it is missing".to_owned()));
    }
    if username.contains(|letter: char| letter.is_control() || letter == ':') {
        return Err(bad(USERNAME, "a user name has no \":\" and no control characters".to_owned()));
    }
    let password = settings.secret(PASSWORD).map(|secret| secret.expose().trim()).unwrap_or_default();
    if password.is_empty() {
        return Err(bad(PASSWORD, "it is missing".to_owned()));
    }
    if password.contains(char::is_control) {
        return Err(bad(PASSWORD, "a password has no control characters".to_owned()));
    }
    Ok((username.to_owned(), nicgate_protocol::Secret::new(password.to_owned())))
}

fn bad(key: &'static str, why: String) -> BadSetting {
    BadSetting { key, why }
}

impl Service for Server {
    fn budget(&self) -> Budget {
        BUDGET
    }

    fn cure(&self, class: Class) -> &'static str {
        match class {
            Class::Auth => "; check username and password",
            Class::NoZone | Class::Denied | Class::Invalid | Class::Quota => "",
            Class::Rate | Class::Busy | Class::Down | Class::Bug => "",
        }
    }

    /// Many servers take what is not mentioned for gone, so all addresses are sent whenever one changes.
    fn way(&self) -> Way {
        if self.preset.ip6 == Ip6::Separate { Way::Separate } else { Way::Whole }
    }

    /// The server has its own, and does not tell.
    fn ttl(&self, _asked: Option<u32>) -> u32 {
        DEFAULT_TTL
    }

    fn lacks(&self, family: Family) -> Option<&'static str> {
        let lacks = family == Family::V6 && self.preset.ip6 == Ip6::None;
        lacks.then_some("this server is told no IPv6 addresses; set ip6 if it takes them")
    }

    fn removal(&self) -> Removal {
        let can = self.preset.removed.is_some() && matches!(self.preset.ip6, Ip6::Parameter(_));
        Removal { family: can, host: can }
    }

    fn call(&self, message: &Message, _moment: Moment) -> Result<HttpCall, Trouble> {
        let Preset { path, hostname_parameter, extra, credentials, .. } = &self.preset;
        let hostname = message.host().as_str();
        let username = self.username.replace(HOSTNAME, hostname);
        let addresses = self.addresses(message);
        let mut pairs: Vec<(&str, &str)> = vec![(hostname_parameter, hostname)];
        pairs.extend(addresses.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        pairs.extend(*extra);
        let mut authorization: Option<HeaderValue> = None;
        match credentials {
            Credentials::Basic => authorization = Some(basic_header(&username, self.password.expose())),
            Credentials::Query(user, password) => {
                pairs.extend([(*user, username.as_str()), (*password, self.password.expose())]);
            }
        }
        let call = HttpCall::plain(Method::GET, format!("{}{path}?{}", self.base, query(&pairs)));
        Ok(authorization.into_iter().fold(call, |call, value| call.with(AUTHORIZATION, value)))
    }

    fn heard(&self, message: &Message, answer: &Answer) -> Result<(), Trouble> {
        answer::read(answer, message.addresses)
    }
}

#[cfg(test)]
mod tests;
