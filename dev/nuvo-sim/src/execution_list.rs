//! The list of executions: parses the query and makes the page.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use serde_json::{Value, json};

use crate::{
    config::{ListOrder, Total},
    server_state::ServerState,
};

/// A query, read from the parameters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ListQuery {
    /// Each field with the values it may have.
    filters: BTreeMap<String, Vec<String>>,
    oldest_first: bool,
    limit: Option<u64>,
    offset: u64,
}

/// The fields that can be filtered by; the rest of an entry is no scalar.
const FIELDS: [&str; 5] = ["id", "pipeline", "status", "trigger_type", "created_by.identifier"];

impl ListQuery {
    /// Reads decoded parameters. Parameters it does not know are passed over, as the real server does with `options`.
    pub(crate) fn parse(pairs: &[(String, String)]) -> Result<Self, String> {
        let mut query = Self::default();
        for (key, value) in pairs {
            let Some((name, rest)) = key.split_once('[') else { continue };
            let Some(rest) = rest.strip_suffix(']') else { return Err(format!("`{key}` is no parameter")) };
            let path: Vec<&str> = rest.split("][").collect();
            let number = || value.parse().map_err(|_| format!("`{key}` must be a number"));
            match (name, path.as_slice()) {
                ("filters", [field] | [field, "$eq"] | [field, "$in"] | [field, "$in", _]) => {
                    if !FIELDS.contains(field) {
                        return Err(format!("`{field}` cannot be filtered by"));
                    }
                    query.filters.entry((*field).to_owned()).or_default().push(value.clone());
                }
                ("filters", _) => return Err(format!("`{key}` is no filter this server knows")),
                ("sort", ["created_at" | "createdAt"]) => match value.to_ascii_lowercase().as_str() {
                    "asc" => query.oldest_first = true,
                    "desc" => query.oldest_first = false,
                    _ => return Err(format!("`{key}` must be asc or desc")),
                },
                ("sort", _) => return Err(format!("`{key}` is no order this server knows")),
                ("pagination", ["limit"]) => query.limit = Some(number()?),
                ("pagination", ["offset"]) => query.offset = number()?,
                _ => {}
            }
        }
        Ok(query)
    }

    /// The one pipeline it is about, if it is about one.
    pub(crate) fn pipeline(&self) -> Option<&str> {
        match self.filters.get("pipeline").map(Vec::as_slice) {
            Some([pipeline]) => Some(pipeline),
            _ => None,
        }
    }

    /// The page. Without an order, the newest come first.
    pub(crate) fn page(&self, state: &ServerState) -> Value {
        let now = state.clock.now();
        let mut executions: Vec<_> = state.executions.iter().filter(|execution| execution.listed(now)).collect();
        // Stable: executions of one moment keep the order they were made in.
        executions.sort_by_key(|execution| execution.created);
        match state.config.order {
            ListOrder::OldestFirst => {}
            ListOrder::Asked if self.oldest_first => {}
            ListOrder::Asked | ListOrder::NewestFirst => executions.reverse(),
            ListOrder::Mixed => executions.sort_by_cached_key(|execution| mixed(&execution.id)),
        }
        let ignored = &state.config.ignored_filters;
        let filters: Vec<_> = self.filters.iter().filter(|(field, _)| !ignored.contains(*field)).collect();
        executions.retain(|execution| {
            filters.iter().all(|(field, values)| execution.field(field, &state.clock, now).is_some_and(|value| values.contains(&value)))
        });
        let limit = self.limit.filter(|limit| *limit > 0).unwrap_or(state.config.default_limit).min(state.config.max_limit);
        let overall = executions.len();
        let skip = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let take = usize::try_from(limit).unwrap_or(usize::MAX);
        // Rendered after the cut: there may be thousands, and a page has at most a hundred.
        let page = executions.into_iter().skip(skip).take(take);
        let entries: Vec<Value> = page.map(|execution| execution.show(&state.clock, now, false)).collect();
        let total = match state.config.total {
            Total::Overall => overall,
            Total::Page => entries.len(),
        };
        json!({"data": entries, "pagination": {"total": total, "offset": self.offset, "limit": limit}})
    }
}

/// Puts ids that follow each other far apart.
fn mixed(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
