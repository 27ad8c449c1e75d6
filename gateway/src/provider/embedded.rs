//! The embedded name server as a provider. It reads the store itself, so there is nothing to say to it.

use std::sync::Arc;

use nicgate_logic::policy::DEFAULT_TTL;

use super::{BadSetting, Budget, Heard, Job, Kind, Moment, Outcome, Provider, ProviderSettings, Step, Talk};

/// Its entry in the list of kinds.
pub const KIND: Kind =
    Kind { word: "embedded", about: "The gateway's own name server answers for the zone.", keys: &[], open };

fn open(settings: &ProviderSettings) -> Result<Arc<dyn Provider>, BadSetting> {
    match settings.endpoint {
        Some(_) => Err(BadSetting {
            key: "endpoint",
            why: "the embedded name server has none; its sockets stand in [dns]".into(),
        }),
        None => Ok(Arc::new(Embedded)),
    }
}

struct Embedded;

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
