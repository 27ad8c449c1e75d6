//! TLS 1.2 and 1.3: the certificate that is served, where it comes from, and how it is replaced while connections go on.
//!
//! One certificate is served whatever name the client asks for, or none: old routers send no SNI. Which client
//! certificates are asked for is not decided here.

use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, TrustAnchor};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};
use tokio::time::sleep;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How many sessions are remembered for resumption; each takes a few hundred bytes.
const SESSIONS: usize = 1024;

/// The last year of the certificates that we make ourselves: small routers count seconds in 32 bits, to 2038.
const LAST_YEAR: i32 = 2037;

/// The crypto of the whole gateway.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// How we speak TLS. Public, so that a benchmark can measure a bare server under the very same settings.
///
/// One ticket per TLS 1.3 handshake: to resume saves the client half its work and us nothing, but without any
/// ticket a client that does not set TCP_NODELAY waits 40 ms for an acknowledgement before it sends its request.
/// Sessions are kept in memory and bounded, rather than sealed into tickets, so that no key lies about that opens
/// recorded traffic later.
///
/// # Errors
/// When the crypto provider supports neither version.
pub fn server_config(certificate: Arc<dyn ResolvesServerCert>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // `curl --http1.0` offers nothing but that name, and a server without it has to end the handshake.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    config.send_tls13_tickets = 1;
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(config)
}

/// Why a certificate cannot be served. The words are for the operator.
#[derive(Debug)]
pub enum TlsError {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// No certificate in PEM form in the file.
    NoCertificate(PathBuf),
    /// No private key in PEM form in the file.
    NoKey(PathBuf),
    /// A key of a kind that TLS does not use, or a broken one.
    BadKey(PathBuf, rustls::Error),
    /// A certificate that cannot be read.
    BadCertificate(PathBuf, rustls::Error),
    /// The key is not that of the certificate.
    Mismatch(PathBuf, PathBuf),
    /// A certificate could not be made.
    NotMade(rcgen::Error),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file, why) => write!(f, "{}: {why}", file.display()),
            Self::NoCertificate(file) => {
                write!(f, "{}: no certificate in it; it should hold a PEM block \"CERTIFICATE\"", file.display())
            }
            Self::NoKey(file) => {
                write!(f, "{}: no private key in it; it should hold a PEM block \"PRIVATE KEY\"", file.display())
            }
            Self::BadKey(file, why) => {
                write!(f, "{}: the key cannot be used ({why}); ECDSA P-256, Ed25519 and RSA can", file.display())
            }
            Self::BadCertificate(file, why) => write!(f, "{}: the certificate cannot be read: {why}", file.display()),
            Self::Mismatch(certificate, key) => {
                write!(f, "{}: not the key of the first certificate in {}", key.display(), certificate.display())
            }
            Self::NotMade(why) => write!(f, "a certificate could not be made: {why}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(_, why) => Some(why),
            Self::BadKey(_, why) | Self::BadCertificate(_, why) => Some(why),
            Self::NotMade(why) => Some(why),
            Self::NoCertificate(_) | Self::NoKey(_) | Self::Mismatch(..) => None,
        }
    }
}

/// Reads a chain and its key, both PEM, the server's own certificate first.
///
/// # Errors
/// Says which file, and what would be right.
pub fn load(cert_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let chain = read(cert_file)?;
    let key = zeroize::Zeroizing::new(read(key_file)?);
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, pem::Error>>()
        .map_err(|_| TlsError::NoCertificate(cert_file.to_owned()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(cert_file.to_owned()));
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| TlsError::NoKey(key_file.to_owned()))?;
    let signer = ring::sign::any_supported_type(&key).map_err(|why| TlsError::BadKey(key_file.to_owned(), why))?;
    let certified = CertifiedKey::new(chain, signer);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::Mismatch(cert_file.to_owned(), key_file.to_owned())),
        Err(why) => Err(TlsError::BadCertificate(cert_file.to_owned(), why)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|why| TlsError::File(file.to_owned(), why))
}

/// The certificate that is served now, and the files it came from.
#[derive(Debug)]
pub struct Certificate {
    served: ArcSwap<CertifiedKey>,
    cert_file: PathBuf,
    key_file: PathBuf,
    /// The versions of the files that were there when they were first read.
    opened: Stamps,
}

