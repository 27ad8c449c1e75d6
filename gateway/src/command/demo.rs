//! `nicgate demo`: everything on loopback, in one process. It makes a development CA, a zone, a device, starts the
//! gateway, lets our own client send one signed update, asks the name server whether it is so, and prints lines
//! to try. The only place where gateway and client meet.

use std::fmt;
use std::fs;
use std::io::{self, IsTerminal as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::base::iana::Rtype;
use domain::base::{Message, MessageBuilder, Name};
use domain::rdata::A;
use nicgate_client::{BaseUrl, Outside, Role, Settings as ClientSettings, Source, Trust, When};
use nicgate_protocol::{DeviceId, Hostname};
use tokio::net::UdpSocket;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::command::{DONE, DemoArguments, FAILED, complain};
use crate::config;
use crate::entropy;
use crate::gateway::{Running, Start};
use crate::http::tls;
use crate::log::{Format, Log};

/// The demo's device.
const DEVICE: &str = "demo";
/// The host that the proof updates.
const HOST: &str = "home.home.test";
/// What it is updated to: an address from a documentation range (RFC 5737).
const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

pub(super) fn run(arguments: &DemoArguments) -> u8 {
    match prepare(arguments).and_then(|folder| show(arguments, &folder)) {
        Ok(()) => DONE,
        Err(trouble) => {
            complain(&trouble.to_string());
            FAILED
        }
    }
}

/// Why the demo failed, in one sentence.
struct Trouble(String);

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn trouble(what: impl fmt::Display) -> impl FnOnce(&dyn fmt::Display) -> Trouble {
    move |why| Trouble(format!("{what}: {why}"))
}

/// The demo's folder; a temporary one goes when the demo ends.
struct Folder {
    path: PathBuf,
    is_temporary: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_temporary {
            // What cannot be removed is in the system's temporary folder and goes with it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn prepare(arguments: &DemoArguments) -> Result<Folder, Trouble> {
    let folder = match &arguments.data_dir {
        Some(path) => Folder { path: path.clone(), is_temporary: false },
        None => {
            let path = std::env::temp_dir().join(format!("nicgate-demo-{:016x}", entropy::roll()));
            Folder { path, is_temporary: true }
        }
    };
    let path = &folder.path;
    create(path).map_err(|error| trouble(format_args!("cannot make {}", path.display()))(&error))?;
    // Commands and clients are pasted from anywhere, so every path in what is printed is a whole one.
    let path = fs::canonicalize(path).map_err(|error| trouble(path.display())(&error))?;
    let folder = Folder { path, is_temporary: folder.keep() };
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    tls::development_ca(&folder.path, &names).map_err(|error| Trouble(error.to_string()))?;
    let text = configuration(arguments);
    fs::write(folder.path.join("gateway.toml"), text).map_err(|error| trouble("cannot write gateway.toml")(&error))?;
    Ok(folder)
}

impl Folder {
    /// Gives up the duty to remove the folder, and tells whether there was one.
    fn keep(mut self) -> bool {
        std::mem::replace(&mut self.is_temporary, false)
    }
}

fn create(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn configuration(arguments: &DemoArguments) -> String {
    format!(
        r#"# Made by `nicgate demo`; made anew at its next start.
[server]
listen = ["127.0.0.1:{https}"]
data_dir = "data"

[tls]
cert_file = "server.crt"
key_file = "server.key"

[dns]
listen = ["127.0.0.1:{dns}"]

[[provider]]
name = "lab"
type = "embedded"

[[zone]]
name = "home.test"
providers = ["lab"]
addresses = "any"

[[device]]
id = "{DEVICE}"
hosts = ["home.test", "*.home.test"]
"#,
        https = arguments.https_port,
        dns = arguments.dns_port,
    )
}

fn show(arguments: &DemoArguments, folder: &Folder) -> Result<(), Trouble> {
    let file = folder.path.join("gateway.toml");
    let mut settings = config::load(&file, &|_| None).map_err(|mistakes| Trouble(mistakes.to_string()))?;
    // This is the laboratory that they warn of.
    settings.warnings.clear();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| trouble("the system gives no event loop")(&error))?;
    let clock = Clock::system();
    let format = if io::stderr().is_terminal() { Format::Human } else { Format::Json };
    let (log, _writer) = Log::start(format, clock.clone(), io::stderr());
    runtime.block_on(async {
        let start = Start { settings, file: Some(file), clock: clock.clone(), log };
        let running = Running::start(start).await.map_err(|error| Trouble(error.to_string()))?;
        let shown = prove_and_print(&running, folder, &clock, arguments.once).await;
        running.stop().await;
        shown
    })
}

async fn prove_and_print(running: &Running, folder: &Folder, clock: &Clock, is_once: bool) -> Result<(), Trouble> {
    let (Some(https), Some(dns)) = (running.https.first().copied(), running.dns.first().copied()) else {
        return Err(Trouble("the gateway listens nowhere".to_owned()));
    };
    // Caught from the beginning: whoever cannot wait leaves no folder behind either.
    let deaf = |error: io::Error| trouble("signals cannot be listened to")(&error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(deaf)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(deaf)?;
    let master = &running.gateway.desk.master;
    let stay = Stay {
        folder: folder.path.clone(),
        https,
        dns,
        password: master.password(DEVICE, 1).text().to_owned(),
        key: master.key(DEVICE, 1).text().to_owned(),
    };
    println!("nicgate {} on loopback, everything embedded, in {}", env!("CARGO_PKG_VERSION"), folder.path.display());
    println!();
    println!("The proof: our client signs one update, the name server is asked.");
    let said = send_signed(&stay, clock).await?;
    println!("  client       {said}");
    let answer = ask(dns, HOST).await.map_err(|error| trouble("the name server does not answer")(&error))?;
    println!("  name server  {HOST} A {}", answer.map_or("(none)".to_owned(), |address| address.to_string()));
    if answer != Some(ADDRESS) {
        return Err(Trouble(format!("the proof failed: {HOST} should be {ADDRESS}")));
    }
    println!("  It holds.");
    if is_once {
        return Ok(());
    }
    stay.write_client_files().map_err(|error| trouble("cannot write the client's files")(&error))?;
    println!("{stay}");
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Sends the update of the proof with our own client: found, chosen, signed and read as on any machine.
async fn send_signed(stay: &Stay, clock: &Clock) -> Result<String, Trouble> {
    let pem = fs::read(stay.folder.join("ca.crt")).map_err(|error| trouble("cannot read ca.crt")(&error))?;
    let fixed = |what| trouble(what);
    let gateway = BaseUrl::parse(&stay.url()).map_err(|error| fixed("the gateway's URL")(&error))?;
    let trust = Trust::from_pem(&pem).map_err(|error| fixed("ca.crt")(&error))?;
    let device = DeviceId::parse(DEVICE).map_err(|error| fixed("the device")(&error))?;
    let host = Hostname::parse(HOST).map_err(|error| fixed("the host")(&error))?;
    let mut settings = ClientSettings::new(gateway, trust, device, stay.key(), vec![host]);
    settings.ipv4 = vec![Source::Fixed(IpAddr::V4(ADDRESS))];
    settings.timeout = Duration::from_secs(10);
    let now = || clock.now().wall;
    let report = nicgate_client::update(&settings, When::Always, Role::Person, Outside::with_clock(&now))
        .await
        .map_err(|error| fixed("the client failed")(&error))?;
    if report.exit_code() == 0 {
        Ok(report.to_string())
    } else {
        Err(Trouble(format!("the client was refused: {report}")))
    }
}

/// Asks a name server for the A record of a name, as any resolver would.
async fn ask(server: SocketAddr, name: &str) -> io::Result<Option<Ipv4Addr>> {
    let name: Name<Vec<u8>> = name.parse().map_err(io::Error::other)?;
    let mut question = MessageBuilder::new_vec().question();
    question.header_mut().set_id(entropy::roll() as u16);
    question.push((&name, Rtype::A)).map_err(io::Error::other)?;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    socket.connect(server).await?;
    socket.send(&question.finish()).await?;
    let mut buffer = vec![0; 1232];
    let length = tokio::time::timeout(Duration::from_secs(5), socket.recv(&mut buffer)).await??;
    buffer.truncate(length);
    let message = Message::from_octets(buffer).map_err(io::Error::other)?;
    let answer = message.answer().map_err(io::Error::other)?;
    let first = answer.limit_to::<A>().flatten().next();
    Ok(first.map(|record| record.data().addr()))
}

/// Everything that the printed lines need.
struct Stay {
    folder: PathBuf,
    https: SocketAddr,
    dns: SocketAddr,
    password: String,
    key: String,
}

impl Stay {
    fn url(&self) -> String {
        format!("https://localhost:{}", self.https.port())
    }

    fn key(&self) -> nicgate_protocol::secret::Key {
        let mut text = [0; nicgate_protocol::secret::KEY_LETTERS];
        // Both come from the master key, so the lengths are the same.
        text.copy_from_slice(self.key.as_bytes());
        nicgate_protocol::Secret::new(text)
    }

    /// What `nicgate-client` needs to be started by hand.
    fn write_client_files(&self) -> io::Result<()> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let private = self.folder.join("client.key");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(private)?;
        writeln!(file, "{}", self.key)?;
        let text = format!(
            "gateway = \"{}\"\nca_file = \"ca.crt\"\ndevice = \"{DEVICE}\"\nkey_file = \"client.key\"\nhosts = [\"pc.home.test\"]\nipv4 = \"web\"\n",
            self.url()
        );
        fs::write(self.folder.join("client.toml"), text)
    }

    /// The client as it can be started from here: beside this program when it was built, else through cargo.
    fn client(&self) -> String {
        let beside =
            std::env::current_exe().ok().and_then(|exe| exe.parent().map(|folder| folder.join("nicgate-client")));
        match beside.filter(|path| path.is_file()) {
            Some(path) => path.display().to_string(),
            None => "cargo run --release -q -p nicgate-client --".to_owned(),
        }
    }
}

impl fmt::Display for Stay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (url, folder, password, key) = (self.url(), self.folder.display(), &self.password, &self.key);
        let (host, port) = (self.dns.ip(), self.dns.port());
        write!(
            f,
            r#"
Lines to try, as they stand. A router, or curl with a password:
  curl --cacert {folder}/ca.crt --user "{DEVICE}:{password}" "{url}/nic/update?hostname=router.home.test&myip=203.0.113.8"

Signed by stock curl, so that the secret never travels:
  curl --cacert {folder}/ca.crt --aws-sigv4 "aws:amz:auto:ddns" --user "{DEVICE}:{key}" "{url}/nic/update?hostname=signed.home.test&myip=203.0.113.9"

Signed by openssl, with the `sign` parameter:
  Q="hostname=script.home.test&id={DEVICE}&myip=203.0.113.10&nonce=$(openssl rand -hex 8)&ts=$(date +%s)"; S=$(printf 'NICGATE-HMAC-SHA256\nGET\nlocalhost:{https}\n/nic/update\n%s' "$Q" | openssl dgst -sha256 -hmac "{key}" -r | cut -d' ' -f1); curl --cacert {folder}/ca.crt "{url}/nic/update?$Q&sign=$S"

Our own client, which finds its address by itself:
  {client} update --config {folder}/client.toml

What the name server says:
  dig @{host} -p {port} +short router.home.test A

For a FRITZ!Box (Internet, Permit Access, DynDNS, "User-defined"; a real one needs a name and a port that it reaches):
  Update URL   {url}/nic/update?hostname=<domain>&myip=<ipaddr>&myipv6=<ip6addr>&ip6lanprefix=<ip6lanprefix>
  Domain name  router.home.test
  User name    {DEVICE}
  Password     {password}

What happened to a name, and who may do what:
  {this} host show {HOST} --config {folder}/gateway.toml
  {this} device list --config {folder}/gateway.toml

Serving until Ctrl-C. Each update leaves a line here.
"#,
            https = self.https.port(),
            client = self.client(),
            this = std::env::current_exe().map_or("nicgate".to_owned(), |path| path.display().to_string()),
        )
    }
}
