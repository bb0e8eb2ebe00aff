//! `--filter-files`: patterns with `*`, which stands for anything, slashes included.

use consign_model::RelativePath;

/// Patterns, of which one must fit. Without any, everything fits.
///
/// s3s2 reads a pattern without `*` as a regular expression, so that `a.csv` fits `a_csv` too; here it is
/// a name.
#[derive(Clone, Debug, Default)]
pub struct Wildcards(Vec<String>);

impl Wildcards {
    /// Patterns between commas.
    pub fn parse(text: &str) -> Wildcards {
        Wildcards(text.split(',').filter(|p| !p.is_empty()).map(str::to_owned).collect())
    }

    /// Whether a file is wanted.
    pub fn fit(&self, name: &RelativePath) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| fits(pattern, name.as_str()))
    }
}

/// The pieces between the stars must follow each other: the first at the beginning, the last at the end,
/// each other one as early as it can. No backtracking, so no pattern is slow.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(name) = name.strip_prefix(first) else { return false };
    let Some(mut name) = name.strip_suffix(last) else { return false };
    for piece in middle.split('*') {
        let Some(at) = name.find(piece) else { return false };
        name = name.get(at + piece.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, fit) in [
            ("a.csv", "a.csv", true),
            ("a.csv", "a_csv", false),
            ("*", "anything/at/all", true),
            ("*/SalesDB*", "x/y/SalesDB2014", true),
            ("*/SalesDB*", "SalesDB2014", false),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*.csv,*.txt", "x.txt", true),
            ("*.csv,*.txt", "x.pdf", false),
            ("", "x", true),
        ] {
            let name = RelativePath::parse(name).unwrap();
            assert_eq!(Wildcards::parse(pattern).fit(&name), fit, "{pattern} on {name}");
        }
    }
}
