//! Whether a label selector, as `--label-selector` has it, selects labels. The API server has accepted the text at start.

use std::collections::BTreeMap;

/// Whether a selector selects these labels.
#[must_use]
pub fn selects(selector: &str, labels: &BTreeMap<String, String>) -> bool {
    requirements(selector).into_iter().all(|requirement| holds(requirement.trim(), labels))
}

/// Separated by commas that are not between parentheses.
fn requirements(selector: &str) -> Vec<&str> {
    let mut is_inside = false;
    selector
        .split(|letter| {
            is_inside = (is_inside || letter == '(') && letter != ')';
            letter == ',' && !is_inside
        })
        .collect()
}

fn holds(requirement: &str, labels: &BTreeMap<String, String>) -> bool {
    let value = |key: &str| labels.get(key.trim()).map(String::as_str);
    if let Some((key, values)) = requirement.strip_suffix(')').and_then(|rest| rest.split_once('(')) {
        let is_one_of = |key: &str| value(key).is_some_and(|value| values.split(',').any(|one| one.trim() == value));
        let words: Vec<&str> = key.split_whitespace().collect();
        return match words.as_slice() {
            [key, "in"] => is_one_of(key),
            [key, "notin"] => !is_one_of(key),
            _ => false,
        };
    }
    if let Some((key, other)) = requirement.split_once("!=") {
        return value(key) != Some(other.trim());
    }
    if let Some((key, wanted)) = requirement.split_once("==").or_else(|| requirement.split_once('=')) {
        return value(key) == Some(wanted.trim());
    }
    match requirement.strip_prefix('!') {
        Some(key) => value(key).is_none(),
        None => requirement.is_empty() || value(requirement).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selector_selects_as_kubectl_does() {
        let labels = [("team", "data"), ("tier", "")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let yes =
            ["", "team", "team=data", "team == data", "team!=web", "other!=x", "!other", "team in (web, data)", "team notin (web),tier"];
        for selector in yes.into_iter().chain(["other notin (a,b)", "tier=", "tier in (,a)"]) {
            assert!(selects(selector, &labels), "{selector}");
        }
        for selector in
            ["other", "team=web", "team!=data", "!team", "team in (web,a)", "team notin (web, data)", "team=data,other", "tier=a"]
        {
            assert!(!selects(selector, &labels), "{selector}");
        }
    }
}
