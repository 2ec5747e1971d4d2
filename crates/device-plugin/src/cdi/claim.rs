//! Whether a file that somebody else wrote speaks of a kind.

/// Whether `text`, JSON or YAML, seems to be a specification of `kind`.
///
/// It looks for a key `kind` with that value, in whatever style it is written. This is no parser:
/// the value may be deeper in the file, or hidden behind an alias of YAML. It serves to warn of two
/// writers, and readers find real conflicts themselves.
pub(super) fn claims(text: &str, kind: &str) -> bool {
    text.match_indices("kind").any(|(at, key)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text.get(at + key.len()..).unwrap_or_default();
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '{' | ','))
            && value(after) == Some(kind)
    })
}

/// The value after a key: `": "value"`, with or without quotes.
fn value(after_key: &str) -> Option<&str> {
    let quote = ['"', '\''];
    let rest = after_key.strip_prefix(quote).unwrap_or(after_key);
    let rest = rest.trim_start().strip_prefix(':')?.trim_start();
    let rest = rest.strip_prefix(quote).unwrap_or(rest);
    let end =
        rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '/'));
    rest.get(..end.unwrap_or(rest.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_in_every_style() {
        for text in [
            "kind: a.b/c",
            "cdiVersion: \"0.5.0\"\nkind: a.b/c\ndevices:\n",
            "kind: 'a.b/c' # ours",
            "\"kind\" : \"a.b/c\"\n",
            r#"{"cdiVersion":"0.5.0","kind":"a.b/c"}"#,
            "{\n  \"kind\":\n    \"a.b/c\",\n}",
            "{kind: a.b/c, devices: []}",
            "{devices: [],kind: a.b/c}",
        ] {
            assert!(claims(text, "a.b/c"), "{text}");
        }
    }

    #[test]
    fn another_kind_is_not_taken_for_ours() {
        for text in [
            "",
            "kind",
            "kind:",
            "kind: a.b/cd",
            "kind: a.b/c-d",
            "kind: xa.b/c",
            "mankind: a.b/c",
            "# a kind of a.b/c",
            "kind = a.b/c",
            "\u{e9}kind: a.b/c",
        ] {
            assert!(!claims(text, "a.b/c"), "{text}");
        }
    }
}
