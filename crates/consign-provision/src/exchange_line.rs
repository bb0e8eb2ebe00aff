//! Where in an exchange file something is declared, so that a report can point at the line.

/// The line, from 1, on which the table of a lane says `word`; that of the table's heading where it
/// does not say it (the word has a default) or `word` is empty. A lane of a hub, `orders-p2`, stands
/// in the table it was made from, `orders`; a repository or an inbox in its own. `None` if the text has no such table.
pub fn line_of(exchange_file: &str, lane: &str, word: &str) -> Option<usize> {
    let mut table = lane;
    loop {
        if let Some(line) = line_in(exchange_file, table, word) {
            return Some(line);
        }
        table = table.rsplit_once('-')?.0;
    }
}

fn line_in(exchange_file: &str, lane: &str, word: &str) -> Option<usize> {
    let tables = ["lane", "repository", "inbox"];
    let headings = tables.map(|kind| [format!("[{kind}.{lane}]"), format!("[{kind}.\"{lane}\"]")]);
    let is_heading = |line: &str| {
        let line = line.split('#').next().unwrap_or(line);
        let line: String = line.split_whitespace().collect();
        headings.as_flattened().contains(&line)
    };
    let heading = exchange_file.lines().position(is_heading)?;
    let table = exchange_file.lines().enumerate().skip(heading + 1);
    let mut table = table.take_while(|(_, line)| !line.trim_start().starts_with('['));
    let found = table.find(|(_, line)| {
        line.split_once('=').is_some_and(|(name, _)| name.trim().trim_matches('"') == word)
    });
    Some(found.map_or(heading, |(at, _)| at) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_or_the_heading_of_its_table() {
        let text = "version = 1\n[lane.a] # first\nfrom = \"x\"\n\n[ lane.b ]\n  to = [\"y\"]\nfrom=\"z\"\n";
        for (lane, word, line) in [
            ("a", "from", Some(3)),
            ("a", "to", Some(2)),
            ("a", "", Some(2)),
            ("b", "from", Some(7)),
            ("b", "to", Some(6)),
            ("b-p2", "to", Some(6)),
            ("c", "to", None),
            ("c-b", "to", None),
        ] {
            assert_eq!(line_of(text, lane, word), line, "{lane} {word}");
        }
    }
}
