//! AWS Signature Version 4 (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).

use zeroize::Zeroizing;

use super::{Draft, Keys, derived_key, hex_sha256, signature};
use crate::provider::encode::percent_encoded;
use crate::provider::{HttpCall, Moment};

const SCHEME: &str = "AWS4-HMAC-SHA256";

/// Signs a call to a service in a region. The path is encoded once more than it is sent.
pub(crate) fn sign(draft: Draft<'_>, keys: &Keys, region: &str, service: &str, moment: Moment) -> HttpCall {
    let time = moment.now.basic();
    let date = &time[..8];
    let draft = draft.with("x-amz-date", &time).with_token("x-amz-security-token", keys);
    let path: Vec<String> = draft.whole_path().split('/').map(percent_encoded).collect();
    let request = draft.canonical_request(&path.join("/"));
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let secret = Zeroizing::new(format!("AWS4{}", keys.secret.expose()));
    let key = derived_key(secret.as_bytes(), &[date, region, service, "aws4_request"]);
    let signature = signature(&key, &format!("{SCHEME}\n{time}\n{scope}\n{}", hex_sha256(&request)));
    let (id, names) = (&keys.id, draft.signed_names());
    draft.signed(&format!("{SCHEME} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}"))
}
