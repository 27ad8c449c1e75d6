//! Does an uplink work? Its probes are tried by that very card; one that is answered is enough.

use std::net::SocketAddr;
use std::time::Duration;

use nicgate_protocol::Family;
use tokio::time::timeout;

use crate::base_url::BaseUrl;
use crate::detect::whoami;
use crate::gateway;
use crate::http::{Caller, resolve};
use crate::settings::{Probe, Settings, Trust};
use crate::way::Way;

/// How long one probe may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Whether any of the probes is answered by this way; with none, whether a gateway takes a connection. `id` makes
/// the DNS query's answer hard to guess.
///
/// # Errors
/// What each of them met, in one sentence.
pub async fn works(settings: &Settings, way: &Way, probes: &[Probe], id: u16) -> Result<(), String> {
    let mut said = Vec::new();
    if probes.is_empty() {
        for gateway in &settings.gateways {
            let (host, port) = (gateway.host().to_owned(), gateway.port());
            match timeout(PATIENCE, connect(way, &host, port)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(why)) => said.push(format!("{gateway}: {why}")),
                Err(_) => said.push(format!("{gateway}: no connection within {} s", PATIENCE.as_secs())),
            }
        }
    }
    for probe in probes {
        let ended = timeout(PATIENCE, async {
            match probe {
                Probe::Dns(server) => ask(way, *server, id).await,
                Probe::Http(url) => fetch(settings, way, url).await,
                Probe::Tcp(host, port) => connect(way, host, *port).await,
            }
        });
        match ended.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) => said.push(format!("{probe}: {why}")),
            Err(_) => said.push(format!("{probe}: no answer within {} s", PATIENCE.as_secs())),
        }
    }
    Err(said.join("; "))
}

async fn connect(way: &Way, host: &str, port: u16) -> Result<(), String> {
    let mut last = String::from("it has no address");
    for address in resolve(host, port).await.map_err(|fault| format!("its name cannot be looked up: {fault}"))? {
        match way.connect(address).await {
            Ok(_) => return Ok(()),
            Err(fault) => last = fault.to_string(),
        }
    }
    Err(last)
}

async fn fetch(settings: &Settings, way: &Way, url: &BaseUrl) -> Result<(), String> {
    // A gateway shows the certificate that we trust there; everybody else a public one.
    let is_gateway = settings.gateways.iter().any(|gateway| gateway.host() == url.host());
    let trust = if is_gateway { &settings.trust } else { &Trust::PublicRoots };
    let caller = Caller::new(trust, way.clone(), PATIENCE);
    let mut line = caller.connect(url, None).await.map_err(|fault| fault.to_string())?;
    let answer = line.ask(&gateway::get(url, "")).await.map_err(|fault| fault.to_string())?;
    if answer.status < 500 { Ok(()) } else { Err(format!("it answered with status {}", answer.status)) }
}

async fn ask(way: &Way, server: SocketAddr, id: u16) -> Result<(), String> {
    let (family, server) = (Family::of(server.ip()), server.to_string());
    whoami::probe(way, family, &server, PATIENCE, id).await.map_err(|fault| fault.to_string())
}
