//! A good acknowledgement, and what becomes of it when one thing is changed for the worse.

use consign_model::{ACKNOWLEDGEMENT_BYTES_MAX, Acknowledgement};
use serde_json::{Value, json};

fn good() -> Value {
    let digest = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    json!({
        "format": "consign-acknowledgement/1", "exchange": "acme-globex", "inbox": "reports-in",
        "delivery": digest, "record": digest, "party": "globex",
        "acknowledged": "2026-11-21T03:00:00Z",
    })
}

fn check(pointer: &str, value: Value, said: &str) {
    let mut text = good();
    *text.pointer_mut(pointer).expect(pointer) = value;
    let error = Acknowledgement::parse(text.to_string().as_bytes()).expect_err(said).to_string();
    assert!(error.contains(said), "{said:?} is not in {error:?}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

#[test]
fn a_good_one_reads_as_it_is_written() {
    let said = Acknowledgement::parse(good().to_string().as_bytes()).expect("it is good");
    let bytes = said.to_bytes();
    assert_eq!(Acknowledgement::parse(&bytes).expect("its own bytes"), said);
    let key = Acknowledgement::signature_key(&said.delivery, "in/", &bytes);
    assert!(key.starts_with(&format!("in/acknowledgements/{}.", said.delivery)), "{key}");
}

#[test]
fn whatever_is_wrong_is_refused() {
    check("/format", json!("consign-acknowledgement/2"), "consign-acknowledgement/1");
    check("/format", json!("\u{1b}[31m"), "has the format");
    check("/delivery", json!("../../x"), "not an acknowledgement");
    check("/record", json!("af13"), "not an acknowledgement");
    check("/party", json!("Globex\n"), "not an acknowledgement");
    check("/acknowledged", json!("yesterday"), "not an acknowledgement");
    for text in ["", "[]", "{}", "null", "\u{0}", "{\"format\":1}"] {
        Acknowledgement::parse(text.as_bytes()).expect_err(text);
    }
    let mut more = good();
    more["more"] = json!(1);
    Acknowledgement::parse(more.to_string().as_bytes()).expect_err("an unknown field");
    let long = vec![b' '; ACKNOWLEDGEMENT_BYTES_MAX + 1];
    let error = Acknowledgement::parse(&long).expect_err("too long").to_string();
    assert!(error.contains("at most"), "{error}");
}