impl Certificate {
    /// Loads the files.
    ///
    /// # Errors
    /// As [`load`].
    pub fn open(cert_file: &Path, key_file: &Path) -> Result<Arc<Self>, TlsError> {
        // Taken before the files are read: what changes from now on is seen by whoever watches.
        let opened = stamps(cert_file, key_file);
        let served = ArcSwap::from_pointee(load(cert_file, key_file)?);
        Ok(Arc::new(Self { served, cert_file: cert_file.to_owned(), key_file: key_file.to_owned(), opened }))
    }

    /// Reads the files again. New connections get the new certificate, those that stand are not touched.
    ///
    /// # Errors
    /// As [`load`]; the old certificate is served on.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.served.store(Arc::new(load(&self.cert_file, &self.key_file)?));
        Ok(())
    }

    /// The chain that is served now, the server's own certificate first, in DER.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.served.load().cert.clone()
    }

    /// Reloads whenever the files change, and says each time how that went. Never ends.
    ///
    /// A file that is half written, or a certificate whose key has not arrived yet, is told once; the next change
    /// is the next try.
    pub async fn watch(&self, tell: impl Fn(Result<(), TlsError>)) {
        let mut known = self.opened;
        loop {
            sleep(LOOK_EVERY).await;
            // Taken before the files are read: what changes while they are read differs from it the next time.
            let seen = stamps(&self.cert_file, &self.key_file);
            if seen != known {
                known = seen;
                tell(self.reload());
            }
        }
    }
}

/// What tells versions of both files apart: when each was written, and how long it is.
type Stamps = [Option<(SystemTime, u64)>; 2];

fn stamps(cert_file: &Path, key_file: &Path) -> Stamps {
    [cert_file, key_file].map(|file| {
        let about = fs::metadata(file).ok()?;
        Some((about.modified().ok()?, about.len()))
    })
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.served.load_full())
    }
}

/// Where a certificate and its key lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The chain, PEM.
    pub cert_file: PathBuf,
    /// The key, PEM, mode 0600.
    pub key_file: PathBuf,
}

/// A self-signed certificate for `names` (hostnames and addresses) in `dir`: the one from last time, if it still
/// covers them, else a new one.
///
/// # Errors
/// When `names` holds what is no name, or the files cannot be written.
pub fn self_signed(dir: &Path, names: &[String]) -> Result<Pair, TlsError> {
    let pair = Pair { cert_file: dir.join("self-signed.crt"), key_file: dir.join("self-signed.key") };
    if covers(&pair, names) {
        return Ok(pair);
    }
    let key = KeyPair::generate().map_err(TlsError::NotMade)?;
    let certificate = server_params(names)?.self_signed(&key).map_err(TlsError::NotMade)?;
    keep(dir, &pair, &certificate.pem(), &key)?;
    Ok(pair)
}

/// The self-signed certificate that a gateway keeps in its data folder; without names it is for `localhost`.
///
/// # Errors
/// As [`self_signed`].
pub fn own(data_dir: &Path, names: &[String]) -> Result<Pair, TlsError> {
    let dir = data_dir.join("tls");
    if names.is_empty() { self_signed(&dir, &["localhost".to_owned()]) } else { self_signed(&dir, names) }
}

/// The certificate that clients of this chain have to be told to trust: one in it that names itself as its issuer, and
/// is no public authority's. A self-signed certificate is such a chain by itself.
#[must_use]
pub fn private_ca<'a>(chain: &'a [CertificateDer<'static>]) -> Option<&'a CertificateDer<'static>> {
    let is_public = |certificate: &CertificateDer<'static>| {
        let mut roots = RootCertStore::empty();
        let is_read = roots.add(certificate.clone()).is_ok();
        is_read
            && roots.roots.iter().any(|anchor| {
                let same = |known: &TrustAnchor<'_>| {
                    known.subject == anchor.subject && known.subject_public_key_info == anchor.subject_public_key_info
                };
                webpki_roots::TLS_SERVER_ROOTS.iter().any(same)
            })
    };
    chain.iter().rev().find(|certificate| is_self_issued(certificate) && !is_public(certificate))
}

/// Whether issuer and subject of a certificate are the same (RFC 5280 4.1).
fn is_self_issued(certificate: &[u8]) -> bool {
    let names = || {
        let (certificate, _) = der_value(certificate)?;
        let (mut rest, _) = der_value(certificate)?;
        // Version, which may be missing, serial number, algorithm; then issuer, validity, subject.
        if rest.first() == Some(&0xa0) {
            (_, rest) = der_value(rest)?;
        }
        let mut fields = [&[][..]; 5];
        for field in &mut fields {
            (*field, rest) = der_value(rest)?;
        }
        Some((fields[2], fields[4]))
    };
    names().is_some_and(|(issuer, subject)| !issuer.is_empty() && issuer == subject)
}

