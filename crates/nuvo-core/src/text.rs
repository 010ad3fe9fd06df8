//! Text from outside: made safe for logs, statuses and terminals.

/// Text that does nothing to the terminal it is shown on, whoever wrote it: without control, format and bidirectional characters.
/// White space becomes one blank, and a terminal sequence is removed as a whole.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            chars.next();
            // A control sequence ends with a letter or one of @[\]^_`{|}~.
            while let Some(next) = chars.next_if(|n| matches!(n, ' '..='~')) {
                if matches!(next, '@'..='~') {
                    break;
                }
            }
        } else if c.is_whitespace() {
            if !out.ends_with(' ') {
                out.push(' ');
            }
        } else if !(c.is_control() || invisible(c)) {
            out.push(c);
        }
    }
    out
}

/// What Unicode calls ignorable (`Default_Ignorable_Code_Point`), which may stand inside a word and is not seen, and the annotation marks.
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The first characters of a text, at most `max`.
#[must_use]
pub fn truncated(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

/// A text with the stop that ends a sentence.
#[must_use]
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '!', '?']) { text.to_owned() } else { format!("{text}.") }
}
