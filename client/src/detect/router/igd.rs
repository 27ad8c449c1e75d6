//! UPnP: finds an Internet gateway device by SSDP, and asks it by SOAP for its external address (UPnP Device
//! Architecture 1.1 1.3 and 3; WANIPConnection and WANPPPConnection, 2.4.17).
//!
//! Whoever shares the network can answer. Therefore what an answer points to is fetched only from the very address
//! that answered, and only from an address of a home network; the default router, where one is known, is heard before
//! all others. Nothing is changed: no port is opened.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use nicgate_protocol::Family;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::xml::{self, Event};
use crate::http::{HttpFault, Line, Question};
use crate::way::Way;

/// How often the search is sent, and how long each one is listened for: packets to many are lost more easily.
const ROUNDS: u32 = 3;
const ROUND: Duration = Duration::from_millis(1200);
/// How many devices are remembered.
const MOST_DEVICES: usize = 8;

/// What is searched for. A device of version 2 answers to version 1 as well; some old ones answer to a service alone.
const TARGETS: [&str; 4] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// The services that know the external address; their versions do not differ in that.
const SERVICES: [&str; 2] =
    ["urn:schemas-upnp-org:service:WANIPConnection:", "urn:schemas-upnp-org:service:WANPPPConnection:"];

/// Where to search.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Where devices listen for searches: 239.255.255.250:1900.
    pub group: SocketAddrV4,
    /// The default router: it is asked directly as well, and preferred.
    pub router: Option<Ipv4Addr>,
    /// For laboratories: believes devices at any address, not only at a home's.
    pub takes_any_address: bool,
}

impl Default for Search {
    fn default() -> Self {
        let group = SocketAddrV4::new(Ipv4Addr::new(239, 255, 255, 250), 1900);
        Self { group, router: None, takes_any_address: false }
    }
}

/// Asks the Internet gateway device for its external address.
///
/// # Errors
/// When none is found or it does not tell.
pub async fn address(way: &Way, search: Search, patience: Duration) -> Result<Ipv4Addr, IgdFault> {
    timeout(patience, address_at_leisure(way, search)).await.unwrap_or(Err(IgdFault::NoAnswer))
}

async fn address_at_leisure(way: &Way, search: Search) -> Result<Ipv4Addr, IgdFault> {
    let description = find(way, search).await?;
    let page = ask(way, &description, None).await?;
    let services = services(&page.text, &description);
    let mut outcome = Err(IgdFault::NoService(description.authority()));
    for service in services {
        match external_address(way, &service).await {
            // A line that is not connected says 0.0.0.0; another one may be.
            Ok(address) if address.is_unspecified() => outcome = Ok(address),
            Ok(address) => return Ok(address),
            Err(fault) if outcome.is_err() => outcome = Err(fault),
            Err(_) => {}
        }
    }
    outcome
}

/// A document on a device, by plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: Ipv4Addr,
    port: u16,
    /// With its query.
    path: String,
}

impl Place {
    /// An absolute URL; its host must be an address.
    fn parse(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let authority = uri.authority()?;
        let is_plain = uri.scheme_str() == Some("http") && !authority.as_str().contains('@');
        let host = is_plain.then(|| authority.host().parse().ok())??;
        // "host:" has an empty port, "host:99999" none that fits.
        let names_a_port = authority.as_str().len() > authority.host().len();
        let port = if names_a_port { authority.port_u16()? } else { 80 };
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        (port != 0).then_some(Self { host, port, path })
    }

    /// A URL in a document that is here; only one on the same host.
    fn join(&self, url: &str) -> Option<Self> {
        if url.starts_with("http://") {
            return Self::parse(url).filter(|place| place.host == self.host);
        }
        let path = if url.starts_with('/') {
            url.to_owned()
        } else {
            let folder = self.path.split('?').next().and_then(|path| path.rsplit_once('/')).map_or("", |(up, _)| up);
            format!("{folder}/{url}")
        };
        // What hyper would refuse, and what would lead to another host.
        let path: Uri = path.parse().ok().filter(|_| !path.starts_with("//"))?;
        path.authority().is_none().then(|| Self { path: path.to_string(), ..*self })
    }

