//! The end of the demo as a picture, for README.md.

use std::fmt::Write as _;

const FONT_SIZE: usize = 14;
const LINE_HEIGHT: usize = 20;
/// Of a character in the usual monospace fonts, in thousandths of the font size.
const CHARACTER_WIDTH: usize = 602;
const MARGIN: usize = 16;
const BACKGROUND: &str = "#0d1117";
const FOREGROUND: &str = "#e6edf3";
/// Words that stand out, with their colors.
const COLORS: [(&str, &str); 2] = [("Succeeded", "#3fb950"), ("Failed", "#f85149")];

/// An SVG of what a terminal shows.
pub fn svg(lines: &str) -> String {
    let longest = lines.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    let width = longest.saturating_mul(FONT_SIZE).saturating_mul(CHARACTER_WIDTH).div_ceil(1000).saturating_add(MARGIN.saturating_mul(2));
    let height = lines.lines().count().saturating_mul(LINE_HEIGHT).saturating_add(MARGIN.saturating_mul(2));
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"{FONT_SIZE}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{BACKGROUND}\"/>\n"
    );
    let mut baseline = MARGIN.saturating_add(FONT_SIZE);
    for line in lines.lines() {
        let text = COLORS
            .iter()
            .fold(escaped(line.trim_end()), |text, (word, color)| text.replace(word, &format!("<tspan fill=\"{color}\">{word}</tspan>")));
        // Writing to a String cannot fail.
        let _ = writeln!(picture, "<text x=\"{MARGIN}\" y=\"{baseline}\" fill=\"{FOREGROUND}\" xml:space=\"preserve\">{text}</text>");
        baseline = baseline.saturating_add(LINE_HEIGHT);
    }
    picture.push_str("</svg>\n");
    picture
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::svg;

    #[test]
    fn lines_keep_their_columns_and_are_text_of_the_picture() {
        let picture = svg("$ a <b> & c   \nNAME     STATUS\norders   Succeeded\nledger   Failed\n");
        assert!(picture.contains(">$ a &lt;b&gt; &amp; c</text>"), "{picture}");
        assert!(picture.contains(r##">orders   <tspan fill="#3fb950">Succeeded</tspan></text>"##), "{picture}");
        assert!(picture.contains(r##">ledger   <tspan fill="#f85149">Failed</tspan></text>"##), "{picture}");
        assert_eq!(picture.matches("<text ").count(), 4);
        assert!(picture.contains("height=\"112\""), "{picture}");
    }
}
