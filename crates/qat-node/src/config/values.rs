//! Values as people write them.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use qat_policy::ServiceSet;
use qat_policy::provision::{DriverGoal, VfDriver};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use sysfs_pci::NumaNode;

use super::time::parse_time;
use crate::pools::Numbering;

/// One word, or a list of some.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a word or a list of words")]
enum Words {
    One(String),
    Many(Vec<String>),
}

impl Words {
    fn list(self) -> Vec<String> {
        match self {
            Self::One(word) => vec![word],
            Self::Many(words) => words,
        }
    }
}

/// `true`, or `on`, which is a text in YAML 1.2.
#[derive(Deserialize)]
#[serde(untagged)]
enum Switch {
    Bool(bool),
    Text(String),
}

/// A number, or a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Number(u64),
    Text(String),
}

/// A time as people write it.
pub(super) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let time = text.map(|text| parse_time(&text).map_err(D::Error::custom));
    time.transpose()
}

/// A value whose own error says what is allowed.
pub(super) fn word<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    let value = text.map(|text| text.parse().map_err(D::Error::custom));
    value.transpose()
}

/// The same, where a number may be meant: `3` is no text in YAML.
pub(super) fn scalar<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = match Option::<Scalar>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Scalar::Number(number)) => number.to_string(),
        Some(Scalar::Text(text)) => text,
    };
    text.parse().map(Some).map_err(D::Error::custom)
}

pub(super) fn numa_node<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NumaNode>, D::Error> {
    Ok(Option::<u32>::deserialize(deserializer)?.map(NumaNode::new))
}

/// One value, or a list of some, whose own errors say what is allowed.
pub(super) fn several<'de, D, C>(deserializer: D) -> Result<C, D::Error>
where
    D: Deserializer<'de>,
    C: IntoIterator<Item: FromStr<Err: Display>> + FromIterator<C::Item>,
{
    let none = || C::from_iter([]);
    several_if(deserializer).map(|values| values.unwrap_or_else(none))
}

/// The same, where to say nothing is not to say that there are none.
pub(super) fn several_if<'de, D, C>(deserializer: D) -> Result<Option<C>, D::Error>
where
    D: Deserializer<'de>,
    C: IntoIterator<Item: FromStr<Err: Display>> + FromIterator<C::Item>,
{
    let words = Option::<Words>::deserialize(deserializer)?;
    let values = words.map(|words| words.list().iter().map(|word| word.parse()).collect());
    values.transpose().map_err(D::Error::custom)
}

/// `none`, or the start of variables.
pub(super) fn prefix<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Numbering>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None => Ok(None),
        Some("none") => Ok(Some(Numbering::Off)),
        Some(text) => text
            .parse()
            .map(|prefix| Some(Numbering::With(prefix)))
            .map_err(D::Error::custom),
    }
}

/// A mode as people write it, in octal digits between quotes. A bare number could be either.
pub(super) fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let octal = u32::from_str_radix(&text, 8)
        .ok()
        .filter(|_| !text.starts_with('+'));
    octal.map(Some).ok_or_else(|| {
        D::Error::custom(format!(
            "`{text}` is no mode; write octal digits in quotes, such as \"0660\""
        ))
    })
}

pub(super) fn services<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<ServiceSet>, D::Error> {
    let Some(words) = Option::<Words>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let text = words.list().join(";");
    text.parse().map(Some).map_err(D::Error::custom)
}

pub(super) fn on_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Option::<Switch>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Switch::Bool(on)) => Ok(Some(on)),
        Some(Switch::Text(text)) => match text.as_str() {
            "on" => Ok(Some(true)),
            "off" => Ok(Some(false)),
            _ => Err(D::Error::custom(format!("`{text}` is neither on nor off"))),
        },
    }
}

pub(super) fn driver<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<DriverGoal>, D::Error> {
    match Option::<String>::deserialize(deserializer)?.as_deref() {
        None => Ok(None),
        Some("keep") => Ok(Some(DriverGoal::Keep)),
        Some(text) => text
            .parse::<VfDriver>()
            .map(|driver| Some(DriverGoal::To(driver)))
            .map_err(|error| D::Error::custom(format!("{error}, keep"))),
    }
}
