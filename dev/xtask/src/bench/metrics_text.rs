//! Reads samples from the text that `/metrics` serves.

use std::collections::BTreeMap;

/// The samples of an exposition: the sum over those of this name whose labels contain all of these, as they are written.
pub fn sum(exposition: &str, name: &str, labels: &[&str]) -> f64 {
    let values = samples(exposition, name).filter(|(found, _)| labels.iter().all(|label| found.contains(label)));
    values.map(|(_, value)| value).sum()
}

/// The samples of a name, added up by the values of these labels.
pub fn by_labels<const N: usize>(exposition: &str, name: &str, labels: [&str; N]) -> BTreeMap<[String; N], f64> {
    let mut sums: BTreeMap<[String; N], f64> = BTreeMap::new();
    for (found, value) in samples(exposition, name) {
        *sums.entry(labels.map(|label| label_of(found, label))).or_default() += value;
    }
    sums
}

fn samples<'a>(exposition: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
    exposition.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = if rest.starts_with('{') { rest.rsplit_once('}')? } else { ("", rest.strip_prefix(' ')?) };
        Some((labels, value.split_whitespace().next()?.parse().ok()?))
    })
}

fn label_of(labels: &str, name: &str) -> String {
    let value = labels.split(['{', ',']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"'));
    value.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSITION: &str =
        "# TYPE a counter\na_total{verb=\"GET\",code=\"200\"} 2\na_total{verb=\"GET\",code=\"404\"} 1\na_total_more 7\nb 1.5\n";

    #[test]
    fn samples_of_one_name_are_summed_by_label() {
        assert!((sum(EXPOSITION, "a_total", &["verb=\"GET\""]) - 3.0).abs() < f64::EPSILON);
        assert!((sum(EXPOSITION, "b", &[]) - 1.5).abs() < f64::EPSILON);
        let by_code = by_labels(EXPOSITION, "a_total", ["code"]);
        assert_eq!(by_code.into_iter().map(|([code], _)| code).collect::<Vec<_>>(), ["200", "404"]);
    }
}
