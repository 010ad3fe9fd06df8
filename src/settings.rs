//! What the operator is started with: flags and `NUVO_OPERATOR_*` variables, checked once, then never read again.

use std::{collections::BTreeSet, ffi::OsString, net::SocketAddr, time::Duration};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use nuvo_client::Origins;

/// The two public origins of nuvo and its successor name. Plain http is never among the defaults.
pub const DEFAULT_BASE_URLS: [&str; 2] = ["https://api-gateway.getnuvo.com", "https://api-gateway.ingestro.com"];

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the operator.
    Run(Box<Settings>),
    /// Print the custom resource definitions.
    Crds,
}

/// The form of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least severe event that the operator logs. Libraries are never logged below `info`: their details may show requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Only what went wrong.
    Error,
    /// And what may go wrong.
    Warn,
    /// And what happened.
    Info,
    /// And why.
    Debug,
    /// And everything else.
    Trace,
}

/// The checked settings of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The origins that may receive a credential.
    pub allowed_origins: Origins,
    /// The namespaces to watch, sorted and without doubles. Empty: all of them.
    pub namespaces: Vec<String>,
    /// Restricts the watched runs.
    pub label_selector: Option<String>,
    /// Where locks and the leader lease live. `None`: the namespace of the kubeconfig context or of the pod.
    pub operator_namespace: Option<String>,
    /// Whether only the holder of the leader lease acts.
    pub leader_elect: bool,
    /// Where `/metrics` is served.
    pub metrics_addr: SocketAddr,
    /// Where `/livez`, `/readyz` and `/healthz` are served.
    pub health_addr: SocketAddr,
    /// The form of the log lines.
    pub log_format: LogFormat,
    /// The least severe event that is logged.
    pub log_level: LogLevel,
    /// The whole deadline of the one POST of an attempt.
    pub trigger_timeout: Duration,
    /// How long executions of a doubtful trigger are looked for.
    pub trigger_settle: Duration,
    /// How long a pipeline stays locked after a trigger whose effects may still appear.
    pub quarantine: Duration,
    /// The most time between taking the lock and sending the POST.
    pub fence: Duration,
    /// The time between the two sightings that adopt an execution.
    pub adoption_confirm: Duration,
    /// How many runs are reconciled at once.
    pub max_concurrent_reconciles: u16,
    /// Whether requests to nuvo go through the proxies that the environment names.
    pub use_env_proxy: bool,
}

/// Parses the arguments of this process, or prints the help or what is wrong with them and exits (0 or 2).
pub fn parse() -> Command {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Parses the given arguments; the first is the name of the program.
pub fn parse_from<I>(arguments: I) -> Result<Command, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let Cli { command, run } = Cli::try_parse_from(arguments)?;
    let arguments = match command {
        Some(Verb::Crds) => return Ok(Command::Crds),
        Some(Verb::Run(arguments)) => *arguments,
        None => run,
    };
    let settings = Settings::try_from(arguments).map_err(|message| Cli::command().error(ErrorKind::ValueValidation, message))?;
    Ok(Command::Run(Box::new(settings)))
}

