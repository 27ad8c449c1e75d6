//! moto: a Route 53 that keeps records in memory, speaks the real XML and checks what botocore's models say.
//!
//! Where it differs from the real service: it checks no signatures (any will do, but it must be there), finds a zone
//! by equality only, lets CREATE overwrite, takes any text for an address, and never says "slow down".

use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use super::Server;
use crate::wire::{Answer, Request};
use crate::{python, wire};

/// A running moto.
pub struct Moto {
    /// Its process.
    pub server: Server,
    /// Where it listens, plain HTTP.
    pub address: SocketAddr,
}

impl Moto {
    /// Starts it, empty. `None` when the tests' Python environment is missing.
    #[must_use]
    pub fn start(name: &str) -> Option<Self> {
        Self::start_with(name, None)
    }

    /// Starts one that checks the signatures of what writes, and lets so many calls pass before. Lists are refused
    /// then, even with the right key.
    #[must_use]
    pub fn start_checking(name: &str, free_calls: u32) -> Option<Self> {
        Self::start_with(name, Some(free_calls))
    }

    fn start_with(name: &str, free_calls: Option<u32>) -> Option<Self> {
        let program = python()?.with_file_name("moto_server");
        let (server, [address]) = Server::start(
            name,
            |_, [address]| {
                let mut command = Command::new(&program);
                command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
                command.envs(free_calls.map(|count| ("INITIAL_NO_AUTH_ACTION_COUNT", count.to_string())));
                command
            },
            // It names its port when it has it, and ends when another process has.
            |folder, [address]| {
                super::said(folder).contains(&format!("Running on http://{address}"))
                    && TcpStream::connect(address).is_ok()
                    && ask(address, &Request::get("/moto-api/data.json")).status == 200
            },
        );
        Some(Self { server, address })
    }

    /// Its base URL, as an operator writes it.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a zone and gives its id.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn add_zone(&self, zone: &str) -> String {
        let body = format!(
            "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{zone}.</Name>\
             <CallerReference>once</CallerReference></CreateHostedZoneRequest>"
        );
        let made = self.ask(Request::get("/2013-04-01/hostedzone").method("POST").body("text/xml", &body));
        inner(&made.body, "Id").trim_start_matches("/hostedzone/").to_owned()
    }

    /// Makes a user who may do everything with Route 53, in three calls; gives the id and the secret of its key.
    ///
    /// # Panics
    /// When it cannot.
    #[must_use]
    pub fn add_user(&self) -> (String, String) {
        const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/iam/aws4_request, \
                                  SignedHeaders=host, Signature=0";
        let call = |form: &str| {
            let form = format!("{form}&Version=2010-05-08&UserName=dns");
            let answer = ask(self.address, &Request::form("/", &form).header("Authorization", CREDENTIAL));
            assert_eq!(answer.status, 200, "{answer:?}");
            answer.body
        };
        call("Action=CreateUser");
        let key = call("Action=CreateAccessKey");
        let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C\
                      %22Action%22%3A%22route53%3A*%22%2C%22Resource%22%3A%22*%22%7D%5D%7D";
        call(&format!("Action=PutUserPolicy&PolicyName=dns&PolicyDocument={policy}"));
        (inner(&key, "AccessKeyId").to_owned(), inner(&key, "SecretAccessKey").to_owned())
    }

    /// The values of all sets of a name, in the order of their types. It lists names as they were written.
    #[must_use]
    pub fn values(&self, zone_id: &str, name: &str) -> Vec<String> {
        let listed = self.ask(Request::get(&format!("/2013-04-01/hostedzone/{zone_id}/rrset"))).body;
        let sets = listed.split("<ResourceRecordSet>").filter(|set| set.contains(&format!("<Name>{name}.</Name>")));
        let values = sets.flat_map(|set| set.split("<Value>").skip(1));
        values.filter_map(|value| Some(value.split_once("</Value>")?.0.to_owned())).collect()
    }

    /// Sends a request to its Route 53: with a header that looks like a signature, else moto takes it for its S3.
    #[must_use]
    pub fn ask(&self, request: Request) -> Answer {
        const CREDENTIAL: &str = "AWS4-HMAC-SHA256 Credential=AKID/20261122/us-east-1/route53/aws4_request, \
                                  SignedHeaders=host, Signature=0";
        ask(self.address, &request.header("Authorization", CREDENTIAL))
    }
}

fn ask(server: SocketAddr, request: &Request) -> Answer {
    Answer::read(&wire::exchange_in_clear(server, &request.bytes(server)))
}

/// What stands in the first element of this name.
fn inner<'a>(text: &'a str, tag: &str) -> &'a str {
    let found = text.split_once(&format!("<{tag}>")).and_then(|(_, rest)| rest.split_once(&format!("</{tag}>")));
    found.unwrap_or_else(|| panic!("no {tag} in {text}")).0
}
