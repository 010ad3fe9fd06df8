//! Which hosts the operator may send a credential to.

use std::collections::BTreeSet;
use std::fmt;

use url::{Host, Url};

const DEFAULTS: [&str; 2] = ["https://api-gateway.getnuvo.com", "https://api-gateway.ingestro.com"];
const MAX_URL: usize = 2_048;

/// Why a base URL is not used. The URL itself is not repeated: it may hold a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// The text cannot be read as a URL with a host.
    #[error("the base URL is not a valid absolute URL")]
    Invalid,
    /// Only these two schemes carry the API.
    #[error("the base URL must start with https:// (or http://, if that origin is allowed explicitly)")]
    Scheme,
    /// A user name or password in the URL would end up in logs.
    #[error("the base URL must not contain a user name or password")]
    UserInfo,
    /// A query or a fragment has no meaning in a base URL.
    #[error("the base URL must not contain a query or a fragment")]
    QueryOrFragment,
    /// The origin is not among those the operator was started with.
    #[error("the origin of the base URL is not allowed: the operator must be started with --allowed-base-url for it")]
    NotAllowed,
}

/// Scheme, host and port: what is compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Origin {
    scheme: String,
    host: Host<String>,
    port: u16,
}

impl Origin {
    fn of(url: &Url) -> Option<Self> {
        let host = url.host()?.to_owned();
        Some(Self { scheme: url.scheme().to_owned(), host, port: url.port_or_known_default()? })
    }
}

fn parse(text: &str) -> Result<(Url, Origin), OriginError> {
    // A backslash, a space or a control character is repaired silently by URL parsers: refuse what two parsers may read in two ways.
    if text.len() > MAX_URL || text.chars().any(|c| c == '\\' || c.is_whitespace() || c.is_control()) {
        return Err(OriginError::Invalid);
    }
    let url = Url::parse(text).map_err(|_| OriginError::Invalid)?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(OriginError::Scheme);
    }
    let authority = text.split_once("://").map_or("", |(_, rest)| rest).split(['/', '?', '#']).next().unwrap_or("");
    if !url.username().is_empty() || url.password().is_some() || authority.contains('@') {
        return Err(OriginError::UserInfo);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(OriginError::QueryOrFragment);
    }
    let origin = Origin::of(&url).ok_or(OriginError::Invalid)?;
    Ok((url, origin))
}

/// The origins the operator was started with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins(BTreeSet<Origin>);

impl Origins {
    /// Reads the values of `--allowed-base-url`. A path is ignored.
    ///
    /// # Errors
    /// [`OriginError`] for the first value that is not a usable URL.
    pub fn parse<I>(values: I) -> Result<Self, OriginError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        values.into_iter().map(|value| parse(value.as_ref().trim()).map(|(_, origin)| origin)).collect::<Result<_, _>>().map(Self)
    }

    /// Checks the base URL of an account.
    ///
    /// # Errors
    /// [`OriginError`] when it is malformed or its origin is not one of these.
    pub fn check(&self, base_url: &str) -> Result<BaseUrl, OriginError> {
        let (mut url, origin) = parse(base_url)?;
        if !self.0.contains(&origin) {
            return Err(OriginError::NotAllowed);
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(BaseUrl(url))
    }
}

impl Default for Origins {
    /// The two public origins, nuvo and Ingestro.
    fn default() -> Self {
        Self::parse(DEFAULTS).unwrap_or_else(|_| Self(BTreeSet::new()))
    }
}

/// An allowed base URL: without user, query and fragment, ending in a slash.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Scheme, host and port as text, for instance `https://api-gateway.getnuvo.com`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The whole URL, with its trailing slash.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Appends path segments, each percent-encoded. An empty last segment gives a trailing slash. Segments that would climb
    /// (`.` and `..`) are dropped.
    #[must_use]
    pub fn join<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments.into_iter().filter(|s| !matches!(*s, "." | "..")));
        }
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl fmt::Debug for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_allows_both_editions_only() {
        let origins = Origins::default();
        let base = origins.check("https://api-gateway.getnuvo.com/dp/api/v1").unwrap();
        assert_eq!(base.as_str(), "https://api-gateway.getnuvo.com/dp/api/v1/");
        assert_eq!(base.origin(), "https://api-gateway.getnuvo.com");
        assert!(origins.check("https://API-Gateway.Ingestro.COM:443/dp/api/v1/").is_ok());
        for (url, error) in [
            ("http://api-gateway.getnuvo.com/dp/api/v1", OriginError::NotAllowed),
            ("https://api-gateway.getnuvo.com:8443/", OriginError::NotAllowed),
            ("https://api-gateway.getnuvo.com.evil.example/", OriginError::NotAllowed),
            ("https://api-gateway.getnuvo.com@evil.example/", OriginError::UserInfo),
            ("https://@api-gateway.getnuvo.com/", OriginError::UserInfo),
            ("https://user:pw@api-gateway.getnuvo.com/", OriginError::UserInfo),
            ("https://evil.example\\@api-gateway.getnuvo.com/", OriginError::Invalid),
            ("https://api-gateway.getnuvo.com/?a=b", OriginError::QueryOrFragment),
            ("https://api-gateway.getnuvo.com/#a", OriginError::QueryOrFragment),
            ("ftp://api-gateway.getnuvo.com/", OriginError::Scheme),
            ("file:///etc/passwd", OriginError::Scheme),
            ("api-gateway.getnuvo.com", OriginError::Invalid),
            ("", OriginError::Invalid),
        ] {
            assert_eq!(origins.check(url), Err(error), "{url}");
        }
    }

    #[test]
    fn plain_http_and_ipv6_are_allowed_only_if_listed() {
        let origins = Origins::parse(["http://[::1]:9000/some/path", "http://sim.test"]).unwrap();
        assert_eq!(origins.check("http://[0:0::1]:9000/x").unwrap().origin(), "http://[::1]:9000");
        assert_eq!(origins.check("http://sim.test:80").unwrap().as_str(), "http://sim.test/");
        assert!(origins.check("https://[::1]:9000/").is_err());
        assert!(origins.check("http://[::1]:9001/").is_err());
        assert!(origins.check("https://sim.test/").is_err());
        assert!(Origins::parse(["http://u@sim.test"]).is_err());
    }

    #[test]
    fn joined_segments_stay_below_the_base() {
        let base = Origins::parse(["http://h"]).unwrap().check("http://h/a/b").unwrap();
        assert_eq!(base.join(["execution", ""]).as_str(), "http://h/a/b/execution/");
        assert_eq!(base.join(["execution", "..", "x/../y?z#w"]).as_str(), "http://h/a/b/execution/x%2F..%2Fy%3Fz%23w");
    }
}
