//! SDK-HMAC-SHA256 of Huawei Cloud ("AK/SK signing and authentication", support.huaweicloud.com/intl/en-us/devg-apisign).

use super::{Draft, Keys, hex_sha256, signature};
use crate::provider::{HttpCall, Moment};

const SCHEME: &str = "SDK-HMAC-SHA256";

/// Signs a call. The path is signed with a slash at its end that is not sent.
pub(crate) fn sign(draft: Draft<'_>, keys: &Keys, moment: Moment) -> HttpCall {
    let date = moment.now.basic();
    let draft = draft.with("x-sdk-date", &date).with_token("x-security-token", keys);
    let request = draft.canonical_request(&format!("{}/", draft.whole_path().trim_end_matches('/')));
    let text = format!("{SCHEME}\n{date}\n{}", hex_sha256(&request));
    let signature = signature(keys.secret.expose().as_bytes(), &text);
    let (id, names) = (&keys.id, draft.signed_names());
    draft.signed(&format!("{SCHEME} Access={id}, SignedHeaders={names}, Signature={signature}"))
}
