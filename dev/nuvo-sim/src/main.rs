//! `nuvo-sim`: the simulator as a program.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use nuvo_sim::{
    AccessToken, BUILTIN_PIPELINES, Credential, HumanDuration, Identity, IdentityKind, ListOrder, Permission, Sim, SimConfig, SimError,
    Spelling, Total, parse_pipelines, read_pipelines,
};
use tokio::signal::unix::{SignalKind, signal};

/// Simulates nuvo's Execution API: scripted pipelines, injected faults, and a journal of every request.
#[derive(Parser)]
#[command(version, after_long_help = include_str!("help.txt"))]
struct Args {
    /// Address to listen on. Port 0 selects a free port.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Path prefix of the API.
    #[arg(long, default_value = "/dp/api/v1", value_name = "PATH")]
    base_path: String,
    /// File with the pipelines (YAML, see below). Default: the built-in demonstration pipelines.
    #[arg(long, value_name = "FILE")]
    pipelines: Option<PathBuf>,
    /// Print the built-in pipelines file and exit.
    #[arg(long)]
    print_pipelines: bool,
    /// License key that callers trade for a token.
    #[arg(long, env = "NUVO_SIM_LICENSE_KEY", hide_env_values = true, default_value = "demo-license-key", value_name = "KEY")]
    license_key: String,
    /// Identity that the license key belongs to. It is the creator of the executions.
    #[arg(long, default_value = "demo@example.com", value_name = "IDENTIFIER")]
    identifier: String,
    /// The identifier names a sub-organization instead of a user.
    #[arg(long)]
    sub_org: bool,
    /// Access token that is valid without a trade.
    #[arg(long, env = "NUVO_SIM_ACCESS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    access_token: Option<String>,
    /// Permission of the tokens, repeatable. Default: all.
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<Permission>,
    /// How long a traded token is valid. `hold`: until it is revoked.
    #[arg(long, default_value = "hold", value_name = "TIME")]
    token_life: HumanDuration,
    /// Wrap the token in `data` in the answer to a trade.
    #[arg(long)]
    wrap_token: bool,
    /// Form of the answers about executions of all pipelines. Overrides the pipelines file.
    #[arg(long)]
    spelling: Option<Spelling>,
    /// Status of a successful POST.
    #[arg(long, default_value_t = 201, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(200..300))]
    create_status: u16,
    /// Status of a POST for a pipeline that does not exist.
    #[arg(long, default_value_t = 404, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..600))]
    unknown_pipeline_status: u16,
    /// Status of a POST for a pipeline that is inactive or a draft.
    #[arg(long, default_value_t = 422, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..600))]
    inactive_pipeline_status: u16,
    /// Status of a GET by an id that does not exist.
    #[arg(long, default_value_t = 400, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..600))]
    not_found_status: u16,
    /// Time from the creation of an execution until the list shows it.
    #[arg(long, default_value = "0s", value_name = "TIME")]
    list_lag: HumanDuration,
    /// Page size if the caller asks for none.
    #[arg(long, default_value_t = 25, value_name = "N")]
    default_limit: u64,
    /// Largest page size.
    #[arg(long, default_value_t = 100, value_name = "N")]
    max_limit: u64,
    /// What `pagination.total` counts.
    #[arg(long, default_value = "overall")]
    total: Total,
    /// Field whose filters are accepted but not applied, repeatable.
    #[arg(long = "ignore-filter", value_name = "FIELD")]
    ignored_filters: Vec<String>,
    /// Order of the list, whatever was asked for.
    #[arg(long, default_value = "asked")]
    order: ListOrder,
    /// Zone of the times that name none, as in the variable TZ of POSIX, for example CET-1CEST,M3.5.0,M10.5.0/3.
    #[arg(long, default_value = "UTC0", value_name = "TZ")]
    local_zone: String,
    /// Milliseconds by which the server's clock is ahead. Negative: behind.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "MS")]
    clock_skew_ms: i64,
    /// Exit when standard input closes, for example because the parent process ended.
    #[arg(long)]
    exit_with_stdin: bool,
}

fn config(args: Args) -> Result<SimConfig, SimError> {
    let mut pipelines = match &args.pipelines {
        Some(path) => read_pipelines(path)?,
        None => parse_pipelines(BUILTIN_PIPELINES)?,
    };
    if let Some(spelling) = args.spelling {
        pipelines.iter_mut().for_each(|pipeline| pipeline.spelling = spelling);
    }
    let kind = if args.sub_org { IdentityKind::SubOrg } else { IdentityKind::User };
    let identity = Identity { identifier: args.identifier, kind };
    let permissions: BTreeSet<Permission> =
        if args.permissions.is_empty() { Permission::ALL.into() } else { args.permissions.into_iter().collect() };
    Ok(SimConfig {
        address: args.listen.ip(),
        port: args.listen.port(),
        base_path: args.base_path,
        pipelines,
        credentials: vec![Credential { license_key: args.license_key, identity: identity.clone(), permissions: permissions.clone() }],
        access_tokens: args
            .access_token
            .into_iter()
            .map(|token| AccessToken { token, identity: identity.clone(), permissions: permissions.clone() })
            .collect(),
        token_life: (args.token_life != HumanDuration::HOLD).then_some(args.token_life.0),
        wrap_token: args.wrap_token,
        create_status: args.create_status,
        unknown_pipeline_status: args.unknown_pipeline_status,
        inactive_pipeline_status: args.inactive_pipeline_status,
        not_found_status: args.not_found_status,
        default_limit: args.default_limit,
        max_limit: args.max_limit,
        list_lag: args.list_lag.0,
        clock_skew_ms: args.clock_skew_ms,
        total: args.total,
        ignored_filters: args.ignored_filters.into_iter().collect(),
        order: args.order,
        local_zone: args.local_zone,
        ..SimConfig::default()
    })
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.print_pipelines {
        print!("{BUILTIN_PIPELINES}");
        return ExitCode::SUCCESS;
    }
    let with_stdin = args.exit_with_stdin;
    let sim = match config(args).and_then(Sim::start) {
        Ok(sim) => sim,
        Err(error) => {
            eprintln!("nuvo-sim: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("{}", sim.base_url());
    let waited = wait(with_stdin);
    drop(sim);
    match waited {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nuvo-sim: cannot wait for signals: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns on SIGTERM or SIGINT. Handled explicitly: they have no default effect on the first process of a container.
fn wait(with_stdin: bool) -> std::io::Result<()> {
    let (closed, mut stdin) = tokio::sync::mpsc::channel::<()>(1);
    // Without the flag the sender stays alive, so the channel never closes.
    let mut kept = Some(closed);
    if with_stdin {
        let closed = kept.take();
        std::thread::spawn(move || {
            // Only the end matters, with or without an error.
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            drop(closed);
        });
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = stdin.recv() => {}
        }
        Ok(())
    })
}
