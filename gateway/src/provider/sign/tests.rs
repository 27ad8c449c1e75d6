//! `vectors.json`: requests with made-up credentials at 2026-01-02T03:04:05Z, and the `Authorization` that the vendors'
//! own SDKs write for them (alibabacloud-tea-openapi 0.4.6, huaweicloudsdkcore 3.1.219, botocore 1.44.5,
//! tencentcloud-sdk-python-common 3.1.195, volcenginesdkcore 5.0.54, bce-python-sdk 0.9.79).

use serde_json::Value;

use super::*;
use crate::provider::Moment;

const MOMENT: Moment = Moment { now: Timestamp(1_767_323_045_000), dice: 1 };

fn text<'a>(case: &'a Value, member: &str) -> &'a str {
    case[member].as_str().unwrap_or_default()
}

/// Signs every request of a scheme and compares.
fn check(scheme: &str, sign: impl Fn(Draft<'_>, &Keys, &Value) -> HttpCall) {
    let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let cases = vectors[scheme].as_array().unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let keys = Keys {
            id: text(case, "id").to_owned(),
            secret: Secret::new(text(case, "secret").to_owned()),
            token: case["token"].as_str().map(|token| Secret::new(token.to_owned())),
        };
        let site = Site::of(format!("https://{}", text(case, "host")));
        let mut draft = Draft::new(&site, text(case, "method").parse().unwrap(), text(case, "path"));
        for pair in case["query"].as_array().into_iter().flatten() {
            draft = draft.with_query(&[(pair[0].as_str().unwrap(), pair[1].as_str().unwrap())]);
        }
        if let Some(content_type) = case["content_type"].as_str() {
            draft = draft.with_body(content_type, text(case, "body").to_owned());
        }
        let call = sign(draft, &keys, case);
        let authorization = &call.headers.iter().find(|(name, _)| name == AUTHORIZATION).unwrap().1;
        assert_eq!(authorization.to_str().unwrap(), text(case, "authorization"), "{scheme} {}", text(case, "name"));
        let sent: Vec<&HeaderValue> = call.headers.iter().map(|(_, value)| value).collect();
        for secret in [authorization.to_str().unwrap(), text(case, "token")].iter().filter(|text| !text.is_empty()) {
            let value = sent.iter().find(|value| value.to_str().unwrap() == *secret);
            assert!(value.is_some_and(|value| value.is_sensitive()), "{scheme} sends {secret} for all to see");
        }
    }
}

#[test]
fn acs3_is_what_alibaba_expects() {
    check("acs3", |draft, keys, case| acs3::sign(draft, keys, text(case, "action"), "2015-01-09", MOMENT));
}

#[test]
fn sdk_hmac_is_what_huawei_expects() {
    check("sdk_hmac", |draft, keys, _| sdk_hmac::sign(draft, keys, MOMENT));
}

#[test]
fn sigv4_is_what_aws_expects() {
    check("sigv4", |draft, keys, case| sigv4::sign(draft, keys, text(case, "region"), "route53", MOMENT));
}

#[test]
fn tc3_is_what_tencent_expects() {
    check("tc3", |draft, keys, case| tc3::sign(draft, keys, "dnspod", text(case, "action"), "2021-03-23", MOMENT));
}

#[test]
fn volc_is_what_volcengine_expects() {
    check("volc", |draft, keys, _| volc::sign(draft, keys, "cn-north-1", "DNS", MOMENT));
}

#[test]
fn bce_is_what_baidu_expects() {
    check("bce", |draft, keys, _| bce::sign(draft, keys, MOMENT));
}

#[test]
fn the_host_is_the_one_that_the_http_client_writes() {
    for (base, host, path) in [
        ("https://API.test", "api.test", ""),
        ("https://api.test:443/v1/", "api.test", "/v1"),
        ("http://api.test:443", "api.test:443", ""),
        ("http://127.0.0.1:8080/base", "127.0.0.1:8080", "/base"),
        ("http://[::1]:80", "[::1]", ""),
    ] {
        let site = Site::of(base.to_owned());
        assert_eq!((site.host.as_str(), site.path.as_str()), (host, path), "{base}");
    }
}
