//! Panels as an SVG: a large value, or lines with their legends.

use std::fmt::Write as _;

use super::panels::{Line, Panel, Results};

/// The width of a column and the height of a row of the grid.
const COLUMN: f64 = 40.0;
const ROW: f64 = 17.0;
const GAP: f64 = 6.0;
const HEADING: f64 = 28.0;
const LEGEND: f64 = 32.0;
/// For the values beside a plot.
const AXIS: f64 = 58.0;
const BACKGROUND: &str = "#111217";
const PANEL: &str = "#181b1f";
const TEXT: &str = "#ccccdc";
const FAINT: &str = "#8e8e9d";
const GRID: &str = "#2c3235";
/// How titles differ from other texts.
pub const TITLE: &str = " font-weight=\"600\"";
const COLORS: [&str; 8] = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0"];
/// Characters of a legend that fit into one of its two lines.
const LEGEND_LINE: usize = 72;
const CAPTION: &str = "Two minutes of the operator beside a simulator of nuvo: the queries of the dashboard, evaluated by Prometheus and drawn \
                       by cargo xtask dashboard. Grafana draws more.";

/// The dashboard.
pub fn svg(panels: &[Panel], results: &Results) -> String {
    let below = panels.iter().map(|panel| panel.grid_pos.y.saturating_add(panel.grid_pos.h)).max().unwrap_or_default();
    let (width, height) = (COLUMN * 24.0 + GAP, ROW * f64::from(below) + GAP + HEADING);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"Inter, Helvetica, Arial, sans-serif\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    for (panel, lines) in panels.iter().zip(&results.lines) {
        draw(&mut picture, panel, lines, results.window);
    }
    put(&mut picture, [GAP + 2.0, height - 10.0], FAINT, "", CAPTION);
    picture.push_str("</svg>\n");
    picture
}

/// What a line of text may not have in XML.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn draw(picture: &mut String, panel: &Panel, lines: &[Line], window: [f64; 2]) {
    let place = &panel.grid_pos;
    let [left, top] = [COLUMN * f64::from(place.x) + GAP, ROW * f64::from(place.y) + GAP];
    let [width, height] = [COLUMN * f64::from(place.w) - GAP, ROW * f64::from(place.h) - GAP];
    if panel.is_row() {
        return put(picture, [left + 2.0, top + 10.0], TEXT, TITLE, &panel.title);
    }
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        picture,
        "<rect class=\"panel\" x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" rx=\"3\" fill=\"{PANEL}\"/>"
    );
    put(picture, [left + 8.0, top + 15.0], TEXT, TITLE, &panel.title);
    let inner = Area { left: left + AXIS, top: top + HEADING, right: left + width - 10.0, bottom: top + height - LEGEND };
    let last = lines.iter().filter_map(|line| line.points.last()).map(|[_, value]| *value).next();
    match last {
        None => put(picture, [left + width / 2.0 - 20.0, top + height / 2.0 + 8.0], FAINT, "", "No data"),
        Some(value) if panel.kind == "stat" => {
            let color = match panel.color(value) {
                Some("green") => "#73bf69",
                Some("red") => "#f2495c",
                _ => TEXT,
            };
            put(picture, [left + width / 2.0 - 10.0, top + height / 2.0 + 18.0], color, " font-size=\"26\"", &worded(value, panel.unit()));
        }
        Some(_) => plot(picture, &inner, panel.unit(), lines, window),
    }
}

struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

fn plot(picture: &mut String, area: &Area, unit: &str, lines: &[Line], [first, last]: [f64; 2]) {
    let values = || lines.iter().flat_map(|line| &line.points).map(|[_, value]| *value);
    let lowest = values().fold(0.0, f64::min);
    let highest = rounded_up(values().fold(0.0, f64::max));
    let y = |value: f64| area.bottom - (value - lowest) / (highest - lowest) * (area.bottom - area.top);
    let x = |time: f64| area.left + (time - first) / (last - first).max(1.0) * (area.right - area.left);
    for value in [lowest, f64::midpoint(lowest, highest), highest] {
        let height = y(value);
        let _ = writeln!(
            picture,
            "<line x1=\"{:.0}\" x2=\"{:.0}\" y1=\"{height:.1}\" y2=\"{height:.1}\" stroke=\"{GRID}\"/>",
            area.left, area.right
        );
        put(picture, [area.left - 6.0, height + 3.5], FAINT, " text-anchor=\"end\"", &worded(value, unit));
    }
    let mut legend = Legend { left: area.left, baseline: area.bottom + 14.0, column: 0, line: 0 };
    for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
        let points: Vec<String> = line.points.iter().map(|[time, value]| format!("{:.0},{:.1}", x(*time), y(*value))).collect();
        let _ = writeln!(picture, "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\"/>", points.join(" "));
        legend.put(picture, color, &line.legend);
    }
}