/// The content of the first DER value of `bytes`, and what follows it (X.690 8.1).
fn der_value(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&short, mut rest) = bytes.get(1..)?.split_first()?;
    let mut length = usize::from(short & 0x7f);
    if short >= 0x80 {
        let digits = rest.split_at_checked(length).filter(|_| length <= 3)?;
        length = digits.0.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
        rest = digits.1;
    }
    rest.split_at_checked(length)
}

/// A certificate authority for development, and a server certificate that it signed for `names`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevelopmentCa {
    /// What clients are to trust. The authority's key is thrown away: it signs nothing else, ever.
    pub ca_file: PathBuf,
    /// What the server shows: its certificate, and that of the authority behind it.
    pub server: Pair,
}

/// Makes `ca.crt`, `server.crt` and `server.key` in `dir`, or takes those of last time if they cover `names`.
///
/// # Errors
/// When `names` holds what is no name, or the files cannot be written.
pub fn development_ca(dir: &Path, names: &[String]) -> Result<DevelopmentCa, TlsError> {
    let ca_file = dir.join("ca.crt");
    let server = Pair { cert_file: dir.join("server.crt"), key_file: dir.join("server.key") };
    let has_both = || load(&server.cert_file, &server.key_file).is_ok_and(|it| private_ca(&it.cert).is_some());
    if covers(&server, names) && ca_file.is_file() && has_both() {
        return Ok(DevelopmentCa { ca_file, server });
    }
    let ca_key = KeyPair::generate().map_err(TlsError::NotMade)?;
    let mut ca = CertificateParams::new(Vec::new()).map_err(TlsError::NotMade)?;
    ca.distinguished_name.push(DnType::CommonName, "nicgate development CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.not_after = rcgen::date_time_ymd(LAST_YEAR, 12, 31);
    let ca_pem = ca.self_signed(&ca_key).map_err(TlsError::NotMade)?.pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().map_err(TlsError::NotMade)?;
    let certificate = server_params(names)?.signed_by(&key, &issuer).map_err(TlsError::NotMade)?;
    keep(dir, &server, &(certificate.pem() + &ca_pem), &key)?;
    replace(&ca_file, ca_pem.as_bytes(), 0o644)?;
    Ok(DevelopmentCa { ca_file, server })
}

fn server_params(names: &[String]) -> Result<CertificateParams, TlsError> {
    let mut params = CertificateParams::new(names).map_err(TlsError::NotMade)?;
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("nicgate", String::as_str));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_after = rcgen::date_time_ymd(LAST_YEAR, 12, 31);
    Ok(params)
}

/// Whether the pair can be served and holds every name.
fn covers(pair: &Pair, names: &[String]) -> bool {
    let Ok(certified) = load(&pair.cert_file, &pair.key_file) else { return false };
    let Some(certificate) = certified.cert.first().and_then(|der| ParsedCertificate::try_from(der).ok()) else {
        return false;
    };
    names.iter().all(|name| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|name| rustls::client::verify_server_name(&certificate, &name).is_ok())
    })
}

fn keep(dir: &Path, pair: &Pair, cert_pem: &str, key: &KeyPair) -> Result<(), TlsError> {
    fs::create_dir_all(dir).map_err(|why| TlsError::File(dir.to_owned(), why))?;
    let key_pem = zeroize::Zeroizing::new(key.serialize_pem());
    replace(&pair.key_file, key_pem.as_bytes(), 0o600)?;
    replace(&pair.cert_file, cert_pem.as_bytes(), 0o644)
}

