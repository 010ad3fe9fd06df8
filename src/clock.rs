//! The clock as a parameter, so that tests can set the time of day.

use k8s_openapi::jiff::Timestamp;

/// The time of day: [`Timestamp::now`], except in tests.
pub type Clock = fn() -> Timestamp;
