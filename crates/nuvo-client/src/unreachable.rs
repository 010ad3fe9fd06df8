//! Why no connection to nuvo could be made.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why no connection could be made: nothing of the request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unreachable {
    /// The name cannot be resolved.
    Name,
    /// Nothing listens there, or a firewall refuses.
    Refused,
    /// The network knows no way.
    NoRoute,
    /// Not in time.
    Timeout,
    /// The certificate was issued by an authority that is not trusted.
    UnknownAuthority,
    /// The certificate is for another name.
    WrongName,
    /// The certificate is no longer valid.
    Expired,
    /// The certificate is not valid yet.
    NotValidYet,
    /// The certificate, or one that it was issued with, is signed in a way that is not understood.
    Algorithm,
    /// The certificate is wrong in another way.
    Certificate,
    /// The server wants a client certificate, or another one.
    ClientCertificate,
    /// What answers is no TLS.
    NotTls,
    /// The server ended the connection during the handshake.
    Broken,
    /// The TLS handshake failed in another way.
    Tls,
    /// Anything else.
    Other,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "its name cannot be resolved",
            Self::Refused => "the connection was refused",
            Self::NoRoute => "there is no route to it",
            Self::Timeout => "there was no connection in time",
            Self::UnknownAuthority => "its certificate is from an unknown authority",
            Self::WrongName => "its certificate is for another name",
            Self::Expired => "its certificate has expired",
            Self::NotValidYet => "its certificate is not valid yet",
            Self::Algorithm => "its certificate is signed with an algorithm that is not supported (such as ECDSA with SHA-512 or P-521)",
            Self::Certificate => "its certificate is not valid",
            Self::ClientCertificate => "it does not accept the client certificate, or wants one",
            Self::NotTls => "it does not answer with TLS (is the port the right one?)",
            Self::Broken => "it ended the connection during the handshake",
            Self::Tls => "the TLS handshake failed",
            Self::Other => "there was no connection",
        })
    }
}

impl Unreachable {
    /// The reason of a request that failed because there was no connection.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        if error.is_dns() {
            return Self::Name;
        }
        if error.is_timeout() {
            return Self::Timeout;
        }
        let mut kind = None;
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(cause) = next {
            if let Some(error) = cause.downcast_ref::<rustls::Error>() {
                return Self::of_tls(error);
            }
            next = match cause.downcast_ref::<io::Error>() {
                // Its source would be that of what it wraps.
                Some(error) => {
                    kind = Some(error.kind());
                    error.get_ref().map(|wrapped| wrapped as &(dyn StdError + 'static))
                }
                None => cause.source(),
            };
        }
        kind.map_or(Self::Other, Self::of_io)
    }

    const fn of_io(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::NoRoute,
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof => Self::Broken,
            _ => Self::Other,
        }
    }

    const fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::AlertReceived(
                AlertDescription::AccessDenied
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRequired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::UnsupportedCertificate,
            ) => Self::ClientCertificate,
            _ => Self::Tls,
        }
    }

    const fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotValidYet,
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => Self::Algorithm,
            _ => Self::Certificate,
        }
    }
}
