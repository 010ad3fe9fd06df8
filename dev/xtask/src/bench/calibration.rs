//! Measures how many requests the simulator alone can serve: it must not be the bottleneck.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nuvo_sim::{AccessToken, Identity, Pipeline, Seed, Sim, SimConfig};

use super::environment::IDENTIFIER;
use super::http_client::Connection;
use super::{Failure, log_progress};
use crate::stop::Stop;

/// Concurrent connections.
const CONNECTIONS: usize = 8;
const TEST_DURATION: Duration = Duration::from_secs(1);
const TOKEN: &str = "calibration";
const PIPELINE: &str = "calibration";

/// Requests per second, by kind.
#[derive(Debug, Clone, Copy)]
pub struct Calibration {
    pub create: f64,
    pub read: f64,
    /// Full pages.
    pub list: f64,
}

/// Measures a separate simulator that already has this many executions.
pub fn calibrate(executions: usize, stop: &Stop) -> Result<Calibration, Failure> {
    let sim = Sim::start(SimConfig {
        pipelines: vec![Pipeline::new(PIPELINE).held()],
        access_tokens: vec![AccessToken::new(TOKEN, Identity::user(IDENTIFIER))],
        ..SimConfig::default()
    })?;
    let mut last = String::new();
    for _ in 0..executions {
        last = sim.seed_execution(Seed::new(PIPELINE))?;
    }
    let base = "/dp/api/v1/execution/";
    let page = format!("{base}?filters[status]=PROCESSING&sort[created_at]=asc&pagination[limit]=100&pagination[offset]=0");
    let list = requests_per_second(sim.address(), ("GET", &page, ""), stop)?;
    let read = requests_per_second(sim.address(), ("GET", &format!("{base}{last}"), ""), stop)?;
    let create = requests_per_second(sim.address(), ("POST", base, &format!("{{\"pipeline_id\":\"{PIPELINE}\"}}")), stop)?;
    log_progress(&format!(
        "the simulator alone, with {executions} executions: {create:.0} POSTs, {read:.0} GETs by id or {list:.0} pages per second"
    ));
    Ok(Calibration { create, read, list })
}

/// Repeats one request on several connections; returns the rate.
fn requests_per_second(address: SocketAddr, (method, path, body): (&str, &str, &str), stop: &Stop) -> Result<f64, Failure> {
    stop.check()?;
    let headers = format!("authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n");
    let count = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        let callers: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| -> std::io::Result<()> {
                    let mut connection = Connection::open(address)?;
                    while began.elapsed() < TEST_DURATION {
                        let answer = connection.ask(method, path, &headers, body)?;
                        if !(200..300).contains(&answer.status) {
                            return Err(std::io::Error::other(format!("{method} {path}: {} {}", answer.status, answer.body)));
                        }
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        callers.into_iter().try_for_each(|caller| caller.join().unwrap_or(Ok(())))
    })?;
    Ok(count.into_inner() as f64 / began.elapsed().as_secs_f64())
}
