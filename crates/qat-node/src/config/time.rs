//! A time as people write it.

use std::time::Duration;

/// Reads a time such as `5s`, `500ms`, `2m`; a bare number counts seconds.
///
/// # Errors
///
/// A sentence that names the forms when `text` is none of them, or is shorter than 10 ms or longer
/// than a day.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => Some(1),
        "s" | "" => Some(1_000),
        "m" => Some(60_000),
        _ => None,
    };
    let millis = scale.and_then(|scale| number.parse::<u64>().ok()?.checked_mul(scale));
    match millis {
        Some(millis @ 10..=86_400_000) => Ok(Duration::from_millis(millis)),
        _ => Err(format!(
            "`{text}` is no time from 10ms to a day, such as 5s, 500ms or 2m"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(parse_time("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_time("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(parse_time("7"), Ok(Duration::from_secs(7)));
        for bad in [
            "",
            "s",
            "0s",
            "1h",
            "-1s",
            "99999999999999999999s",
            "1e3",
            "5 s",
        ] {
            assert!(parse_time(bad).is_err(), "{bad}");
        }
    }
}
