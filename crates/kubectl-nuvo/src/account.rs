//! Accounts as a table.

use k8s_openapi::jiff::Timestamp;
use kube::{ResourceExt, api::ListParams};

use super::{
    End, PluginError,
    args::{ListArgs, Output},
    list::not_installed,
    output,
    place::Place,
    progress::tell,
    table::{ago, table},
};
use nuvo_crds::{
    NuvoAccount,
    conditions::{READY, find},
};

/// Lists accounts and whether they can be used.
///
/// # Errors
/// [`PluginError::Api`], [`PluginError::Output`].
pub async fn list(place: &Place, args: &ListArgs, now: Timestamp) -> Result<End, PluginError> {
    let wanted = ListParams { label_selector: args.selector.clone(), ..ListParams::default() };
    let found = place.those::<NuvoAccount>(args.all_namespaces).list(&wanted).await.map_err(not_installed("NuvoAccount"))?;
    if let Some(text) = output::many(&found.items, args.output)? {
        return tell(&text).map(|()| End::Done);
    }
    if found.items.is_empty() {
        eprintln!("No accounts found. A run needs one: see the documentation, \"Accounts and credentials\".");
        return Ok(End::Done);
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
            ago(account.metadata.creation_timestamp.as_ref(), now),
        ]);
        if wide {
            row.extend([account.spec.base_url.clone(), account.spec.requests_per_second.to_string()]);
        }
        row.push(ready.filter(|condition| condition.status != "True").map(|condition| condition.message.clone()).unwrap_or_default());
        row
    };
    tell(&table(&header, &found.items.iter().map(row).collect::<Vec<_>>())).map(|()| End::Done)
}
