//! What was probably meant.

/// Adds to a message on an unknown word the nearest of those that it says were expected, at the end of its first line.
pub(super) fn suggest(message: &str) -> String {
    let (first, rest) = message
        .split_once('\n')
        .map_or((message, ""), |(first, _)| (first, &message[first.len()..]));
    match nearest(first) {
        Some(word) => format!("{first}; did you mean `{word}`?{rest}"),
        None => message.to_owned(),
    }
}

/// The expected word that is nearest to the unknown one, if it is near.
fn nearest(line: &str) -> Option<&str> {
    let (unknown, expected) = line.split_once(", expected ")?;
    let (_, typed) = unknown.split_once("unknown ")?;
    let typed = typed.split('`').nth(1)?;
    let words = expected.strip_prefix("one of ").unwrap_or(expected);
    let words = words.split(", ").map(|word| word.trim_matches('`'));
    let distance = |word: &&str| strsim::damerau_levenshtein(typed, word);
    let nearest = words.min_by_key(distance)?;
    // Half of a word that is right is no accident.
    (distance(&nearest) * 2 <= typed.len().max(nearest.len())).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn the_nearest_word_is_named() {
        let message =
            "line 2 column 1: unknown field `poolz`, expected one of version, pools, health";
        let with = format!("{message}; did you mean `pools`?");
        assert_eq!(suggest(message), with);
        let snippet = "\n --> <input>:2:1";
        assert_eq!(suggest(&(message.to_owned() + snippet)), with + snippet);
        let quoted = "unknown variant `filed`, expected one of `off`, `spec`, `field`";
        assert!(suggest(quoted).ends_with("did you mean `field`?"));
        for other in [
            "unknown field `x`, expected one of version, pools",
            "unknown field `x`, there are no fields",
            "mapping values are not allowed here",
            "unknown field ",
            "",
        ] {
            assert_eq!(suggest(other), other);
        }
    }
}
