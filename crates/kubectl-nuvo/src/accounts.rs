//! `kubectl nuvo accounts`: accounts as a table.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};
use nuvo_crds::{
    NuvoAccount,
    conditions::{READY, find},
};

use super::{
    args::ListArgs,
    cluster_context::ClusterContext,
    error::PluginError,
    exit_status::ExitStatus,
    flag_values::Output,
    output::{self, print},
    table::{age, table},
};

/// Lists accounts and whether they are ready.
///
/// # Errors
/// [`PluginError::Api`], [`PluginError::Output`].
pub async fn list(context: &ClusterContext, args: &ListArgs, now: Timestamp) -> Result<ExitStatus, PluginError> {
    let params = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let found = context.objects::<NuvoAccount>(args.all_namespaces).list(&params).await.map_err(PluginError::list("NuvoAccount"))?;
    if let Some(text) = output::list(&found.items, args.output)? {
        return print(&text).map(|()| ExitStatus::Success);
    }
    if found.items.is_empty() {
        eprintln!("No accounts found. A run needs one: see the documentation, \"Accounts and credentials\".");
        return Ok(ExitStatus::Success);
    }
    let wide = args.output == Some(Output::Wide);
    let mut header = Vec::new();
    if args.all_namespaces {
        header.push("NAMESPACE");
    }
    header.extend(["NAME", "READY", "REASON", "IDENTITY", "AGE"]);
    if wide {
        header.extend(["BASE URL", "REQUESTS/S"]);
    }
    header.push("MESSAGE");
    let row = |account: &NuvoAccount| {
        let status = account.status.clone().unwrap_or_default();
        let ready = find(&status.conditions, READY);
        let mut row = Vec::new();
        if args.all_namespaces {
            row.push(account.namespace().unwrap_or_default());
        }
        row.extend([
            account.name_any(),
            ready.map_or_else(|| "Unknown".to_owned(), |condition| condition.status.clone()),
            ready.map(|condition| condition.reason.clone()).unwrap_or_default(),
            status.identity.clone().unwrap_or_default(),
            age(account.metadata.creation_timestamp.as_ref(), now),
        ]);
        if wide {
            row.extend([account.spec.base_url.clone(), account.spec.requests_per_second.to_string()]);
        }
        row.push(ready.filter(|condition| condition.status != "True").map(|condition| condition.message.clone()).unwrap_or_default());
        row
    };
    print(&table(&header, &found.items.iter().map(row).collect::<Vec<_>>())).map(|()| ExitStatus::Success)
}
