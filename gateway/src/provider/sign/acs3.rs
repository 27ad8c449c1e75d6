//! ACS3-HMAC-SHA256 of Alibaba Cloud ("V3 request structure and signature", help.aliyun.com 2618345).

use super::{Draft, Keys, hex_sha256, signature, whole_seconds};
use crate::provider::{HttpCall, Moment};

const SCHEME: &str = "ACS3-HMAC-SHA256";

/// Signs a call of an action.
pub(crate) fn sign(draft: Draft<'_>, keys: &Keys, action: &str, version: &str, moment: Moment) -> HttpCall {
    let body = hex_sha256(&draft.body);
    let mut draft = draft
        .with("x-acs-action", action)
        .with("x-acs-content-sha256", &body)
        .with("x-acs-date", &whole_seconds(moment.now))
        .with("x-acs-signature-nonce", &format!("{:032x}", moment.dice))
        .with("x-acs-version", version)
        .with_token("x-acs-security-token", keys);
    if keys.token.is_some() {
        draft = draft.with("x-acs-accesskey-id", &keys.id);
    }
    let request = draft.canonical_request(&draft.whole_path());
    let signature = signature(keys.secret.expose().as_bytes(), &format!("{SCHEME}\n{}", hex_sha256(&request)));
    let (id, names) = (&keys.id, draft.signed_names());
    draft.signed(&format!("{SCHEME} Credential={id},SignedHeaders={names},Signature={signature}"))
}
