//! A thousand accounts with one observed pipeline each.

use std::path::Path;
use std::time::Duration;

use super::requests::{KINDS, ObservedRequests, most_top_pages_in_a_second};
use super::{PERIOD, account, create, pipelines, seed_past, wait_observed};
use crate::bench::environment::{Environment, Operator};
use crate::bench::markdown_table::{Table, megabytes};
use crate::bench::process_usage;
use crate::bench::{Failure, ScenarioResult, log_progress};
use crate::stop::Stop;

const ACCOUNTS: usize = 1_000;
const REQUESTS_PER_SECOND: u32 = 5;
/// A whole number of periods.
const WINDOW: Duration = Duration::from_secs(60);
/// A second may have so many times its share of the top pages.
const HERD: usize = 3;
const SETTLE: Duration = Duration::from_secs(40);
const CHECK_EVERY: Duration = Duration::from_secs(1);
const WITHIN: Duration = Duration::from_secs(600);

pub fn run(program: &Path, stop: &Stop) -> Result<ScenarioResult, Failure> {
    log_progress(&format!("{ACCOUNTS} accounts with one observed pipeline each"));
    let account = account(REQUESTS_PER_SECOND);
    let environment = Environment::open(program, &account, pipelines(ACCOUNTS), stop)?;
    let name = |number: usize| if number == 0 { "default".to_owned() } else { format!("account-{number}") };
    for number in 1..ACCOUNTS {
        stop.check()?;
        environment.put_account(&name(number), &environment.sim.base_url(), &account)?;
    }
    seed_past(&environment, 0..ACCOUNTS)?;
    let mut operator = environment.start_operator(stop)?;
    operator.wait("all accounts can be used", WITHIN, CHECK_EVERY, stop, |operator: &Operator| operator.has_accounts(ACCOUNTS))?;
    stop.sleep(SETTLE)?;
    let without = process_usage::memory(operator.pid).resident;
    create(&environment, 0..ACCOUNTS, name, stop)?;
    wait_observed(&mut operator, ACCOUNTS, stop)?;
    stop.sleep(SETTLE)?;
    environment.sim.clear_journal();
    stop.sleep(WINDOW)?;
    let journal = environment.sim.journal();
    let with = process_usage::memory(operator.pid);
    operator.check()?;
    operator.stop()?;

    let requests = ObservedRequests::of(&journal);
    let most = most_top_pages_in_a_second(&journal);
    let periods = usize::try_from(WINDOW.as_secs().checked_div(PERIOD.as_secs()).unwrap_or_default())?;
    let even = ACCOUNTS.checked_div(usize::try_from(PERIOD.as_secs())?).unwrap_or_default();
    let mut table = Table::new("Observed pipelines of many accounts", ["", "measured"]);
    table.fact("accounts, each with one observed pipeline; period", format!("{ACCOUNTS}; {} s", PERIOD.as_secs()));
    table.fact(&format!("requests in {periods} periods: {KINDS}"), requests.to_string());
    table.fact("most top pages in a second; if they were spread evenly", format!("{most}; {even}"));
    table.fact("resident without them; with them; peak", [without, with.resident, with.peak].map(megabytes).join("; "));
    table
        .fact("that is, per account with one", format!("{:.1} kB", with.resident.saturating_sub(without) as f64 * 1.024 / ACCOUNTS as f64));
    let mut broken = Vec::new();
    if most > even.saturating_mul(HERD) {
        broken.push(format!("observed: {most} top pages of {ACCOUNTS} accounts in one second"));
    }
    if requests.top > ACCOUNTS.saturating_mul(periods.saturating_add(1)) {
        broken.push(format!("observed: {} top pages of {ACCOUNTS} accounts in {periods} periods", requests.top));
    }
    Ok(ScenarioResult { figures: table.to_string(), broken, ..ScenarioResult::default() })
}
