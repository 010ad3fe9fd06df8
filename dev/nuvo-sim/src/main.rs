//! `nuvo-sim`: the simulator as a program.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use nuvo_sim::{
    AccessToken, BUILTIN_PIPELINES, Credential, Identity, IdentityKind, Permission, Sim, SimConfig, SimError, Span, Spelling, Total,
    parse_pipelines, read_pipelines,
};
use tokio::signal::unix::{SignalKind, signal};

/// A stand-in for nuvo's Execution API: scripted pipelines, faults, and a journal of every request.
#[derive(Parser)]
#[command(version, after_long_help = include_str!("help.txt"))]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The path in front of the API.
    #[arg(long, default_value = "/dp/api/v1", value_name = "PATH")]
    base_path: String,
    /// The pipelines that exist from the start (YAML, below); without it, a set for demonstration.
    #[arg(long, value_name = "FILE")]
    pipelines: Option<PathBuf>,
    /// Print the built-in pipelines file and exit.
    #[arg(long)]
    print_pipelines: bool,
    /// The license key that can be traded for a token.
    #[arg(long, env = "NUVO_SIM_LICENSE_KEY", hide_env_values = true, default_value = "demo-license-key", value_name = "KEY")]
    license_key: String,
    /// Whose license key it is, and who the creator of the executions is.
    #[arg(long, default_value = "demo@example.com", value_name = "IDENTIFIER")]
    identifier: String,
    /// The identifier is that of a sub-organization, not of a user.
    #[arg(long)]
    sub_org: bool,
    /// An access token that is accepted without a trade.
    #[arg(long, env = "NUVO_SIM_ACCESS_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    access_token: Option<String>,
    /// A permission of the tokens; without it, all.
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<Permission>,
    /// How long a traded token is accepted; `hold`: until it is revoked.
    #[arg(long, default_value = "hold", value_name = "TIME")]
    token_life: Span,
    /// Answer a trade with the token wrapped in `data`.
    #[arg(long)]
    wrap_token: bool,
    /// Show the executions of all pipelines in this form, whatever the pipelines file says.
    #[arg(long)]
    spelling: Option<Spelling>,
    /// The status of a successful POST.
    #[arg(long, default_value_t = 201, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(200..300))]
    create_status: u16,
    /// The answer to a POST for a pipeline that does not exist.
    #[arg(long, default_value_t = 404, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..600))]
    unknown_pipeline_status: u16,
    /// The answer to a POST for a pipeline that is inactive or a draft.
    #[arg(long, default_value_t = 422, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..600))]
    inactive_pipeline_status: u16,
    /// The answer to a GET by the id of something that does not exist.
    #[arg(long, default_value_t = 400, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(400..600))]
    not_found_status: u16,
    /// How long after its creation an execution first appears in the list.
    #[arg(long, default_value = "0s", value_name = "TIME")]
    list_lag: Span,
    /// The page size when the caller asks for none.
    #[arg(long, default_value_t = 25, value_name = "N")]
    default_limit: u64,
    /// The largest page.
    #[arg(long, default_value_t = 100, value_name = "N")]
    max_limit: u64,
    /// What `pagination.total` counts.
    #[arg(long, default_value = "overall")]
    total: Total,
    /// A field whose filters are accepted and not applied.
    #[arg(long = "ignore-filter", value_name = "FIELD")]
    ignored_filters: Vec<String>,
    /// Accept an order and do not apply it: the newest executions come first.
    #[arg(long)]
    ignore_order: bool,
    /// How many milliseconds the server's clock is ahead.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_name = "MS")]
    clock_skew_ms: i64,
    /// Exit when the standard input closes: with the process that started this one.
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
        token_life: (args.token_life != Span::HOLD).then_some(args.token_life.0),
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
        ignore_order: args.ignore_order,
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

/// Returns when the process is told to stop. Signals are taken explicitly: as the first process of a container it would not die of them.
fn wait(with_stdin: bool) -> std::io::Result<()> {
    let (closed, mut stdin) = tokio::sync::mpsc::channel::<()>(1);
    // Without that wish nobody ever closes it.
    let mut kept = Some(closed);
    if with_stdin {
        let closed = kept.take();
        std::thread::spawn(move || {
            // What is written there is of no interest, only that it ends, well or badly.
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
