//! The embedded name server as a provider. It reads the store itself, so there is nothing to say to it.

use std::sync::Arc;

use nicgate_logic::policy::DEFAULT_TTL;

use super::{BadSetting, Budget, Heard, Job, Key, Kind, Moment, Outcome, Provider, ProviderSettings, Step, Talk};

/// Its entry in the list of kinds.
pub const KIND: Embedded = Embedded;

/// The kind, and at once the provider: there is nothing to set.
#[derive(Clone, Copy, Debug)]
pub struct Embedded;

impl Kind for Embedded {
    fn word(&self) -> &'static str {
        "embedded"
    }

    fn about(&self) -> &'static str {
        "The gateway's own name server answers for the zone."
    }

    fn keys(&self) -> &'static [Key] {
        &[]
    }

    fn open(&self, settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
        match settings.endpoint {
            Some(_) => Err(BadSetting {
                key: "endpoint",
                why: "the embedded name server has none; its sockets stand in [dns]".into(),
            }),
            None => Ok(Arc::new(Self)),
        }
    }
}

impl Provider for Embedded {
    fn update(&self, job: &Job) -> Box<dyn Talk + Send> {
        Box::new(Follows { ttls: job.hosts.iter().map(|host| host.ttl.unwrap_or(DEFAULT_TTL)).collect() })
    }

    fn budget(&self) -> Budget {
        Budget::default()
    }

    fn is_embedded(&self) -> bool {
        true
    }
}

/// A conversation that is over before it starts.
struct Follows {
    ttls: Vec<u32>,
}

impl Talk for Follows {
    fn next(&mut self, _heard: Option<Heard>, _moment: Moment) -> Step {
        Step::Done(self.ttls.iter().map(|ttl| Outcome::Confirmed { remembered: None, ttl: *ttl }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_no_endpoint() {
        let mut settings = ProviderSettings::new("lab", &KIND);
        assert!(settings.open().unwrap().is_embedded());
        settings.endpoint = Some("http://127.0.0.1:53".into());
        assert_eq!(settings.open().map(|_| ()).unwrap_err().key, "endpoint");
    }
}
