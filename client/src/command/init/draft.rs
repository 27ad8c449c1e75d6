//! The configuration as `init` writes it: values in, a text out. Pure.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nicgate_protocol::{DeviceId, Hostname};

use crate::base_url::BaseUrl;

/// What the certificate authority's file is called.
pub(in crate::command) const CA_NAME: &str = "ca.crt";

/// Everything that goes into the file, but for where the key is.
pub(super) struct Draft {
    /// In the order of preference; at least one.
    pub(super) gateways: Vec<BaseUrl>,
    /// Our name there.
    pub(super) device: DeviceId,
    /// The names that shall point here.
    pub(super) hosts: Vec<Hostname>,
    /// Whether the gateway's authority is in [`CA_NAME`].
    pub(super) has_ca: bool,
    /// As they were given.
    pub(super) ipv4: Option<String>,
    /// Likewise.
    pub(super) ipv6: Option<String>,
}

/// Where the key is.
#[derive(Clone, Copy)]
pub(super) enum KeyAt<'a> {
    /// In a file beside the configuration.
    File(&'a str),
    /// In a variable: to try a text before there is a file.
    Variable(&'a str),
}

impl Draft {
    /// The text of the file.
    pub(super) fn text(&self, key: KeyAt<'_>) -> String {
        let mut text = String::from(
            "# nicgate-client, written by `nicgate-client init`. What else can stand here: config/client.example.toml.\n\n",
        );
        let urls: Vec<String> = self.gateways.iter().map(|url| quoted(&url.to_string())).collect();
        match urls.as_slice() {
            [only] => line(&mut text, "gateway", only),
            several => line(&mut text, "gateway", &format!("[{}]", several.join(", "))),
        }
        if self.has_ca {
            text.push_str("# The only authority that may vouch for the gateway.\n");
            line(&mut text, "ca_file", &quoted(CA_NAME));
        }
        text.push_str("\n# Who we are there.\n");
        line(&mut text, "device", &quoted(self.device.as_str()));
        match key {
            KeyAt::File(name) => line(&mut text, "key_file", &quoted(name)),
            KeyAt::Variable(name) => line(&mut text, "key_env", &quoted(name)),
        }
        text.push_str("\n# The names that point at this machine.\n");
        let hosts: Vec<String> = self.hosts.iter().map(|host| quoted(host.as_str())).collect();
        line(&mut text, "hosts", &format!("[{}]", hosts.join(", ")));
        text.push_str(
            "\n# Where each family's address comes from: \"web\", \"interface\", \"router\", \"stun\", \"dns\", an \
             address, \"off\".\n# `nicgate-client detect` shows what each of them says.\n",
        );
        for (family, source, otherwise) in [("ipv4", &self.ipv4, "web"), ("ipv6", &self.ipv6, "off")] {
            line(&mut text, family, &quoted(source.as_deref().unwrap_or(otherwise)));
        }
        text
    }
}

fn line(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(" = ");
    text.push_str(value);
    text.push('\n');
}

/// A text as a basic string of TOML 1.0.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => {
                // Writing into a string does not fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// What a device's key file is called. Some names are devices of Windows, whatever follows the dot.
pub(super) fn key_name(device: &DeviceId) -> String {
    let stem = device.as_str().split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_reserved = match stem.as_str() {
        "aux" | "con" | "nul" | "prn" => true,
        stem => {
            let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
            port.is_some_and(|rest| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()))
        }
    };
    if is_reserved { format!("device-{device}.key") } else { format!("{device}.key") }
}

/// A certificate in PEM form (RFC 7468).
pub(super) fn pem(der: &[u8]) -> String {
    let letters = STANDARD.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for part in letters.as_bytes().chunks(64) {
        text.extend(part.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{self, Source, Trust, Which};

    fn draft(gateways: &[&str], ipv4: &str) -> Draft {
        Draft {
            gateways: gateways.iter().map(|url| BaseUrl::parse(url).unwrap()).collect(),
            device: DeviceId::parse("laptop").unwrap(),
            hosts: vec![Hostname::parse("a.home.test").unwrap(), Hostname::parse("b.home.test").unwrap()],
            has_ca: false,
            ipv4: Some(ipv4.to_owned()),
            ipv6: None,
        }
    }

    /// Reads a text back; the key is in a variable.
    fn read(draft: &Draft) -> settings::Settings {
        let text = draft.text(KeyAt::Variable("K"));
        let read = settings::read(Path::new("/x/client.toml"), &text, &|_| Some("k".repeat(43)));
        read.unwrap_or_else(|mistakes| panic!("{mistakes}\n{text}")).settings
    }

    #[test]
    fn whatever_is_written_is_read_back() {
        for name in ["eth0", "Ethernet \"2\"", "a\\b", "#", "Ünï 名", "'''\"\"\""] {
            let settings = read(&draft(&["https://a.example"], &format!("interface:{name}")));
            assert_eq!(settings.ipv4, [Source::Interface(Which::Named(name.to_owned()))], "{name:?}");
        }
        for name in ["a\nkey = \"x\"", "\u{7f}\u{1}"] {
            let text = draft(&["https://a.example"], &format!("interface:{name}")).text(KeyAt::Variable("K"));
            assert!(settings::read(Path::new("/x/client.toml"), &text, &|_| Some("k".repeat(43))).is_err(), "{name:?}");
        }
        let settings = read(&draft(&["https://a.example/x\"]y", "http://127.0.0.1:8080"], "web"));
        let urls: Vec<String> = settings.gateways.iter().map(ToString::to_string).collect();
        assert_eq!(urls, ["https://a.example/x\"]y", "http://127.0.0.1:8080"]);
        assert_eq!((settings.hosts.len(), settings.device.as_str()), (2, "laptop"));
        assert!(settings.ipv6.is_empty() && matches!(settings.trust, Trust::PublicRoots));
    }

    #[test]
    fn a_key_file_is_never_a_device_of_windows() {
        for (device, name) in [
            ("laptop", "laptop.key"),
            ("CON", "device-CON.key"),
            ("nul.x", "device-nul.x.key"),
            ("com1", "device-com1.key"),
            ("lpt0", "device-lpt0.key"),
            ("com10", "com10.key"),
            ("console", "console.key"),
            ("..", "...key"),
        ] {
            assert_eq!(key_name(&DeviceId::parse(device).unwrap()), name);
        }
    }

    #[test]
    fn a_certificate_comes_back_out_of_its_text() {
        let certificate = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert;
        let text = pem(certificate.der());
        assert!(Trust::from_pem(text.as_bytes()).is_ok(), "{text}");
        assert!(text.lines().all(|line| line.len() <= 64));
    }
}