    fn authority(&self) -> String {
        if self.port == 80 { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }
}

/// A service that knows the external address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Service {
    /// `urn:schemas-upnp-org:service:WANIPConnection:1`.
    kind: String,
    control: Place,
}

/// Where the description of a gateway device is.
async fn find(way: &Way, search: Search) -> Result<Place, IgdFault> {
    let socket = way.datagrams(Family::V4).map_err(IgdFault::Network)?;
    if let Some(IpAddr::V4(source)) = way.source(Family::V4) {
        // The address that a socket speaks from does not choose the card for packets to many.
        socket2::SockRef::from(&socket).set_multicast_if_v4(&source).map_err(IgdFault::Network)?;
    }
    let mut found = Vec::new();
    for _ in 0..ROUNDS {
        call(&socket, search).await?;
        let listening = timeout(ROUND, listen(&socket, search, &mut found));
        if let Ok(heard) = listening.await {
            return heard.map_err(IgdFault::Network);
        }
        if let Some(place) = found.first() {
            return Ok(Place::clone(place));
        }
    }
    Err(IgdFault::NoDevice)
}

/// Sends the searches: to all, and to the router, which may not hear what is sent to all.
async fn call(socket: &UdpSocket, search: Search) -> Result<(), IgdFault> {
    let router = search.router.map(|router| SocketAddrV4::new(router, search.group.port()));
    let mut fault = None;
    let mut is_sent = false;
    for peer in [Some(search.group), router].into_iter().flatten() {
        for target in TARGETS {
            let text = format!(
                "M-SEARCH * HTTP/1.1\r\nHOST: {peer}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: {target}\r\n\r\n"
            );
            match socket.send_to(text.as_bytes(), SocketAddr::V4(peer)).await {
                Ok(_) => is_sent = true,
                Err(failed) => fault = Some(failed),
            }
        }
    }
    match fault {
        Some(fault) if !is_sent => Err(IgdFault::Network(fault)),
        _ => Ok(()),
    }
}

/// Collects devices, and ends with the one that is the router or, when no router is known, with the first.
async fn listen(socket: &UdpSocket, search: Search, found: &mut Vec<Place>) -> io::Result<Place> {
    let mut buffer = [0; 2048];
    loop {
        let (length, peer) = match socket.recv_from(&mut buffer).await {
            Ok(heard) => heard,
            // Windows tells so of the router's closed port.
            Err(fault) if fault.kind() == io::ErrorKind::ConnectionReset => continue,
            Err(fault) => return Err(fault),
        };
        let Some(place) = location(&buffer[..length], peer.ip(), search.takes_any_address) else { continue };
        if search.router.is_none_or(|router| router == place.host) {
            return Ok(place);
        }
        if found.len() < MOST_DEVICES && !found.contains(&place) {
            found.push(place);
        }
    }
}

/// The place that an answer to a search names, if it is on the device that answered and that is in a home's network.
fn location(answer: &[u8], peer: IpAddr, takes_any_address: bool) -> Option<Place> {
    // Some devices put letters of their own into what they call themselves.
    let text = String::from_utf8_lossy(answer);
    let status = text.lines().next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let place = Place::parse(header(&text, "LOCATION")?)?;
    let is_wanted = status == "200" && TARGETS.contains(&header(&text, "ST")?);
    let is_home = is_of_a_home(place.host) || takes_any_address;
    (is_wanted && is_home && IpAddr::V4(place.host) == peer).then_some(place)
}

/// The value of the first header of a name.
fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Private, link-local or behind a carrier's NAT: where a router's inner side is.
fn is_of_a_home(address: Ipv4Addr) -> bool {
    let is_carriers = matches!(address.octets(), [100, 64..=127, ..]);
    address.is_private() || address.is_link_local() || is_carriers
}