/// The command line, for the generated reference.
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// Runs nuvo data pipelines as Kubernetes objects: one PipelineRun is one run.
///
/// Every flag can also be set by the environment variable shown with it. Durations are seconds, and may have up to three decimals.
#[derive(Debug, Parser)]
#[command(name = "nuvo-operator", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Verb>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the operator (what happens without a command, too).
    Run(Box<RunArguments>),
    /// Print the custom resource definitions as YAML, for `kubectl apply -f -`.
    Crds,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// A nuvo base URL that NuvoAccounts may use, and so send credentials to. Repeatable, or separated by commas. Compared by scheme,
    /// host and port; a path is ignored. Plain http works only when it is listed here.
    #[arg(long, env = "NUVO_OPERATOR_ALLOWED_BASE_URL", value_name = "URL", value_delimiter = ',', value_parser = not_empty,
          default_values_t = DEFAULT_BASE_URLS.map(str::to_owned))]
    allowed_base_url: Vec<String>,

    /// The namespaces to watch, separated by commas [default: all].
    #[arg(long, env = "NUVO_OPERATOR_NAMESPACES", value_name = "A,B", value_delimiter = ',', value_parser = namespace)]
    namespaces: Vec<String>,

    /// Watch only PipelineRuns that match this Kubernetes label selector, as in `team=a,env in (dev,test)` [default: all].
    #[arg(long, env = "NUVO_OPERATOR_LABEL_SELECTOR", value_name = "SELECTOR", value_parser = label_selector)]
    label_selector: Option<String>,

    /// The namespace of the locks and of the leader lease. All operators that share a nuvo account must name the same one
    /// [default: that of the pod, or of the kubeconfig context].
    #[arg(long, env = "NUVO_OPERATOR_OPERATOR_NAMESPACE", value_name = "NAMESPACE", value_parser = namespace)]
    operator_namespace: Option<String>,

    /// Act only while holding the leader lease (15 s), so that several replicas can run. A standby is ready.
    #[arg(long, env = "NUVO_OPERATOR_LEADER_ELECT", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = true)]
    leader_elect: bool,

    /// Where /metrics is served. Port 0 takes a free one, which is logged.
    #[arg(long, env = "NUVO_OPERATOR_METRICS_ADDR", value_name = "IP:PORT", value_parser = address, default_value = "0.0.0.0:8080")]
    metrics_addr: SocketAddr,

    /// Where /livez, /readyz and /healthz are served. Port 0 takes a free one, which is logged.
    #[arg(long, env = "NUVO_OPERATOR_HEALTH_ADDR", value_name = "IP:PORT", value_parser = address, default_value = "0.0.0.0:8081")]
    health_addr: SocketAddr,

    /// The form of the log lines on standard error.
    #[arg(long, env = "NUVO_OPERATOR_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// The least severe event that is logged. Libraries are never logged below info, because their details may show requests.
    #[arg(long, env = "NUVO_OPERATOR_LOG_LEVEL", value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    log_level: LogLevel,

    /// The whole deadline of the one POST that starts a run, in seconds (1 to 600).
    #[arg(long, env = "NUVO_OPERATOR_TRIGGER_TIMEOUT_SECONDS", value_name = "SECONDS", value_parser = seconds::<1_000, 600_000>, default_value = "60")]
    trigger_timeout_seconds: Duration,

    /// How long nuvo is searched for what a doubtful POST started, before the doubt is reported, in seconds (0.1 to 86400). Also how
    /// long nuvo may say of an execution that it does not exist, before the run ends as ExecutionLost.
    #[arg(long, env = "NUVO_OPERATOR_TRIGGER_SETTLE_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 86_400_000>, default_value = "300")]
    trigger_settle_seconds: Duration,

    /// How long a pipeline takes no new run after a doubtful one, because effects of its POST may still appear, in seconds (0.1 to
    /// 86400). At least the sum of trigger timeout and fence. Also how long a run whose deadline has passed waits for nuvo to say how far
    /// it is.
    #[arg(long, env = "NUVO_OPERATOR_QUARANTINE_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 86_400_000>, default_value = "900")]
    quarantine_seconds: Duration,

    /// The most time that may pass between taking the lock of a pipeline and sending the POST; later the run starts over, in seconds
    /// (0.1 to 60).
    #[arg(long, env = "NUVO_OPERATOR_FENCE_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 60_000>, default_value = "5")]
    fence_seconds: Duration,

    /// The time between the two looks at nuvo that must agree before an execution is adopted after a doubtful POST, in seconds (0.1
    /// to 600).
    #[arg(long, env = "NUVO_OPERATOR_ADOPTION_CONFIRM_SECONDS", value_name = "SECONDS", value_parser = seconds::<100, 600_000>, default_value = "10")]
    adoption_confirm_seconds: Duration,

    /// How many runs are worked on at the same time (1 to 1024).
    #[arg(long, env = "NUVO_OPERATOR_MAX_CONCURRENT_RECONCILES", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1024), default_value_t = 32)]
    max_concurrent_reconciles: u16,

    /// Send requests to nuvo through the proxies that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name. A proxy sees the credentials of accounts
    /// whose base URL is plain http. Requests to Kubernetes never go through them.
    #[arg(long, env = "NUVO_OPERATOR_USE_ENV_PROXY", value_name = "BOOL", action = clap::ArgAction::Set, default_value_t = false)]
    use_env_proxy: bool,
}

impl TryFrom<RunArguments> for Settings {
    type Error = String;

