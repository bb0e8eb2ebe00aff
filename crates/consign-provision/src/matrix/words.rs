//! What the exchange file says about an operation, in its own words: the table, and the field of it that
//! a rule follows from.

use super::Rule;
use crate::desired::DesiredLane;
use crate::stage::Stage;

/// The word of a lane's table that a rule follows from.
pub(crate) fn declared_by(rule: Rule, lane: &DesiredLane) -> &'static str {
    if let Some(word) = of_stage(rule, lane) {
        return word;
    }
    match rule {
        Rule::Writer => "from",
        Rule::Readers => "to",
        Rule::Nobody => "",
        Rule::Administrators | Rule::AdministratorsNeverParties | Rule::WriterAndAdministrators => {
            "owner"
        }
        // Not of an ordinary lane.
        Rule::KeyAdministrators | Rule::Scanner | Rule::Consumers | Rule::Parties => "",
    }
}

pub(crate) fn rule_words(rule: Rule, lane: &DesiredLane) -> String {
    if let Some(words) = words_of_stage(rule, lane) {
        return words;
    }
    let at = format!("[lane.{}]", lane.name);
    let readers: Vec<String> = lane.readers.iter().map(|it| format!("\"{}\"", it.party)).collect();
    match rule {
        Rule::Writer => format!("{at} from = \"{}\"", lane.writer.party),
        Rule::Readers => format!("{at} to = [{}]", readers.join(", ")),
        Rule::Nobody => format!("{at} is safe by default: nobody may"),
        Rule::AdministratorsNeverParties
        | Rule::Administrators
        | Rule::KeyAdministrators
        | Rule::Scanner
        | Rule::Consumers
        | Rule::Parties => {
            format!("{at} owner = \"{}\": its administrators alone", lane.owner_party)
        }
        Rule::WriterAndAdministrators => format!(
            "{at} from = \"{}\", owner = \"{}\": the writer and the owner's administrators",
            lane.writer.party, lane.owner_party
        ),
    }
}

/// The word of the table that a rule follows from; `None` for an ordinary lane.
fn of_stage(rule: Rule, lane: &DesiredLane) -> Option<&'static str> {
    let word = match (&lane.stage, rule) {
        (Stage::Direct, _) => return None,
        (_, Rule::Nobody) => "",
        (Stage::Repository(_), Rule::Writer) => "generator",
        (Stage::Repository(_), Rule::Readers) => "publisher",
        // Who delivers is said where the routes begin.
        (Stage::Inbox(_), Rule::Writer) => "",
        (Stage::Inbox(_), Rule::Readers) => "consumers",
        (_, Rule::Consumers | Rule::Parties) => "consumers",
        (_, Rule::Scanner) => "quarantine",
        (_, Rule::KeyAdministrators) => "key",
        (
            _,
            Rule::Administrators | Rule::AdministratorsNeverParties | Rule::WriterAndAdministrators,
        ) => "owner",
    };
    Some(word)
}

/// What the exchange file says, in its words; `None` for an ordinary lane.
fn words_of_stage(rule: Rule, lane: &DesiredLane) -> Option<String> {
    let word = lane.stage.word();
    let at = format!("[{word}.{}]", lane.name);
    let scanner = lane.scanner().map(|it| it.party.to_string()).unwrap_or_default();
    let readers = lane.readers.iter().filter(|it| it.party.as_ref() != scanner);
    let readers: Vec<String> = readers.map(|it| format!("\"{}\"", it.party)).collect();
    let writer = &lane.writer.party;
    Some(match (&lane.stage, rule) {
        (Stage::Direct, _) => return None,
        (_, Rule::Nobody) => format!("{at} is safe by default: nobody may"),
        (Stage::Repository(_), Rule::Writer) => format!("{at} generator = \"{writer}\""),
        (Stage::Repository(_), Rule::Readers) => format!("{at} publisher = {}", readers.concat()),
        (Stage::Inbox(_), Rule::Writer) => {
            format!("{at} is filled by `{writer}`, the publisher of what routes lead here")
        }
        (Stage::Inbox(_), Rule::Readers) => format!("{at} consumers = [{}]", readers.join(", ")),
        (_, Rule::Consumers) => format!("{at} consumers = [{}]", readers.join(", ")),
        (_, Rule::Parties) => {
            format!("{at} consumers = [{}], and `{writer}`, who fills it", readers.join(", "))
        }
        (_, Rule::Scanner) => format!("{at} quarantine = \"{scanner}\""),
        (_, Rule::KeyAdministrators) => {
            format!("{at} key = \"{}\": its administrators alone", lane.key_owner_party)
        }
        (_, Rule::Administrators | Rule::AdministratorsNeverParties) => {
            format!("{at} owner = \"{}\": its administrators alone", lane.owner_party)
        }
        (_, Rule::WriterAndAdministrators) => format!(
            "{at} owner = \"{}\": its administrators, and `{writer}`, who writes",
            lane.owner_party
        ),
    })
}