/// The services of a device description that know the external address, IP before PPP.
fn services(description: &str, place: &Place) -> Vec<Service> {
    let base = xml::text_of(description, "URLBase").filter(|base| !base.is_empty());
    let base = base.and_then(|base| place.join(&base)).unwrap_or_else(|| place.clone());
    let mut found = Vec::new();
    let (mut element, mut kind, mut control) = ("", None, None);
    for event in xml::events(description) {
        match event {
            Event::Open("service") => (kind, control) = (None, None),
            Event::Open(name) => element = name,
            Event::Text(text) if element == "serviceType" => kind = Some(text),
            Event::Text(text) if element == "controlURL" => control = base.join(&xml::unescape(text)),
            Event::Close("service") => {
                if let (Some(kind), Some(control)) = (kind.take(), control.take())
                    && let Some(rank) = SERVICES.iter().position(|service| is_version_of(kind, service))
                    && found.len() < MOST_DEVICES
                {
                    found.push((rank, Service { kind: kind.to_owned(), control }));
                }
            }
            Event::Close(_) => element = "",
            Event::Text(_) => {}
        }
    }
    found.sort_by_key(|(rank, _)| *rank);
    found.into_iter().map(|(_, service)| service).collect()
}

/// Whether a kind is `service` with a number: what follows goes into a header and into XML as it is.
fn is_version_of(kind: &str, service: &str) -> bool {
    kind.strip_prefix(service).is_some_and(|version| matches!(version, "1" | "2"))
}

async fn external_address(way: &Way, service: &Service) -> Result<Ipv4Addr, IgdFault> {
    let answer = ask(way, &service.control, Some(&service.kind)).await?;
    if answer.status == 200
        && let Some(text) = xml::text_of(&answer.text, "NewExternalIPAddress")
    {
        // Some say nothing while they are not connected.
        let text = if text.is_empty() { "0.0.0.0" } else { &text };
        return text.parse().map_err(|_| IgdFault::NotAnAddress);
    }
    Err(fault(&answer))
}

/// What a refusal says: the UPnP error in a SOAP fault (UPnP Device Architecture 1.1 3.2.2).
fn fault(answer: &Answer) -> IgdFault {
    let Some(code) = xml::text_of(&answer.text, "errorCode").and_then(|code| code.parse().ok()) else {
        return IgdFault::Status(answer.status);
    };
    let words = xml::text_of(&answer.text, "errorDescription").unwrap_or_default();
    let words = words.chars().filter(|letter| !letter.is_control()).take(80).collect();
    IgdFault::Refused(code, words)
}

/// Fetches a place, or asks the service of this kind there for the external address.
async fn ask(way: &Way, place: &Place, service: Option<&str>) -> Result<Answer, IgdFault> {
    let peer = SocketAddr::new(place.host.into(), place.port);
    let question = question(place, service).ok_or(IgdFault::Http(HttpFault::BadRequest))?;
    // Whoever asks for the address sets the limit of time.
    let mut line = Line::plain(way, peer, Duration::MAX).await.map_err(IgdFault::Http)?;
    let answer = line.ask(&question).await.map_err(IgdFault::Http)?;
    Ok(Answer { status: answer.status, text: String::from_utf8_lossy(&answer.body).into_owned() })
}

/// What a device answered.
struct Answer {
    status: u16,
    text: String,
}

fn question(place: &Place, service: Option<&str>) -> Option<Question> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::try_from(place.authority()).ok()?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    let target = place.path.clone();
    let Some(kind) = service else {
        return Some(Question { method: Method::GET, target, headers, body: Bytes::new() });
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/xml; charset=\"utf-8\""));
    let action = HeaderValue::try_from(format!("\"{kind}#GetExternalIPAddress\"")).ok()?;
    headers.insert(HeaderName::from_static("soapaction"), action);
    let body = format!(
        "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:GetExternalIPAddress \
         xmlns:u=\"{kind}\"></u:GetExternalIPAddress></s:Body></s:Envelope>\r\n"
    );
    Some(Question { method: Method::POST, target, headers, body: body.into() })
}

/// Why there is no address.
#[derive(Debug)]
pub enum IgdFault {
    /// The device could not be spoken with.
    Http(HttpFault),
    /// The network took no packet.
    Network(io::Error),
    /// Patience ended.
    NoAnswer,
    /// Nobody answered the search.
    NoDevice,
    /// The device that was found has no service that knows the address.
    NoService(String),
    /// What it called its external address is none.
    NotAnAddress,
    /// It refused, with this code and these words.
    Refused(u16, String),
    /// It answered with this status and nothing of use.
    Status(u16),
}

