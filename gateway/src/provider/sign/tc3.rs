//! TC3-HMAC-SHA256 of Tencent Cloud ("Signature method v3", cloud.tencent.com/document/api/1427/56189).

use http::header::HeaderName;
use zeroize::Zeroizing;

use super::{Draft, Keys, derived_key, header, hex_sha256, signature, whole_seconds};
use crate::provider::{HttpCall, Moment};

const SCHEME: &str = "TC3-HMAC-SHA256";

/// Signs a call of an action. Content type and host are signed, action, version and time only sent.
pub(crate) fn sign(
    draft: Draft<'_>,
    keys: &Keys,
    service: &str,
    action: &str,
    version: &str,
    moment: Moment,
) -> HttpCall {
    let time = moment.now.seconds().to_string();
    let date = &whole_seconds(moment.now)[..10];
    let path = format!("{}/", draft.whole_path().trim_end_matches('/'));
    let request = draft.canonical_request(&path);
    let scope = format!("{date}/{service}/tc3_request");
    let secret = Zeroizing::new(format!("TC3{}", keys.secret.expose()));
    let key = derived_key(secret.as_bytes(), &[date, service, "tc3_request"]);
    let signature = signature(&key, &format!("{SCHEME}\n{time}\n{scope}\n{}", hex_sha256(&request)));
    let (id, names) = (&keys.id, draft.signed_names());
    let mut call =
        draft.signed(&format!("{SCHEME} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"));
    for (name, value) in [("x-tc-action", action), ("x-tc-version", version), ("x-tc-timestamp", &time)] {
        call = call.with(HeaderName::from_static(name), header(value, false));
    }
    match &keys.token {
        Some(token) => call.with(HeaderName::from_static("x-tc-token"), header(token.expose(), true)),
        None => call,
    }
}
