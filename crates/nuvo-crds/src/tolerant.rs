//! Deserializers that accept stored words which this version does not know.

use serde::{Deserialize, Deserializer};

/// A word from a newer version must not make the object unreadable: one such object would stall the watch of all of them.
pub(super) fn known_or_none<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let value = Option::<serde_json::Value>::deserialize(deserializer)?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// The same with a default.
pub(super) fn known_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: serde::de::DeserializeOwned + Default,
{
    Ok(known_or_none(deserializer)?.unwrap_or_default())
}
