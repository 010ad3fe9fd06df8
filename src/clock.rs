//! The clock as a parameter, so that tests can set the time of day.

use k8s_openapi::jiff::Timestamp;

/// What gives the time of day: [`Timestamp::now`], except in tests.
pub type Clock = fn() -> Timestamp;
