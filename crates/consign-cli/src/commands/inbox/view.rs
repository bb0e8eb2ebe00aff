//! Deliveries and acknowledgements as tables, lines and JSON.

use consign::inbox::{Answer, AnswerStanding, Delivery, Fetched, Standing};
use serde_json::{Value, json};

use crate::error::chain;
use crate::terminal::{bytes, escape, table};

pub(super) fn delivery(it: &Delivery) -> Value {
    json!({
        "id": it.id.map(|id| id.to_string()),
        "key": it.key,
        "version": it.version,
        "bytes": it.bytes,
        "stored": it.stored.map(|time| time.to_string()),
        "standing": standing(it.standing),
        "why": it.why,
        "record": it.record,
        "acknowledgement": it.acknowledgement,
    })
}

pub(super) fn table_of(there: &[Delivery]) -> String {
    if there.is_empty() {
        return "Nothing is there.".to_owned();
    }
    let rows: Vec<Vec<String>> = there
        .iter()
        .map(|it| {
            vec![
                it.id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                standing(it.standing).to_owned(),
                it.stored.map_or_else(|| "-".to_owned(), |time| time.to_string()),
                bytes(it.bytes),
                with_why(&it.key, it.why.as_deref()),
            ]
        })
        .collect();
    table(&["ID", "STANDING", "STORED", "SIZE", "KEY"], &rows)
}

/// One that has come.
pub(super) fn line(it: &Delivery) -> String {
    let id = it.id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    format!("{id}  {}  {}", bytes(it.bytes), escape(&it.key))
}

fn with_why(key: &str, why: Option<&str>) -> String {
    match why {
        Some(why) => format!("{} ({})", escape(key), escape(why)),
        None => escape(key).to_string(),
    }
}

pub(super) fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Delivered => "delivered",
        Standing::Acknowledged => "acknowledged",
        Standing::Unrecorded => "unrecorded",
        Standing::Refused => "refused",
        Standing::Quarantined => "quarantined",
        Standing::Infected => "infected",
        Standing::Gone => "gone",
        _ => "unknown",
    }
}

pub(super) fn fetched(fetched: &Fetched) -> Value {
    let files: Vec<Value> = fetched
        .files
        .iter()
        .map(|it| {
            json!({
                "id": it.id.to_string(), "key": it.key, "path": it.path, "bytes": it.bytes,
                "already": it.already, "acknowledged": it.acknowledged,
            })
        })
        .collect();
    let refused = fetched.refused.iter();
    let refused: Vec<Value> =
        refused.map(|it| json!({"key": it.key, "error": chain(&it.error)})).collect();
    json!({"files": files, "refused": refused, "waiting": fetched.waiting, "gone": fetched.gone})
}

pub(super) fn fetched_text(fetched: &Fetched) -> String {
    let mut lines: Vec<String> = fetched
        .files
        .iter()
        .map(|it| {
            let word = if it.already { "There already:" } else { "Fetched" };
            let told = if it.acknowledged { ", acknowledged" } else { "" };
            let path = it.path.display().to_string();
            format!("{word} {} ({}{told})", escape(&path), bytes(it.bytes))
        })
        .collect();
    if fetched.waiting > 0 {
        lines.push(format!("{} not ready yet: consign inbox list says why.", fetched.waiting));
    }
    if fetched.gone > 0 {
        lines.push(format!("{} recorded and not there: consign inbox list.", fetched.gone));
    }
    if lines.is_empty() && fetched.refused.is_empty() {
        lines.push("Nothing new.".to_owned());
    }
    lines.join("\n")
}

pub(super) fn answer(it: &Answer) -> Value {
    let id = it.id.to_string();
    match &it.standing {
        AnswerStanding::Acknowledged(said) => {
            json!({"id": id, "standing": "acknowledged", "acknowledgement": said})
        }
        AnswerStanding::Refused(why) => json!({"id": id, "standing": "refused", "why": why}),
        _ => json!({"id": id, "standing": "waiting"}),
    }
}

pub(super) fn answers_text(answers: &[Answer]) -> String {
    if answers.is_empty() {
        return "Nothing was delivered.".to_owned();
    }
    let rows: Vec<Vec<String>> = answers
        .iter()
        .map(|it| {
            let (standing, by) = match &it.standing {
                AnswerStanding::Acknowledged(said) => {
                    ("acknowledged", format!("{} by {}", said.acknowledged, said.party))
                }
                AnswerStanding::Refused(why) => ("refused", escape(why).to_string()),
                _ => ("waiting", String::new()),
            };
            vec![it.id.to_string(), standing.to_owned(), by]
        })
        .collect();
    table(&["ID", "STANDING", ""], &rows)
}