/// Writes a file under another name first, so that nobody ever reads half of it.
fn replace(file: &Path, content: &[u8], mode: u32) -> Result<(), TlsError> {
    let mut fresh = file.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    let write = || {
        // One that a crash left behind may have another mode.
        match fs::remove_file(&fresh) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let mut opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
        opened.write_all(content)?;
        opened.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().map_err(|why| TlsError::File(file.to_owned(), why))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Mutex;

    use super::super::rehearsal::Folder;
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// A pair in a folder of its own.
    fn made(folder: &Folder, name: &str) -> Pair {
        self_signed(&folder.path().join(name), &names(&[name])).unwrap()
    }

    #[test]
    fn what_cannot_be_served_is_said_in_words() {
        let folder = Folder::new();
        let (one, other) = (made(&folder, "one.test"), made(&folder, "other.test"));
        let file = |name: &str, content: &[u8]| {
            let file = folder.path().join(name);
            fs::write(&file, content).unwrap();
            file
        };
        let empty = file("empty.pem", b"");
        let not_pem = file("not.pem", b"hello");
        let half = file("half.pem", &fs::read(&one.cert_file).unwrap()[..200]);
        let block = |label: &str| format!("-----BEGIN {label}-----\naGVsbG8=\n-----END {label}-----\n").into_bytes();
        let odd = file("odd.pem", &block("CERTIFICATE"));
        let odd_key = file("odd.key", &block("PRIVATE KEY"));
        let missing = folder.path().join("missing.pem");
        for (cert_file, key_file, said) in [
            (&missing, &one.key_file, "missing.pem: No such file"),
            (&one.cert_file, &missing, "missing.pem: No such file"),
            (&empty, &one.key_file, "empty.pem: no certificate in it"),
            (&not_pem, &one.key_file, "not.pem: no certificate in it"),
            (&half, &one.key_file, "half.pem: no certificate in it"),
            (&one.key_file, &one.key_file, "self-signed.key: no certificate in it"),
            (&odd, &one.key_file, "odd.pem: the certificate cannot be read"),
            (&one.cert_file, &empty, "empty.pem: no private key in it"),
            (&one.cert_file, &one.cert_file, "self-signed.crt: no private key in it"),
            (&one.cert_file, &odd_key, "odd.key: the key cannot be used"),
            (&one.cert_file, &other.key_file, "self-signed.key: not the key of the first certificate in"),
        ] {
            let mistake = load(cert_file, key_file).unwrap_err().to_string();
            assert!(mistake.contains(said), "{mistake:?} should say {said:?}");
        }
    }

    #[test]
    fn a_self_signed_certificate_is_kept_while_it_covers_the_names() {
        let folder = Folder::new();
        let content = |pair: &Pair| fs::read(&pair.cert_file).unwrap();
        let first = self_signed(folder.path(), &names(&["home.test", "192.0.2.1", "2001:db8::1"])).unwrap();
        let mode = fs::metadata(&first.key_file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let before = content(&first);
        assert_eq!(content(&self_signed(folder.path(), &names(&["192.0.2.1", "home.test"])).unwrap()), before);
        assert_ne!(content(&self_signed(folder.path(), &names(&["other.test"])).unwrap()), before);
        // A key that was lost in between, or overwritten: a new pair, never half of one.
        fs::write(&first.key_file, "").unwrap();
        let again = self_signed(folder.path(), &names(&["other.test"])).unwrap();
        assert!(load(&again.cert_file, &again.key_file).is_ok());
        assert!(self_signed(folder.path(), &names(&["h\u{f6}me.test"])).is_err());
    }

    #[test]
    fn the_development_ca_keeps_no_key_of_its_own() {
        let folder = Folder::new();
        let first = development_ca(folder.path(), &names(&["localhost", "127.0.0.1"])).unwrap();
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, ["ca.crt", "server.crt", "server.key"]);
        assert_eq!(fs::metadata(&first.server.key_file).unwrap().permissions().mode() & 0o777, 0o600);
        let ca = fs::read(&first.ca_file).unwrap();
        assert_eq!(development_ca(folder.path(), &names(&["localhost"])).unwrap(), first);
        assert_eq!(fs::read(&first.ca_file).unwrap(), ca);
    }

    /// ISRG Root X2.
    const PUBLIC_ROOT: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIICGzCCAaGgAwIBAgIQQdKd0XLq7qeAwSxs6S+HUjAKBggqhkjOPQQDAzBPMQsw\n\
CQYDVQQGEwJVUzEpMCcGA1UEChMgSW50ZXJuZXQgU2VjdXJpdHkgUmVzZWFyY2gg\n\
R3JvdXAxFTATBgNVBAMTDElTUkcgUm9vdCBYMjAeFw0yMDA5MDQwMDAwMDBaFw00\n\
MDA5MTcxNjAwMDBaME8xCzAJBgNVBAYTAlVTMSkwJwYDVQQKEyBJbnRlcm5ldCBT\n\
ZWN1cml0eSBSZXNlYXJjaCBHcm91cDEVMBMGA1UEAxMMSVNSRyBSb290IFgyMHYw\n\
EAYHKoZIzj0CAQYFK4EEACIDYgAEzZvVn4CDCuwJSvMWSj5cz3es3mcFDR0HttwW\n\
+1qLFNvicWDEukWVEYmO6gbf9yoWHKS5xcUy4APgHoIYOIvXRdgKam7mAHf7AlF9\n\
ItgKbppbd9/w+kHsOdx1ymgHDB/qo0IwQDAOBgNVHQ8BAf8EBAMCAQYwDwYDVR0T\n\
AQH/BAUwAwEB/zAdBgNVHQ4EFgQUfEKWrt5LSDv6kviejM9ti6lyN5UwCgYIKoZI\n\
zj0EAwMDaAAwZQIwe3lORlCEwkSHRhtFcP9Ymd70/aTSVaYgLXTWNLxBo1BfASdW\n\
tL4ndQavEi51mI38AjEAi/V3bNTIZargCyzuFJ0nN6T5U6VR5CmD1/iQMVtCnwr1\n\
/q4AaOeMSQ+2b1tbFfLn\n\
-----END CERTIFICATE-----";

    #[test]
    fn a_private_authority_is_found_in_its_chain() {
        let folder = Folder::new();
        let chain = |file: &Path| -> Vec<CertificateDer<'static>> {
            CertificateDer::pem_file_iter(file).unwrap().collect::<Result<_, _>>().unwrap()
        };
        let development = development_ca(folder.path(), &names(&["home.test"])).unwrap();
        let served = chain(&development.server.cert_file);
        assert_eq!(private_ca(&served), Some(&chain(&development.ca_file)[0]));
        assert_eq!(private_ca(&served[..1]), None);
        let own = chain(&own(folder.path(), &[]).unwrap().cert_file);
        assert_eq!(private_ca(&own), Some(&own[0]));
        // A public authority needs no word about it, also where somebody serves its own certificate.
        let public_file = folder.path().join("public.pem");
        fs::write(&public_file, PUBLIC_ROOT).unwrap();
        let public = chain(&public_file);
        assert!(is_self_issued(&public[0]));
        assert_eq!(private_ca(&[served[0].clone(), public[0].clone()]), None);
        for garbage in [&[][..], &[0x30], &[0x30, 0x84, 1, 1, 1, 1], &[0x30, 2, 0x30, 0], &[0xff; 40], &[0x30; 40]] {
            assert_eq!(private_ca(&[CertificateDer::from(garbage.to_vec())]), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_certificate_is_served_and_a_broken_one_is_not() {
        let folder = Folder::new();
        let live = made(&folder, "live.test");
        let certificate = Certificate::open(&live.cert_file, &live.key_file).unwrap();
        let first = certificate.chain();
        let told = Arc::new(Mutex::new(Vec::new()));
        let (watched, heard) = (Arc::clone(&certificate), Arc::clone(&told));
        let watcher = tokio::spawn(async move {
            watched.watch(|how| heard.lock().unwrap().push(how.map_err(|why| why.to_string()))).await;
        });
        let pause = || sleep(3 * LOOK_EVERY);

        pause().await;
        assert!(told.lock().unwrap().is_empty());

        let next = made(&folder, "next.test");
        let whole = fs::read(&next.cert_file).unwrap();
        fs::write(&live.cert_file, &whole[..whole.len() / 2]).unwrap();
        pause().await;
        assert_eq!(certificate.chain(), first);
        fs::write(&live.cert_file, &whole).unwrap();
        pause().await;
        assert_eq!(certificate.chain(), first);
        fs::remove_file(&live.key_file).unwrap();
        pause().await;
        fs::copy(&next.key_file, &live.key_file).unwrap();
        pause().await;
        assert_eq!(certificate.chain(), Certificate::open(&next.cert_file, &next.key_file).unwrap().chain());

        let told = told.lock().unwrap();
        assert_eq!(told.len(), 4, "each state is told once: {told:?}");
        for (how, said) in told.iter().zip(["no certificate in it", "not the key", "No such file"]) {
            assert!(how.as_ref().unwrap_err().contains(said), "{how:?}");
        }
        assert_eq!(told[3], Ok(()));
        watcher.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_before_anybody_watches_is_seen_too() {
        let folder = Folder::new();
        let (live, next) = (made(&folder, "live.test"), made(&folder, "next.test"));
        let certificate = Certificate::open(&live.cert_file, &live.key_file).unwrap();
        fs::copy(&next.cert_file, &live.cert_file).unwrap();
        fs::copy(&next.key_file, &live.key_file).unwrap();
        let watched = Arc::clone(&certificate);
        let watcher = tokio::spawn(async move { watched.watch(|_| ()).await });
        sleep(3 * LOOK_EVERY).await;
        assert_eq!(certificate.chain(), Certificate::open(&next.cert_file, &next.key_file).unwrap().chain());
        watcher.abort();
    }
}
