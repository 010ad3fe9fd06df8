//! JSON as it was sent: a duplicate key stays visible, and the number of values is bounded.
//!
//! This is a tree of our own because it is smaller and safer than what serde offers for the same rules. `serde_json::Value` keeps the last
//! of two equal keys and has no bound. Derived structs need one struct for each object of the API, two fields for a key with two
//! spellings, an untagged enum wherever a wrong type is tolerated, and a count of the values beforehand. They also copy an answer once
//! for each level of untagged enums.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use nuvo_core::MAX_INTEGER;

/// More values than a page of 8 MiB with sensible entries holds; a bound for what an answer may cost in memory.
const MAX_VALUES: usize = 300_000;

/// A JSON value.
#[derive(Debug)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no `i64`.
    Number,
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// A fixed text that says what is wrong with an answer.
pub(crate) type Reason = &'static str;

impl Json {
    /// Reads a whole body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Reason> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err("the body is empty");
        }
        let left = Cell::new(MAX_VALUES);
        let mut de = serde_json::Deserializer::from_slice(body);
        let value = Seed(&left).deserialize(&mut de).map_err(|e| {
            if left.get() == 0 {
                "the body has too many values"
            } else if e.is_eof() {
                "the JSON is truncated"
            } else {
                "the body is not valid JSON"
            }
        })?;
        de.end().map_err(|_| "the body is not valid JSON")?;
        Ok(value)
    }

    /// The value of a key of an object. `null` counts as absent; a key that stands twice makes the answer unusable.
    pub(crate) fn get(&self, key: &str) -> Result<Option<&Self>, Reason> {
        let Self::Object(entries) = self else { return Ok(None) };
        let mut found = entries.iter().filter(|(k, _)| k == key).map(|(_, v)| v);
        let first = found.next();
        if found.next().is_some() {
            return Err("a key stands twice");
        }
        Ok(first.filter(|v| !matches!(v, Self::Null)))
    }

    /// The first of several spellings of a key that is present.
    pub(crate) fn any(&self, keys: &[&str]) -> Result<Option<&Self>, Reason> {
        let mut first = None;
        for key in keys {
            let value = self.get(key)?;
            first = first.or(value);
        }
        Ok(first)
    }

    /// The text, if this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The truth value, if this is one.
    pub(crate) fn flag(&self) -> Option<bool> {
        if let Self::Bool(flag) = self { Some(*flag) } else { None }
    }

    /// A number that is not negative and can be shown.
    pub(crate) fn count(&self) -> Option<i64> {
        if let Self::Int(n) = self { Some(*n).filter(|n| (0..=MAX_INTEGER).contains(n)) } else { None }
    }
}

struct Seed<'a>(&'a Cell<usize>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        match self.0.get().checked_sub(1) {
            Some(left) if left > 0 => self.0.set(left),
            _ => {
                self.0.set(0);
                return Err(D::Error::custom("too many values"));
            }
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Json, E> {
        Ok(Json::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Json, E> {
        Ok(Json::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Json, E> {
        Ok(i64::try_from(v).map_or(Json::Number, Json::Int))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E>(self, v: &str) -> Result<Json, E> {
        Ok(Json::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Json, E> {
        Ok(Json::Text(v))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element_seed(Seed(self.0))? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            entries.push((key, map.next_value_seed(Seed(self.0))?));
        }
        Ok(Json::Object(entries))
    }
}
