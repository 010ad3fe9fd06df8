//! How the values of flags are read. An error is a text for the user, without the flag's name.

use std::{net::SocketAddr, time::Duration};

pub fn not_empty(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() { Err("must not be empty; leave the flag out to get the default".to_owned()) } else { Ok(text.to_owned()) }
}

pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "expected an IP address and a port, like 0.0.0.0:8080 or [::]:8080".to_owned())
}

pub fn namespace(text: &str) -> Result<String, String> {
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

/// Seconds with up to three decimals; `LEAST` and `MOST` are milliseconds. Not read as a float, which could change the value.
pub fn seconds<const LEAST: u64, const MOST: u64>(text: &str) -> Result<Duration, String> {
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
