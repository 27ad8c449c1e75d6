//! bce-auth-v1 of Baidu AI Cloud ("Generate authentication strings", cloud.baidu.com/doc/Reference/s/Njwvz1wot). Header
//! names and values are percent-encoded, there is no hash of the body, and the key is hexadecimal text.

use zeroize::Zeroizing;

use super::{Draft, Keys, signature, whole_seconds};
use crate::provider::encode::percent_encoded;
use crate::provider::{HttpCall, Moment};

/// How long a signature is good, in seconds; 1800 is what the vendor takes without being told.
const LIFETIME: u32 = 1800;

/// Signs a call. Of the headers `host` and those that begin with `x-bce-` are signed.
pub(crate) fn sign(draft: Draft<'_>, keys: &Keys, moment: Moment) -> HttpCall {
    let time = whole_seconds(moment.now);
    let draft = draft.with("x-bce-date", &time).with_token("x-bce-security-token", keys);
    let mut headers = draft.signed_headers();
    headers.retain(|(name, _)| *name == "host" || name.starts_with("x-bce-"));
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let mut lines: Vec<_> =
        headers.iter().map(|(name, value)| format!("{}:{}", percent_encoded(name), percent_encoded(value))).collect();
    lines.sort_unstable();
    let request = Zeroizing::new(format!(
        "{}\n{}\n{}\n{}",
        draft.method,
        draft.whole_path(),
        draft.canonical_query(),
        lines.join("\n")
    ));
    let prefix = format!("bce-auth-v1/{}/{time}/{LIFETIME}", keys.id);
    let key = Zeroizing::new(signature(keys.secret.expose().as_bytes(), &prefix));
    let signature = signature(key.as_bytes(), &request);
    let names = names.join(";");
    draft.signed(&format!("{prefix}/{names}/{signature}"))
}
