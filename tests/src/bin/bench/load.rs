//! Load by wrk, over connections that are kept.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Effort;
use crate::laboratory::{Contestant, Laboratory};
use crate::table::Sample;

/// How many connections wrk keeps.
const CONNECTIONS: &str = "-c32";

/// Reads requests from a file, one on each line: the target, a tab, the value of Authorization or nothing.
const SCRIPT: &str = r#"
local requests, last = {}, 0
function init(args)
  for line in io.lines(args[1]) do
    local target, authorization = line:match("([^\t]*)\t(.*)")
    local head = "GET " .. target .. " HTTP/1.1\r\nHost: " .. args[2] .. "\r\n"
    if authorization ~= "" then head = head .. "Authorization: " .. authorization .. "\r\n" end
    requests[#requests + 1] = head .. "\r\n"
  end
end
function request()
  last = last % #requests + 1
  return requests[last]
end
"#;

/// Requests for wrk.
pub(crate) struct Requests {
    file: PathBuf,
    script: PathBuf,
    count: u64,
    host: String,
}

impl Requests {
    /// Writes `requests`, each a target and the value of Authorization, to be sent under the Host `host`.
    pub(crate) fn write(
        laboratory: &Laboratory,
        name: &str,
        host: String,
        requests: impl Iterator<Item = (String, String)>,
    ) -> Self {
        let (mut text, mut count) = (String::new(), 0);
        for (target, authorization) in requests {
            let _ = writeln!(text, "{target}\t{authorization}");
            count += 1;
        }
        let (file, script) = (laboratory.path(name), laboratory.path("requests.lua"));
        fs::write(&file, text).expect("the requests are written");
        fs::write(&script, SCRIPT).expect("the script is written");
        Self { file, script, count, host }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

/// One turn of a contestant, and how many requests it answered. Every status has to be a success; what stands in
/// the bodies wrk does not look at, so callers look at one with [`ask`] before.
pub(crate) fn turn(contestant: &Contestant, requests: &Requests, effort: Effort) -> (Sample, u64) {
    contestant.program.empty_log();
    let before = contestant.program.cpu();
    let mut wrk = Command::new("wrk");
    wrk.args(["-t1", CONNECTIONS, "--latency"]).arg(format!("-d{}s", effort.turn.as_secs()));
    wrk.arg("-s").arg(&requests.script).arg(format!("https://{}/", contestant.https));
    let output = nicgate_tests::run(wrk.arg("--").arg(&requests.file).arg(&requests.host));
    let cpu = contestant.program.cpu().saturating_sub(before);
    let said = nicgate_tests::text(&output);
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{} failed: {said}", contestant.name);
    let read = |label: &str| said.lines().find_map(|line| line.trim().strip_prefix(label)).map(str::trim);
    let count = said.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<u64>().ok());
    let count = count.unwrap_or_else(|| panic!("wrk says nothing that can be read: {said}"));
    let sample = Sample {
        cpu: cpu.as_secs_f64() * 1e6 / count as f64,
        rate: read("Requests/sec:").and_then(|text| text.parse().ok()).unwrap_or(0.0),
        p50: read("50%").and_then(milliseconds).unwrap_or(0.0),
        p99: read("99%").and_then(milliseconds).unwrap_or(0.0),
    };
    (sample, count)
}

fn milliseconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic())?);
    let factor = match unit {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * factor)
}

/// Sends one request on a connection of its own and gives the body of the answer.
pub(crate) fn ask(laboratory: &Laboratory, contestant: &Contestant, target: &str, authorization: &str) -> String {
    let request = nicgate_tests::Request::get(target).header("Authorization", authorization);
    let ca: &Path = &laboratory.path("ca.crt");
    let answer = nicgate_tests::wire::over_tls(contestant.https, ca, &request);
    assert_eq!(answer.status, 200, "{}: {answer:?}", contestant.name);
    answer.body
}