    fn try_from(arguments: RunArguments) -> Result<Self, String> {
        // Without `..`: a new flag that nobody handles does not compile.
        let RunArguments {
            allowed_base_url,
            namespaces,
            label_selector,
            operator_namespace,
            leader_elect,
            metrics_addr,
            health_addr,
            log_format,
            log_level,
            trigger_timeout_seconds,
            trigger_settle_seconds,
            quarantine_seconds,
            fence_seconds,
            adoption_confirm_seconds,
            max_concurrent_reconciles,
            use_env_proxy,
        } = arguments;
        if metrics_addr == health_addr && metrics_addr.port() != 0 {
            return Err(format!("--metrics-addr and --health-addr are both {metrics_addr}: give one of them another port"));
        }
        let in_flight = trigger_timeout_seconds.saturating_add(fence_seconds);
        if quarantine_seconds < in_flight {
            return Err(format!(
                "--quarantine-seconds is {}, but a POST may be under way for {} (trigger timeout and fence): raise the one or lower the others",
                quarantine_seconds.as_secs_f64(),
                in_flight.as_secs_f64()
            ));
        }
        Ok(Self {
            allowed_origins: Origins::parse(&allowed_base_url).map_err(|error| format!("--allowed-base-url: {error}"))?,
            namespaces: namespaces.into_iter().collect::<BTreeSet<_>>().into_iter().collect(),
            label_selector,
            operator_namespace,
            leader_elect,
            metrics_addr,
            health_addr,
            log_format,
            log_level,
            trigger_timeout: trigger_timeout_seconds,
            trigger_settle: trigger_settle_seconds,
            quarantine: quarantine_seconds,
            fence: fence_seconds,
            adoption_confirm: adoption_confirm_seconds,
            max_concurrent_reconciles,
            use_env_proxy,
        })
    }
}

fn not_empty(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("must not be empty; leave the flag out to get the default".to_owned()) } else { Ok(text.to_owned()) }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, like 0.0.0.0:8080 or [::]:8080".to_owned())
}

fn namespace(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("must not be empty; leave the flag out to get the default".to_owned());
    }
    let letters = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if text.len() > 63 || !letters || text.starts_with('-') || text.ends_with('-') {
        return Err("not a namespace: 1 to 63 of a-z, 0-9 and -, not at an end".to_owned());
    }
    Ok(text.to_owned())
}

/// Seconds with up to three decimals. The limits are milliseconds. No floats, so that what was written is what is used.
fn seconds<const LEAST: u64, const MOST: u64>(text: &str) -> Result<Duration, String> {
    let wanted = || "expected seconds, like 60 or 0.5, with at most three decimals".to_owned();
    let (whole, decimals) = text.trim().split_once('.').unwrap_or((text.trim(), "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 3 {
        return Err(wanted());
    }
    // A number too large for u64 is above every limit.
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX);
    let decimals = format!("{decimals:0<3}").parse::<u64>().map_err(|_| wanted())?;
    let millis = whole.saturating_mul(1_000).saturating_add(decimals);
    if !(LEAST..=MOST).contains(&millis) {
        let show = |limit| Duration::from_millis(limit).as_secs_f64();
        return Err(format!("must be between {} and {} seconds", show(LEAST), show(MOST)));
    }
    Ok(Duration::from_millis(millis))
}

/// Checks the form of a label selector as the API server would, so that a typo is an error at start and not a failing watch.
fn label_selector(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("must not be empty; leave the flag out to watch all".to_owned());
    }
    for requirement in split_outside_parentheses(text) {
        check_requirement(requirement.trim()).map_err(|reason| format!("in `{}`: {reason}", requirement.trim()))?;
    }
    Ok(text.to_owned())
}

fn split_outside_parentheses(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_u32;
    for letter in text.chars() {
        match letter {
            '(' => depth = depth.saturating_add(1),
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if letter == ',' && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(letter);
        }
    }
    parts
}

