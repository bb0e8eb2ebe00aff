//! The nearest known name, for "did you mean".

/// The candidate within a third of the name's length in edits, if there is one.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // Names in policies are short; a long one is not a misspelling of anything.
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_ascii_lowercase();
    candidates
        .map(|candidate| (edits(&folded, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(edits, candidate)| *edits * 3 <= candidate.len().max(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements between two names (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, to) in row.iter_mut().skip(1).zip(&b) {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = *cell;
            *cell = replaced.min(left + 1).min(*cell + 1);
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_misspellings_only() {
        let known = ["StringEquals", "StringLike", "Null"];
        assert_eq!(nearest("StringEqual", known.into_iter()), Some("StringEquals"));
        assert_eq!(nearest("stringlke", known.into_iter()), Some("StringLike"));
        assert_eq!(nearest("Frobnicate", known.into_iter()), None);
        assert_eq!(edits("kitten", "sitting"), 3);
    }
}
