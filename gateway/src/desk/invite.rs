//! Inviting a client: the line that `nicgate-client init` takes, and what is kept of its code. How the code is exchanged
//! for a key is `enrollment.rs`.

use std::time::Duration;

use nicgate_logic::Now;
use nicgate_logic::enrollment::Invite;
use nicgate_protocol::enrollment::base_url;
use nicgate_protocol::{DeviceId, Invitation};

use super::{Desk, InvitationReport, Report};
use crate::config::{Server, Settings, Tls};
use crate::entropy;
use crate::http::tls::{self, TlsError};
use crate::store::StoredDevice;

/// How long a line holds when nobody says otherwise.
pub(super) const USUAL_SPAN: Duration = Duration::from_secs(24 * 3600);
/// The longest that it may.
const LONGEST_SPAN: Duration = Duration::from_secs(720 * 3600);

const NO_GATEWAY: &str = "no line for nicgate-client: write public_url = \"https://…\" in [server], \
                          or say `nicgate device invite ID --gateway https://…`";

/// A new invitation.
pub(super) struct Made {
    /// What is kept of it.
    pub(super) invite: Invite,
    /// What is told of it, once.
    pub(super) report: InvitationReport,
}

impl Desk {
    /// Makes a line for a device, wherever that one stands. A line of before holds no more.
    pub(super) async fn invite_device(
        &self,
        id: &str,
        gateway: Option<&str>,
        seconds: Option<u64>,
        now: Now,
    ) -> Result<Report, String> {
        let span = seconds.map_or(USUAL_SPAN, Duration::from_secs);
        if span.is_zero() || span > LONGEST_SPAN {
            return Err("a line holds for at most \"720h\", and not for no time at all".to_owned());
        }
        let turn = self.store.device_turn().await;
        let device = self.device(id)?;
        let Made { invite, mut report } = self.invitation(&device.id, gateway, span, now)?;
        let kept = self.store.device(&device.id).unwrap_or_else(|| StoredDevice {
            id: device.id.clone(),
            generation: device.generation,
            registration: None,
            is_revoked: false,
            invite: None,
        });
        // A second line is asked for where the first one did not work: somebody else may have had it.
        report.used_before = kept.invite.as_ref().and_then(|before| before.used).map(|used| used.to_string());
        self.put(&turn, StoredDevice { invite: Some(invite), is_revoked: false, ..kept }).await?;
        Ok(Report::Invitation(report))
    }

    /// A new line for a device; nothing is kept of it yet.
    pub(super) fn invitation(
        &self,
        id: &DeviceId,
        gateway: Option<&str>,
        span: Duration,
        now: Now,
    ) -> Result<Made, String> {
        let settings = self.settings.load();
        let gateway = match gateway {
            Some(url) => checked(url)?,
            None => usual_gateway(&settings.server).ok_or(NO_GATEWAY)?,
        };
        let ca = private_ca(&settings).map_err(|why| format!("no line for nicgate-client: {why}"))?;
        let code = entropy::code().map_err(|why| format!("the system gives no random bytes: {why}"))?;
        let until = now.wall + span;
        let invite = Invite { digest: code.digest(), until, used: None };
        let invitation = Invitation::new(&gateway, id.clone(), code, ca)
            .map_err(|why| format!("no line for nicgate-client: {why}"))?;
        let report = InvitationReport {
            id: id.to_string(),
            enroll: invitation.to_string(),
            until: until.to_string(),
            gateway,
            carries_ca: invitation.ca().is_some(),
            used_before: None,
        };
        Ok(Made { invite, report })
    }
}

/// A gateway's URL as an operator gives it with a command.
pub(super) fn checked(url: &str) -> Result<String, String> {
    base_url(url).map_err(|why| format!("\"{url}\" is no gateway: {why}"))
}

/// Where clients reach the gateway, as far as the configuration tells: `public_url`, else the first address that it
/// listens on, if that is a certain one. Certificates for loopback are for `localhost`.
fn usual_gateway(server: &Server) -> Option<String> {
    let first = || server.listen.first().filter(|address| !address.ip().is_unspecified() && address.port() != 0);
    let of_address = || {
        let address = first()?;
        let is_loopback = address.ip().is_loopback();
        Some(if is_loopback { format!("https://localhost:{}", address.port()) } else { format!("https://{address}") })
    };
    server.public_url.clone().or_else(of_address)
}

/// The certificate that clients have to be told to trust; `None` where a public authority vouches for the gateway, or
/// somebody in front of it speaks TLS.
fn private_ca(settings: &Settings) -> Result<Option<Vec<u8>>, TlsError> {
    let pair = match &settings.tls {
        None => return Ok(None),
        Some(Tls::Files { cert, key }) => tls::Pair { cert_file: cert.clone(), key_file: key.clone() },
        Some(Tls::SelfSigned { names }) => tls::own(&settings.server.data_dir, names)?,
    };
    let chain = tls::Certificate::open(&pair.cert_file, &pair.key_file)?.chain();
    Ok(tls::private_ca(&chain).map(|certificate| certificate.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;

    #[test]
    fn the_gateways_url_is_what_is_written_or_where_it_listens() {
        for (keys, url) in [
            ("listen = [\"[::]:443\"]", None),
            ("listen = [\"0.0.0.0:8443\"]", None),
            ("listen = [\"127.0.0.1:0\"]", None),
            ("plain_listen = [\"127.0.0.1:8080\"]", None),
            ("listen = [\"127.0.0.1:8443\"]", Some("https://localhost:8443")),
            ("listen = [\"[::1]:8443\"]", Some("https://localhost:8443")),
            ("listen = [\"192.0.2.1:8443\", \"[::]:443\"]", Some("https://192.0.2.1:8443")),
            ("listen = [\"[2001:db8::1]:443\"]", Some("https://[2001:db8::1]:443")),
            ("listen = [\"[::]:443\"]\npublic_url = \"https://ddns.example.com/\"", Some("https://ddns.example.com")),
        ] {
            let text = format!("[server]\n{keys}\n[tls]\nself_signed = true\n");
            let settings =
                config::parse(&text, Path::new("gateway.toml"), &|_| None).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(usual_gateway(&settings.server).as_deref(), url, "{keys}");
        }
    }
}
