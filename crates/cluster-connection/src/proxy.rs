//! The proxy on the way to the API server, as Go's `net/http` chooses it.

use std::net::IpAddr;

use http::Uri;
use ipnet::IpNet;

use super::error::ConnectionError;

const ENVIRONMENT: &str = "HTTPS_PROXY or HTTP_PROXY in the environment";
const KUBECONFIG: &str = "proxy-url in the kubeconfig";
const CREDENTIALS: &str = "user names for a SOCKS5 proxy are not supported";

/// The proxy that the environment names for a server.
pub(crate) fn of_environment(server: &Uri, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Uri>, ConnectionError> {
    // The order of the Go that kubectl is built with today. Newer ones read lower case first.
    let first = |names: [&str; 2]| names.into_iter().filter_map(&variable).find(|value| !value.is_empty()).unwrap_or_default();
    let (named, default_port) = match server.scheme_str() {
        Some("https") => (first(["HTTPS_PROXY", "https_proxy"]), 443),
        Some("http") => (first(["HTTP_PROXY", "http_proxy"]), 80),
        _ => return Ok(None),
    };
    // What cannot be read is no proxy. Without a scheme, it is an HTTP proxy.
    let is_whole = |proxy: &Uri| proxy.scheme().is_some() && proxy.host().is_some();
    let proxy = named.parse().ok().filter(is_whole).or_else(|| format!("http://{named}").parse().ok().filter(is_whole));
    let Some(proxy) = proxy else { return Ok(None) };
    if is_exempt(&first(["NO_PROXY", "no_proxy"]), server.host().unwrap_or_default(), server.port_u16().unwrap_or(default_port)) {
        return Ok(None);
    }
    usable(&proxy, &["http", "https", "socks5", "socks5h"], ENVIRONMENT).map(Some)
}

/// The proxy that a kubeconfig names.
pub(crate) fn of_kubeconfig(proxy: &str) -> Result<Uri, ConnectionError> {
    let refused = |_| ConnectionError::Proxy { origin: KUBECONFIG, reason: "it is not a URL" };
    usable(&proxy.parse().map_err(refused)?, &["http", "https", "socks5"], KUBECONFIG)
}

/// The proxy as kube understands it.
fn usable(proxy: &Uri, schemes: &[&str], origin: &'static str) -> Result<Uri, ConnectionError> {
    let refused = |reason| ConnectionError::Proxy { origin, reason };
    if !proxy.scheme_str().is_some_and(|scheme| schemes.contains(&scheme)) {
        return Err(refused("its scheme is not http, https or socks5"));
    }
    let authority = proxy.authority().ok_or_else(|| refused("it has no host"))?;
    if !proxy.scheme_str().is_some_and(|scheme| scheme.starts_with("socks")) {
        return Ok(proxy.clone());
    }
    // kube would leave them out.
    if authority.as_str().contains('@') {
        return Err(refused(CREDENTIALS));
    }
    // Names are always for the proxy to look up, which Go does with both schemes.
    let socks5 = format!("socks5://{}:{}", authority.host(), authority.port_u16().unwrap_or(1080));
    socks5.parse().map_err(|_| refused("it is not a URL"))
}

/// Whether no proxy is used for this host and port: by this list, or as it is this machine.
fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let address = host.parse().ok().map(|address: IpAddr| address.to_canonical());
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let host = host.to_lowercase();
    list.split(',').any(|entry| matches(&entry.trim().to_lowercase(), &host, address, port))
}

/// Whether an entry of `NO_PROXY` is about this host and port.
fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (name, wanted_port) = split_port(entry);
    if name.is_empty() || !(wanted_port.is_empty() || wanted_port == port.to_string()) {
        return false;
    }
    match (name.parse::<IpAddr>(), address) {
        (Ok(named), address) => address == Some(named.to_canonical()),
        (Err(_), Some(_)) => false,
        (Err(_), None) => {
            let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
            // With a dot in front, it is about the names below it only.
            let below = host.strip_suffix(name).is_some_and(|rest| name.starts_with('.') || rest.ends_with('.'));
            host == name || below
        }
    }
}

/// The host and the port of an entry; the port is empty if there is none.
fn split_port(entry: &str) -> (&str, &str) {
    if let Some(address) = entry.strip_prefix('[') {
        return address.split_once("]:").unwrap_or((entry, ""));
    }
    // An IPv6 address has more than one colon.
    entry.split_once(':').filter(|(_, port)| !port.contains(':')).unwrap_or((entry, ""))
}

#[cfg(test)]
mod tests;
