//! HMAC-SHA256 of Volcengine ("Signature method", www.volcengine.com/docs/6369/67269): as AWS, with other names and
//! without a prefix of the key.

use super::{Draft, Keys, derived_key, hex_sha256, signature};
use crate::provider::{HttpCall, Moment};

const SCHEME: &str = "HMAC-SHA256";

/// Signs a call to a service in a region.
pub(crate) fn sign(draft: Draft<'_>, keys: &Keys, region: &str, service: &str, moment: Moment) -> HttpCall {
    let time = moment.now.basic();
    let (date, body) = (&time[..8], hex_sha256(&draft.body));
    let draft = draft.with("x-date", &time).with("x-content-sha256", &body).with_token("x-security-token", keys);
    let request = draft.canonical_request(&draft.whole_path());
    let scope = format!("{date}/{region}/{service}/request");
    let key = derived_key(keys.secret.expose().as_bytes(), &[date, region, service, "request"]);
    let signature = signature(&key, &format!("{SCHEME}\n{time}\n{scope}\n{}", hex_sha256(&request)));
    let (id, names) = (&keys.id, draft.signed_names());
    draft.signed(&format!("{SCHEME} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"))
}
