//! The form of a Kubernetes label selector.

use super::values::namespace;

/// Checks the form of a label selector as the API server would, so that a typo is an error at start and not a failing watch.
pub fn label_selector(text: &str) -> Result<String, String> {
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

    #[test]
    fn label_selector_is_accepted_as_the_api_server_does() {
        for good in ["a", "!a", "a=b", "a==b", "a!=b", "a=", "x.io/a in (b, c),d notin (e)", "team=a,env in (dev,test)"] {
            assert_eq!(label_selector(good).as_deref(), Ok(good));
        }
        for bad in ["", ",", "a=b c", "a in (b", "a of (b)", "-a", "a=b,", "/a", "x/", "a&b", "a=b=c"] {
            assert!(label_selector(bad).is_err(), "{bad}");
        }
    }
}