/// Two lines below a plot.
struct Legend {
    left: f64,
    baseline: f64,
    column: usize,
    line: usize,
}

impl Legend {
    fn put(&mut self, picture: &mut String, color: &str, text: &str) {
        let length = text.chars().count().saturating_add(3);
        if self.column > 0 && self.column.saturating_add(length) > LEGEND_LINE {
            self.column = 0;
            self.line = self.line.saturating_add(1);
        }
        // What does not fit is drawn, and not named.
        if self.line > 1 {
            return;
        }
        let left = self.left + self.column as f64 * 5.6;
        put(picture, [left, self.baseline + self.line as f64 * 12.0], color, "", text);
        self.column = self.column.saturating_add(length);
    }
}

fn put(picture: &mut String, [x, y]: [f64; 2], color: &str, more: &str, text: &str) {
    let _ = writeln!(picture, "<text x=\"{x:.0}\" y=\"{y:.1}\" fill=\"{color}\"{more}>{}</text>", escaped(text));
}

/// The next number that people like: 1, 2 or 5 times a power of ten.
fn rounded_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * power).find(|step| *step >= value).unwrap_or(value)
}

/// A value with its unit, as short as it can be.
fn worded(value: f64, unit: &str) -> String {
    let (value, suffix) = match unit {
        "s" if value != 0.0 && value.abs() < 1.0 => (value * 1_000.0, " ms"),
        "s" => (value, " s"),
        "reqps" => (value, " req/s"),
        "wps" => (value, " wr/s"),
        "ops" => (value, " ops/s"),
        _ => (value, ""),
    };
    let text = if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") };
    format!("{}{suffix}", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::{rounded_up, svg, worded};
    use crate::dashboard::panels::{Line, Results, read};

    #[test]
    fn axis_ends_at_a_round_number() {
        assert_eq!([0.0, 0.3, 1.0, 7.0, 120.0].map(rounded_up), [1.0, 0.5, 1.0, 10.0, 200.0]);
    }

    #[test]
    fn values_have_units() {
        let words = [(0.0, "short"), (0.25, "s"), (14.0, "s"), (0.5, "reqps"), (5.04, "short")].map(|(value, unit)| worded(value, unit));
        assert_eq!(words, ["0", "250 ms", "14 s", "0.5 req/s", "5.04"]);
    }

    #[test]
    fn panel_shows_its_lines_and_says_when_it_has_none() {
        let panel = |kind: &str, title: &str| {
            format!(
                r#"{{"title": "{title}", "type": "{kind}", "gridPos": {{"x": 0, "y": 0, "w": 12, "h": 8}}, "targets": [],
                "fieldConfig": {{"defaults": {{"unit": "short"}}}}}}"#
            )
        };
        let panels = [("stat", "a & b"), ("timeseries", "lines"), ("timeseries", "none")].map(|(kind, title)| panel(kind, title));
        let dashboard = read(&format!(r#"{{"panels": [{}]}}"#, panels.join(","))).unwrap();
        let line = |legend: &str| Line { legend: legend.into(), points: vec![[0.0, 1.0], [1_000.0, 2.0]] };
        let results = Results { window: [0.0, 1_000.0], lines: vec![vec![line("")], vec![line("one"), line("<two>")], vec![]] };
        let picture = svg(&dashboard.panels, &results);
        for shown in [">a &amp; b<", ">2<", ">one<", ">&lt;two&gt;<", ">No data<"] {
            assert!(picture.contains(shown), "{shown}: {picture}");
        }
        assert_eq!((picture.matches("<polyline").count(), picture.matches("class=\"panel\"").count()), (2, 3), "{picture}");
    }
}
