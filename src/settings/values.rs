//! How the values of flags are read. An error is a text for the user, without the flag's name.

use std::{net::SocketAddr, time::Duration};

use k8s_openapi::jiff::SignedDuration;

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
    let range = Duration::from_millis(LEAST)..=Duration::from_millis(MOST);
    let is_number = text.trim().bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let parsed = format!("{}s", text.trim()).parse::<SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    parsed.filter(|parsed| is_number && parsed.subsec_nanos() % 1_000_000 == 0 && range.contains(parsed)).ok_or_else(|| {
        let (least, most) = (range.start().as_secs_f64(), range.end().as_secs_f64());
        format!("must be between {least} and {most} seconds, like 60 or 0.5, with at most three decimals")
    })
}