fn check_requirement(requirement: &str) -> Result<(), String> {
    if let Some((left, values)) = requirement.split_once('(') {
        let values = values.strip_suffix(')').ok_or("the list must end with )")?;
        let mut words = left.split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in" | "notin"), None) => {
                check_key(key)?;
                values.split(',').try_for_each(|value| check_value(value.trim()))
            }
            _ => Err("expected `key in (a,b)` or `key notin (a,b)`".to_owned()),
        };
    }
    for operator in ["!=", "==", "="] {
        if let Some((key, value)) = requirement.split_once(operator) {
            check_key(key.trim())?;
            return check_value(value.trim());
        }
    }
    check_key(requirement.strip_prefix('!').unwrap_or(requirement).trim())
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_is_fine = prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(|label| namespace(label).is_ok()));
    if name.is_empty() || !prefix_is_fine || check_value(name).is_err() {
        return Err("a label key is `name` or `prefix/name`: at most 63 of A-Z, a-z, 0-9, -, _ and . with a letter or digit at both ends"
            .to_owned());
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    let inner = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let ends = [value.bytes().next(), value.bytes().last()].iter().flatten().all(u8::is_ascii_alphanumeric);
    if value.len() > 63 || !inner || !ends {
        return Err("a label value is at most 63 of A-Z, a-z, 0-9, -, _ and . with a letter or digit at both ends".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Settings {
        match parse_from(std::iter::once("nuvo-operator").chain(arguments.iter().copied())) {
            Ok(Command::Run(settings)) => *settings,
            other => panic!("{arguments:?}: {other:?}"),
        }
    }

    fn error(arguments: &[&str]) -> String {
        let error = parse_from(std::iter::once("nuvo-operator").chain(arguments.iter().copied())).expect_err("must be refused");
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    }

    #[test]
    fn the_command_line_is_well_formed() {
        command_line().debug_assert();
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let expected = Settings {
            allowed_origins: Origins::default(),
            namespaces: vec![],
            label_selector: None,
            operator_namespace: None,
            leader_elect: true,
            metrics_addr: "0.0.0.0:8080".parse().unwrap(),
            health_addr: "0.0.0.0:8081".parse().unwrap(),
            log_format: LogFormat::Text,
            log_level: LogLevel::Info,
            trigger_timeout: Duration::from_secs(60),
            trigger_settle: Duration::from_secs(300),
            quarantine: Duration::from_secs(900),
            fence: Duration::from_secs(5),
            adoption_confirm: Duration::from_secs(10),
            max_concurrent_reconciles: 32,
            use_env_proxy: false,
        };
        assert_eq!(settings(&[]), expected);
        assert_eq!(settings(&["run"]), expected);
    }

    #[test]
    fn flags_work_with_and_without_the_command() {
        let flags =
            ["--namespaces", "b,a,b", "--fence-seconds", "0.5", "--leader-elect", "false", "--allowed-base-url", "http://127.0.0.1:1"];
        let plain = settings(&flags);
        assert_eq!(plain.namespaces, ["a", "b"]);
        assert_eq!(plain.fence, Duration::from_millis(500));
        assert!(!plain.leader_elect);
        assert_eq!(plain.allowed_origins, Origins::parse(["http://127.0.0.1:1"]).unwrap(), "the defaults are replaced, not added to");
        assert_eq!(settings(&[&["run"], flags.as_slice()].concat()), plain);
    }

    #[test]
    fn every_flag_has_its_variable() {
        for argument in RunArguments::augment_args(clap::Command::new("test")).get_arguments() {
            let long = argument.get_long().expect("every argument is a flag");
            let expected = format!("NUVO_OPERATOR_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
        }
    }

    #[test]
    fn crds_is_a_command_of_its_own() {
        assert_eq!(parse_from(["nuvo-operator", "crds"]).unwrap(), Command::Crds);
        error(&["crds", "--namespaces", "a"]);
    }

    #[test]
    fn bad_values_are_refused_with_what_is_expected() {
        for (arguments, expected) in [
            (&["--trigger-timeout-seconds", "0"][..], "between 1 and 600 seconds"),
            (&["--trigger-timeout-seconds", "99999999999999999999999"], "between 1 and 600 seconds"),
            (&["--fence-seconds", "0.0001"], "at most three decimals"),
            (&["--fence-seconds", "1e3"], "like 60 or 0.5"),
            (&["--fence-seconds", "5s"], "like 60 or 0.5"),
            (&["--fence-seconds", "."], "like 60 or 0.5"),
            (&["--quarantine-seconds", "64.999"], "64.999"),
            (&["--max-concurrent-reconciles", "0"], "1..=1024"),
            (&["--namespaces", "a,,b"], "must not be empty"),
            (&["--namespaces", "A"], "not a namespace"),
            (&["--allowed-base-url", ""], "must not be empty"),
            (&["--metrics-addr", ":8080"], "0.0.0.0:8080"),
            (&["--metrics-addr", "0.0.0.0:8081"], "another port"),
            (&["--label-selector", "a in b"], "a label key is"),
            (&["--leader-elect", "perhaps"], "true, false"),
            (&["--log-level", "loud"], "error, warn, info"),
            (&["--surprise"], "--surprise"),
        ] {
            let message = error(arguments);
            assert!(message.contains(expected), "{arguments:?}: {message}");
        }
    }

    #[test]
    fn port_0_may_be_used_twice() {
        settings(&["--metrics-addr", "127.0.0.1:0", "--health-addr", "127.0.0.1:0"]);
    }

    #[test]
    fn label_selectors() {
        for good in ["a", "!a", "a=b", "a==b", "a!=b", "a=", "x.io/a in (b, c),d notin (e)", "team=a,env in (dev,test)"] {
            assert_eq!(label_selector(good).as_deref(), Ok(good));
        }
        for bad in ["", ",", "a=b c", "a in (b", "a of (b)", "-a", "a=b,", "/a", "x/", "a&b", "a=b=c"] {
            assert!(label_selector(bad).is_err(), "{bad}");
        }
    }
}
