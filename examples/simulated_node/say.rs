//! What the demo prints.

/// Text is wrapped to this many characters.
const WIDTH: usize = 96;

/// A heading.
pub(crate) fn chapter(title: &str) {
    println!(
        "\n== {title} {}",
        "=".repeat(WIDTH.saturating_sub(title.len() + 4))
    );
}

/// A paragraph for the reader.
pub(crate) fn explain(text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
            println!("{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    println!("{line}");
}

/// Output of a program or a list of facts, indented.
pub(crate) fn lines(text: &str) {
    for line in text.lines() {
        println!("    {line}");
    }
}
