//! One HTTP request: a deadline, a cap, no redirect, one call of the observer.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use http::HeaderMap;
use tokio::time::{Instant, sleep_until};

use super::client_settings::{Code, Observer, Operation};
use super::error::Error;
use super::trigger_outcome::BodyFault;
use super::unreachable::Unreachable;

/// The longest body of an answer about one thing, in bytes.
pub(crate) const MAX_ANSWER: usize = 1 << 20;
/// The longest body of a page, in bytes.
pub(crate) const MAX_PAGE: usize = 8 << 20;

/// The answer to a request.
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Result<Vec<u8>, BodyFault>,
    report: Report,
}

/// What a request is about, which decides what some statuses mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One object by its id.
    One,
    /// A list, which is always there.
    List,
    /// A token.
    Token,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: nothing of the request was read by the server. With TLS 1.3 it may have been written when the server refuses the client
    /// certificate (docs/protocol.md section 5).
    Connect(Unreachable),
    /// Not in time. Something may have been written.
    Timeout,
    /// Anything else. Something may have been written.
    Broken,
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect(cause) => Self::Unreachable(cause),
            Failure::Timeout => Self::TimedOut,
            Failure::Broken => Self::Interrupted,
        }
    }
}

/// Reports exactly once: when the answer has been understood, or not, and also when the request's future is dropped.
struct Report {
    observer: Option<Observer>,
    operation: Operation,
    begun: Instant,
    code: Code,
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(observer) = &self.observer {
            observer(self.operation, self.code, self.begun.elapsed());
        }
    }
}

/// The deadline has passed.
#[derive(Debug, PartialEq, Eq)]
struct Timeout;

/// Works until the deadline, and not at all after it: a process that was stopped for a while must not go on where it was, and send what it
/// was about to send when it still had a connection to make.
async fn before<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, Timeout> {
    let mut work = pin!(work);
    let in_time = poll_fn(|context| match Instant::now() < deadline {
        true => work.as_mut().poll(context).map(Ok),
        // The clock is asked, because the timer may lag behind it.
        false => Poll::Ready(Err(Timeout)),
    });
    tokio::select! {
        biased;
        () = sleep_until(deadline) => Err(Timeout),
        done = in_time => done,
    }
}

/// Sends one request.
pub(crate) async fn send(
    request: reqwest::RequestBuilder,
    operation: Operation,
    deadline: Instant,
    cap: usize,
    observer: Option<&Observer>,
) -> Result<Reply, Failure> {
    let mut report = Report { observer: observer.cloned(), operation, begun: Instant::now(), code: Code::Cancelled };
    let sent = match before(deadline, request.send()).await {
        Err(Timeout) => Err((Failure::Timeout, Code::Timeout)),
        Ok(Err(e)) if e.is_connect() || e.is_builder() => Err((Failure::Connect(Unreachable::of(&e)), Code::Connect)),
        Ok(Err(e)) if Unreachable::of(&e) == Unreachable::ClientCertificate => {
            Err((Failure::Connect(Unreachable::ClientCertificate), Code::Connect))
        }
        Ok(Err(e)) if e.is_timeout() => Err((Failure::Timeout, Code::Timeout)),
        Ok(Err(_)) => Err((Failure::Broken, Code::Broken)),
        Ok(Ok(response)) => Ok(response),
    };
    let mut response = match sent {
        Ok(response) => response,
        Err((failure, code)) => {
            report.code = code;
            return Err(failure);
        }
    };
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let body = match before(deadline, read(response, cap)).await {
        Err(Timeout) => Err(BodyFault::Timeout),
        Ok(body) => body,
    };
    report.code = match &body {
        Err(fault) if is_success(status) => match fault {
            BodyFault::Broken => Code::Broken,
            BodyFault::Timeout => Code::Timeout,
            BodyFault::TooLarge => Code::TooLarge,
        },
        // What another status means does not depend on its body.
        _ => Code::Status(status),
    };
    Ok(Reply { status, headers, body, report })
}

async fn read(mut response: reqwest::Response, cap: usize) -> Result<Vec<u8>, BodyFault> {
    if response.content_length().is_some_and(|n| usize::try_from(n).map_or(true, |n| n > cap)) {
        return Err(BodyFault::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| BodyFault::Broken)? {
        if body.len().saturating_add(chunk.len()) > cap {
            return Err(BodyFault::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

const fn is_success(status: u16) -> bool {
    matches!(status, 200..=299)
}

impl Reply {
    /// The answer of a 2xx as `read` understands it, or the error that the status stands for.
    pub(crate) fn understood<T>(&mut self, asked: Asked, read: impl FnOnce(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
        let result = self.whole(asked).and_then(read);
        if matches!(result, Err(Error::Malformed { .. })) {
            self.is_malformed();
        }
        result
    }

    /// Counts the answer as one that was not understood.
    pub(crate) const fn is_malformed(&mut self) {
        self.report.code = Code::Malformed;
    }

    fn whole(&self, asked: Asked) -> Result<&[u8], Error> {
        let retry_after = super::decode::retry_after(&self.headers);
        let no_api = |status, fields| Err(Error::NoApi { status, fields });
        match self.status {
            status if is_success(status) => self.body.as_deref().map_err(|fault| match fault {
                BodyFault::Broken => Error::Interrupted,
                BodyFault::Timeout => Error::TimedOut,
                BodyFault::TooLarge => Error::TooLarge,
            }),
            401 => Err(Error::Unauthorized),
            403 => Err(Error::Forbidden),
            400 | 404 if asked == Asked::One => Err(Error::NotFound),
            status @ (404 | 405 | 410 | 300..=399) if asked == Asked::List => no_api(status, "spec.baseUrl"),
            status @ (404 | 405 | 410 | 300..=399) if asked == Asked::Token => no_api(status, "spec.baseUrl and spec.licenseKey.tokenPath"),
            429 => Err(Error::RateLimited { retry_after }),
            status @ (408 | 425 | 500..=599) => Err(Error::Server { status, retry_after }),
            status => Err(Error::Rejected { status }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_after_the_deadline_is_not_done() {
        let deadline = Instant::now().checked_add(Duration::from_secs(60)).unwrap();
        let sent = Cell::new(false);
        let stopped_for = |seconds| {
            let sent = &sent;
            async move {
                tokio::time::advance(Duration::from_secs(seconds)).await;
                sent.set(true);
            }
        };
        assert_eq!(before(deadline, stopped_for(59)).await, Ok(()));
        assert!(sent.take());
        assert_eq!(before(deadline, stopped_for(1)).await, Err(Timeout));
        assert!(!sent.get(), "it was stopped until after the deadline");
    }
}
