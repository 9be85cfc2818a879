//! Payloads: any JSON object, and paths into it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Error, Result};

/// A point's payload: any JSON object.
pub type Payload = serde_json::Map<String, serde_json::Value>;
/// A payload value.
pub type Value = serde_json::Value;

/// One step of a [`PayloadPath`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PathStep {
    /// The value of a key of an object.
    Key(String),
    /// One element of an array.
    Index(usize),
    /// Every element of an array.
    Each,
}

/// A path to values of a payload: `a.b`, `a[].b`, `a[0]`, `"a key with . in it".b`.
///
/// A path may lead to many values: `[]` fans out over an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PayloadPath {
    steps: Vec<PathStep>,
}

impl PayloadPath {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`Error::InvalidPayload`] when the path is empty, has an empty key, or unbalanced quotes or brackets.
    pub fn parse(text: &str) -> Result<Self> {
        PathParser { text, rest: text }.parse()
    }

    /// The path of one key, whatever characters it has.
    pub(super) fn key(name: &str) -> Self {
        Self { steps: vec![PathStep::Key(name.to_owned())] }
    }

    /// The steps, outermost first; the first is always a key.
    pub fn steps(&self) -> &[PathStep] {
        &self.steps
    }

    /// The path with another one behind it.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self { steps: self.steps.iter().chain(&inner.steps).cloned().collect() }
    }

    /// The path with `[]` behind it, unless it ends with one.
    #[must_use]
    pub fn each(&self) -> Self {
        let mut steps = self.steps.clone();
        if steps.last() != Some(&PathStep::Each) {
            steps.push(PathStep::Each);
        }
        Self { steps }
    }
}

struct PathParser<'a> {
    text: &'a str,
    rest: &'a str,
}

impl PathParser<'_> {
    fn fail<T>(&self, reason: &str) -> Result<T> {
        let text: String = self.text.chars().take(80).collect();
        Err(Error::InvalidPayload { reason: format!("path `{text}`: {reason}") })
    }

    fn parse(mut self) -> Result<PayloadPath> {
        let mut steps = Vec::new();
        loop {
            steps.push(PathStep::Key(self.key()?));
            while let Some(inside) = self.rest.strip_prefix('[') {
                let Some((index, after)) = inside.split_once(']') else { return self.fail("`[` without `]`") };
                steps.push(match (index, index.parse()) {
                    ("", _) => PathStep::Each,
                    (_, Ok(index)) => PathStep::Index(index),
                    (_, Err(_)) => return self.fail("an array index must be a number"),
                });
                self.rest = after;
            }
            match self.rest.strip_prefix('.') {
                Some(after) => self.rest = after,
                None if self.rest.is_empty() => return Ok(PayloadPath { steps }),
                None => return self.fail("expected `.`, `[` or the end"),
            }
        }
    }

    fn key(&mut self) -> Result<String> {
        if let Some(quoted) = self.rest.strip_prefix('"') {
            let Some((key, after)) = quoted.split_once('"') else { return self.fail("a quote is not closed") };
            self.rest = after;
            return Ok(key.to_owned());
        }
        let end = self.rest.find(['.', '[', ']', '"']).unwrap_or(self.rest.len());
        if end == 0 {
            return self.fail("a key is empty");
        }
        let (key, after) = self.rest.split_at(end);
        self.rest = after;
        Ok(key.to_owned())
    }
}

impl fmt::Display for PayloadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.steps.iter().enumerate() {
            match step {
                PathStep::Key(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    let quote = if key.is_empty() || key.contains(['.', '[', ']']) { "\"" } else { "" };
                    write!(f, "{dot}{quote}{key}{quote}")?;
                }
                PathStep::Index(index) => write!(f, "[{index}]")?,
                PathStep::Each => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for PayloadPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Serialize for PayloadPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PayloadPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A place on the earth, in degrees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GeoPoint {
    /// Longitude, -180 to 180.
    pub lon: f64,
    /// Latitude, -90 to 90.
    pub lat: f64,
}

impl GeoPoint {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`Error::InvalidPayload`] when a coordinate is out of range or not a number.
    pub fn new(lon: f64, lat: f64) -> Result<Self> {
        if (-180.0..=180.0).contains(&lon) && (-90.0..=90.0).contains(&lat) {
            Ok(Self { lon, lat })
        } else {
            Err(Error::InvalidPayload { reason: format!("no place on the earth: longitude {lon}, latitude {lat}") })
        }
    }
}

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DateTime(pub i64);

impl DateTime {
    /// Reads RFC 3339, also with a space for the `T`, without seconds, without a zone (then UTC), or a date alone.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(moment) = text.parse::<jiff::Timestamp>() {
            return Some(Self(moment.as_microsecond()));
        }
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        let moment = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
        Some(Self(moment.as_microsecond()))
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => write!(f, "{moment}"),
            Err(_) => write!(f, "{} µs", self.0),
        }
    }
}

/// Payloads inside binary formats: as JSON text, since a self-describing value has no fixed binary shape.
pub(crate) mod as_json_text {
    use super::{Deserialize, Deserializer, Payload, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(payload: &Payload, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return payload.serialize(serializer);
        }
        serde_json::to_string(payload).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
        if deserializer.is_human_readable() {
            return Payload::deserialize(deserializer);
        }
        let text = String::deserialize(deserializer)?;
        if text == "{}" {
            return Ok(Payload::new());
        }
        serde_json::from_str(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_parse_and_print_back() {
        for text in ["a", "a.b", "a[].b", "a[0]", "a[][3].b", "\"a.b\".c", "ключ.b"] {
            let path = PayloadPath::parse(text).expect(text);
            assert_eq!(path.to_string(), text);
        }
        for text in ["", ".a", "a.", "a..b", "a[", "a[x]", "\"a", "a]b", "[]"] {
            assert!(PayloadPath::parse(text).is_err(), "{text} should be refused");
        }
    }

    #[test]
    fn datetimes_accept_the_forms_of_the_wire() {
        let noon = DateTime::parse("2020-03-01T12:00:00Z").expect("zulu");
        for text in ["2020-03-01T12:00:00", "2020-03-01 12:00:00", "2020-03-01T14:00:00+02:00", "2020-03-01T12:00", "2020-03-01 12:00:00Z"]
        {
            assert_eq!(DateTime::parse(text), Some(noon), "{text}");
        }
        assert_eq!(DateTime::parse("2020-03-01"), DateTime::parse("2020-03-01T00:00:00Z"));
        assert_eq!(DateTime::parse("yesterday"), None);
    }
}