impl fmt::Display for IgdFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(fault) => write!(f, "the router was found, but {fault}"),
            Self::Network(fault) => write!(f, "the router cannot be asked: {fault}"),
            Self::NoAnswer => f.write_str("no answer came in time"),
            Self::NoDevice => f.write_str("no router answered; is UPnP switched on there?"),
            Self::NoService(device) => write!(f, "the device at {device} knows no external address"),
            Self::NotAnAddress => f.write_str("what the router calls its external address is none"),
            Self::Refused(code, words) => write!(f, "the router refused: {words} (code {code})"),
            Self::Status(status) => write!(f, "the router answered with status {status} and no address"),
        }
    }
}

impl std::error::Error for IgdFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Http(fault) => Some(fault),
            Self::Network(fault) => Some(fault),
            Self::NoAnswer
            | Self::NoDevice
            | Self::NoService(_)
            | Self::NotAnAddress
            | Self::Refused(..)
            | Self::Status(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// As miniupnpd 2.3.1 answers.
    const FOUND: &str = "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\n\
                         ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\
                         USN: uuid:6f0e3d1c::urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nEXT:\r\n\
                         SERVER: Debian/6.18 UPnP/1.1 MiniUPnPd/2.3.1\r\n\
                         LOCATION: http://10.0.0.1:38923/rootDesc.xml\r\nOPT: \"http://schemas.upnp.org/\"; ns=01\r\n\r\n";

    /// As miniupnpd 2.3.1 describes itself, less what is passed over.
    const DESCRIPTION: &str = "<?xml version=\"1.0\"?>\n<root xmlns=\"urn:schemas-upnp-org:device-1-0\" \
        configId=\"1337\"><specVersion><major>1</major><minor>1</minor></specVersion><device><deviceType>\
        urn:schemas-upnp-org:device:InternetGatewayDevice:2</deviceType><serviceList><service><serviceType>\
        urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/ctl/L3F</controlURL></service>\
        </serviceList><deviceList><device><serviceList><service><serviceType>\
        urn:schemas-upnp-org:service:WANIPConnection:2</serviceType><serviceId>urn:upnp-org:serviceId:WANIPConn1\
        </serviceId><SCPDURL>/WANIPCn.xml</SCPDURL><controlURL>/ctl/IPConn</controlURL><eventSubURL>/evt/IPConn\
        </eventSubURL></service></serviceList></device></deviceList></device></root>";

    fn place(url: &str) -> Place {
        Place::parse(url).unwrap()
    }

    fn url(place: &Place) -> String {
        format!("http://{}{}", place.authority(), place.path)
    }

    #[test]
    fn an_answer_to_a_search_points_to_the_device_that_gave_it() {
        let home = "10.0.0.1".parse().unwrap();
        assert_eq!(location(FOUND.as_bytes(), home, false), Some(place("http://10.0.0.1:38923/rootDesc.xml")));
        for (from, to) in [
            ("HTTP/1.1 200 OK", "NOTIFY * HTTP/1.1"),
            ("HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"),
            ("ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1", "ST: ssdp:all"),
            ("ST:", "NT:"),
            ("http://10.0.0.1:38923", "http://10.0.0.2:38923"),
            ("http://10.0.0.1:38923", "https://10.0.0.1:38923"),
            ("http://10.0.0.1:38923", "http://router.example"),
            ("http://10.0.0.1:38923", "http://user@10.0.0.1:38923"),
            ("http://10.0.0.1:38923", "http://10.0.0.1:0"),
            ("http://10.0.0.1:38923", "http://10.0.0.1:99999"),
            ("http://10.0.0.1:38923", "file://"),
            ("LOCATION", "PLACE"),
        ] {
            assert_eq!(location(FOUND.replace(from, to).as_bytes(), home, false), None, "{to}");
        }
        assert_eq!(location(FOUND.as_bytes(), "10.0.0.2".parse().unwrap(), false), None, "somebody else answered");
        for garbage in
            [&b""[..], b"HTTP/1.", b"HTTP/1.1", b"HTTP/1.1 200", b"\xff\xff", b"HTTP/1.1 200 OK\r\nLOCATION:\r\n"]
        {
            assert_eq!(location(garbage, home, false), None, "{garbage:?}");
        }
    }

    #[test]
    fn only_addresses_of_a_home_are_believed() {
        for (address, expected) in [
            ("192.168.1.1", true),
            ("172.16.0.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("127.0.0.1", false),
            ("192.0.2.1", false),
            ("100.128.0.1", false),
            ("172.32.0.1", false),
        ] {
            let answer = FOUND.replace("10.0.0.1", address);
            let peer = address.parse().unwrap();
            assert_eq!(location(answer.as_bytes(), peer, false).is_some(), expected, "{address}");
            assert!(location(answer.as_bytes(), peer, true).is_some(), "a laboratory takes {address}");
        }
    }

    #[test]
    fn urls_in_a_description_stay_on_the_device() {
        let here = place("http://10.0.0.1:80/igd/desc.xml?a=/b");
        for (reference, expected) in [
            ("/ctl/IPConn", Some("http://10.0.0.1/ctl/IPConn")),
            ("ctl/IPConn?x=1", Some("http://10.0.0.1/igd/ctl/IPConn?x=1")),
            ("http://10.0.0.1:5000/ctl", Some("http://10.0.0.1:5000/ctl")),
            ("http://10.0.0.1", Some("http://10.0.0.1/")),
            ("http://10.0.0.2/ctl", None),
            ("http://example.com/ctl", None),
            ("//10.0.0.2/ctl", None),
            ("/ctl\r\nX: y", None),
            ("/c tl", None),
        ] {
            assert_eq!(here.join(reference).as_ref().map(url).as_deref(), expected, "{reference}");
        }
        assert_eq!(place("http://10.0.0.1").join("ctl").as_ref().map(url).as_deref(), Some("http://10.0.0.1/ctl"));
    }

    #[test]
    fn the_services_that_know_the_address_are_found() {
        let here = place("http://10.0.0.1:5000/rootDesc.xml");
        let found = |description: &str| -> Vec<String> {
            services(description, &here)
                .iter()
                .map(|service| format!("{} {}", service.kind, url(&service.control)))
                .collect()
        };
        let ip = "urn:schemas-upnp-org:service:WANIPConnection:2 http://10.0.0.1:5000/ctl/IPConn";
        assert_eq!(found(DESCRIPTION), [ip]);
        let ppp = "<service><controlURL>ppp</controlURL><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1\
                   </serviceType></service><serviceList><service><serviceType>";
        let both = DESCRIPTION.replacen("<serviceList><service><serviceType>", ppp, 1);
        let expected = "urn:schemas-upnp-org:service:WANPPPConnection:1 http://10.0.0.1:5000/ppp";
        assert_eq!(found(&both), [ip, expected], "IP before PPP");
        for (base, expected) in [
            (
                "http://10.0.0.1:49000",
                &["urn:schemas-upnp-org:service:WANIPConnection:2 http://10.0.0.1:49000/ctl/IPConn"][..],
            ),
            ("http://10.0.0.2:49000", &[ip]),
            ("", &[ip]),
        ] {
            let based =
                DESCRIPTION.replace("<device><deviceType>", &format!("<URLBase>{base}</URLBase><device><deviceType>"));
            assert_eq!(found(&based), expected, "{base}");
        }
        for (from, to) in [
            ("WANIPConnection:2", "WANIPConnection:2\"#x"),
            ("WANIPConnection:2", "WANIPConnection:"),
            ("WANIPConnection:2", "WANCommonInterfaceConfig:1"),
            ("/ctl/IPConn", "http://example.com/ctl"),
            ("<root", "<!DOCTYPE x [<!ENTITY a \"b\">]><root"),
        ] {
            assert_eq!(found(&DESCRIPTION.replace(from, to)), [""; 0], "{to}");
        }
    }

    #[test]
    fn a_refusal_is_told_in_the_routers_words() {
        let soap = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault><faultcode>s:Client\
                    </faultcode><faultstring>UPnPError</faultstring><detail><UPnPError \
                    xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>501</errorCode><errorDescription>Action &amp; \
                    \u{7}Failed</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>";
        for (body, expected) in [
            (soap, "the router refused: Action & Failed (code 501)"),
            ("<html>", "the router answered with status 500 and no address"),
            ("<errorCode>x</errorCode>", "the router answered with status 500 and no address"),
        ] {
            assert_eq!(fault(&Answer { status: 500, text: body.to_owned() }).to_string(), expected);
        }
    }

    const TWO_SERVICES: &str = "<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
        <controlURL>/ip</controlURL></service><service><serviceType>urn:schemas-upnp-org:service:WANPPPConnection:1\
        </serviceType><controlURL>/ppp</controlURL></service>";

    /// A device on loopback that answers one search, and each path with a status and a body.
    async fn device(pages: &'static [(&'static str, u16, String)]) -> (Search, JoinSet<()>) {
        let search = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(group) = search.local_addr().unwrap() else { panic!("it is bound to IPv4") };
        let http = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = http.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let (_, peer) = search.recv_from(&mut [0; 1024]).await.unwrap();
            let answer = FOUND.replace("10.0.0.1:38923", &format!("127.0.0.1:{port}"));
            search.send_to(answer.as_bytes(), peer).await.unwrap();
        });
        tasks.spawn(async move {
            loop {
                let (mut stream, _) = http.accept().await.unwrap();
                let mut request = Vec::new();
                while !String::from_utf8_lossy(&request).contains("\r\n\r\n") {
                    stream.read_buf(&mut request).await.unwrap();
                }
                let request = String::from_utf8(request).unwrap();
                let path = request.split(' ').nth(1).unwrap();
                let (_, status, body) = pages.iter().find(|(known, ..)| *known == path).unwrap();
                let answer = format!("HTTP/1.0 {status} x\r\nContent-Type: text/xml\r\n\r\n{body}");
                // Who has read enough hangs up.
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                // What was not read would turn the end into a reset.
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        (Search { group, router: None, takes_any_address: true }, tasks)
    }

    #[tokio::test]
    async fn what_a_device_answers_is_an_address_or_a_reason() {
        let external = |text: &str| format!("<NewExternalIPAddress>{text}</NewExternalIPAddress>");
        let refusal = "<errorCode>606</errorCode><errorDescription>Action not authorized</errorDescription>".to_owned();
        let gone = (404, String::new());
        for (description, ip, ppp, expected) in [
            (TWO_SERVICES.to_owned(), (200, external("192.0.2.1")), gone.clone(), "192.0.2.1"),
            (TWO_SERVICES.to_owned(), (200, external("0.0.0.0")), (200, external("192.0.2.2")), "192.0.2.2"),
            (TWO_SERVICES.to_owned(), (500, refusal), (200, external("192.0.2.2")), "192.0.2.2"),
            (TWO_SERVICES.to_owned(), (200, external("")), (200, external("0.0.0.0")), "0.0.0.0"),
            (TWO_SERVICES.to_owned(), gone.clone(), gone.clone(), "the router answered with status 404 and no address"),
            (TWO_SERVICES.to_owned(), (200, external("0.0.0.0")), (200, external("<b>")), "0.0.0.0"),
            (
                TWO_SERVICES.to_owned(),
                gone.clone(),
                (200, external("none")),
                "what the router calls its external address is none",
            ),
            (
                " ".repeat(1 << 20),
                gone.clone(),
                gone.clone(),
                "the router was found, but its answer is longer than anything that is asked for here",
            ),
        ] {
            // Leaked, so that the device's task may have it: a few pages in a test.
            let pages: &'static [_] =
                Box::leak(Box::new([("/rootDesc.xml", 200, description), ("/ip", ip.0, ip.1), ("/ppp", ppp.0, ppp.1)]));
            let (search, _tasks) = device(pages).await;
            let told = address(&Way::ANY, search, Duration::from_secs(5)).await;
            let told = told.map_or_else(|fault| fault.to_string(), |address| address.to_string());
            assert_eq!(told, expected);
        }
    }
}
