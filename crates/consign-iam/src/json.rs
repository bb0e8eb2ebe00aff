//! A strict JSON reader for policies. It keeps what a refusal needs (the place of every value),
//! sees what a policy must not have (a name twice in one object, extreme depth), and keeps the text
//! of numbers, because a policy compares `1.10` as it was written.

use crate::error::Refusal;

/// Deeper than any element of the policy language by far.
const DEPTH_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) kind: Kind,
    pub(crate) offset: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Value>),
    Object(Vec<Member>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) offset: usize,
    pub(crate) value: Value,
}

impl Value {
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::Array(_) => "an array",
            Kind::Object(_) => "an object",
        }
    }
}

/// Reads one JSON value and nothing after it.
pub(crate) fn read(text: &str) -> Result<Value, Refusal> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.refuse("there is more text after the end of the document")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, Refusal> {
        self.skip_space();
        let offset = self.at;
        if depth > DEPTH_MAX {
            return Err(self.refuse("nested deeper than any policy is"));
        }
        let kind = match self.peek() {
            Some(b'{') => Kind::Object(self.object(depth)?),
            Some(b'[') => Kind::Array(self.array(depth)?),
            Some(b'"') => Kind::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => Kind::Number(self.number()?),
            Some(b't') => self.word("true", Kind::Bool(true))?,
            Some(b'f') => self.word("false", Kind::Bool(false))?,
            Some(b'n') => self.word("null", Kind::Null)?,
            Some(_) => return Err(self.refuse("not JSON: expected a value here")),
            None => return Err(self.refuse("not JSON: the text ends where a value is expected")),
        };
        Ok(Value { kind, offset })
    }

    fn object(&mut self, depth: usize) -> Result<Vec<Member>, Refusal> {
        let mut members: Vec<Member> = Vec::new();
        let mut names = std::collections::HashSet::new();
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(members);
        }
        loop {
            self.skip_space();
            let offset = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.refuse("not JSON: expected a name in quotes"));
            }
            let name = self.string()?;
            if !names.insert(name.clone()) {
                self.at = offset;
                return Err(self.refuse(&format!("`{name}` stands twice in one object")));
            }
            self.skip_space();
            if !self.take(b':') {
                return Err(self.refuse("not JSON: expected `:`"));
            }
            let value = self.value(depth + 1)?;
            members.push(Member { name, offset, value });
            self.skip_space();
            if self.take(b'}') {
                return Ok(members);
            }
            if !self.take(b',') {
                return Err(self.refuse("not JSON: expected `,` or `}`"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Vec<Value>, Refusal> {
        let mut values = Vec::new();
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(values);
        }
        loop {
            values.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(values);
            }
            if !self.take(b',') {
                return Err(self.refuse("not JSON: expected `,` or `]`"));
            }
        }
    }

    fn string(&mut self) -> Result<String, Refusal> {
        let mut out = String::new();
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or("");
            let Some(stop) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                return Err(self.refuse("not JSON: a string does not end"));
            };
            out.push_str(rest.get(..stop).unwrap_or(""));
            self.at += stop;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err(self.refuse("not JSON: a control character in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Refusal> {
        let letter = self.text.as_bytes().get(self.at + 1).copied();
        self.at += 2;
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.refuse("not JSON: unknown escape in a string")),
        })
    }

    fn unicode_escape(&mut self) -> Result<char, Refusal> {
        let first = self.four_hex()?;
        let code = match first {
            0xD800..=0xDBFF => {
                let paired = self.text.get(self.at..).is_some_and(|rest| rest.starts_with("\\u"));
                self.at += if paired { 2 } else { 0 };
                match paired.then(|| self.four_hex()).transpose()? {
                    Some(second @ 0xDC00..=0xDFFF) => {
                        0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => return Err(self.refuse("not JSON: half of a surrogate pair")),
                }
            }
            code => code,
        };
        char::from_u32(code).ok_or_else(|| self.refuse("not JSON: half of a surrogate pair"))
    }

    fn four_hex(&mut self) -> Result<u32, Refusal> {
        let digits = self
            .text
            .get(self.at..self.at + 4)
            .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let code =
            code.ok_or_else(|| self.refuse("not JSON: `\\u` wants four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<String, Refusal> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or("").to_owned())
    }

    fn digits(&mut self) -> Result<(), Refusal> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.refuse("not JSON: a digit is missing"));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn word(&mut self, word: &str, kind: Kind) -> Result<Kind, Refusal> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.refuse("not JSON: expected a value here"));
        }
        self.at += word.len();
        Ok(kind)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn refuse(&self, reason: &str) -> Refusal {
        Refusal::new("", reason).at(self.text, self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_serde(value: &Value) -> serde_json::Value {
        match &value.kind {
            Kind::Null => serde_json::Value::Null,
            Kind::Bool(b) => (*b).into(),
            Kind::Number(text) => serde_json::from_str(text).unwrap(),
            Kind::String(text) => text.as_str().into(),
            Kind::Array(values) => values.iter().map(as_serde).collect(),
            Kind::Object(members) => {
                members.iter().map(|m| (m.name.clone(), as_serde(&m.value))).collect()
            }
        }
    }

    proptest::proptest! {
        /// Agrees with another reader on text that is nearly JSON.
        #[test]
        fn reads_what_serde_reads(text in r#"[\[\]{}",:0-9eE.+\-tfn \\ruaslбD8C]{0,40}"#) {
            let other: Result<serde_json::Value, _> = serde_json::from_str(&text);
            match (read(&text), other) {
                (Ok(ours), Ok(theirs)) => proptest::prop_assert_eq!(as_serde(&ours), theirs),
                (Err(_), Err(_)) => {}
                (Err(ours), Ok(_)) => proptest::prop_assert!(
                    ours.reason().contains("twice") || ours.reason().contains("deeper"), "{}", ours),
                // Numbers beyond the range of f64 are JSON all the same.
                (Ok(_), Err(theirs)) => proptest::prop_assert!(
                    theirs.to_string().contains("out of range"), "{}", theirs),
            }
        }
    }

    #[test]
    fn strings_and_places() {
        let value = read("{\"a\": \"\\ud83d\\ude00\\u00fc\\n/\\/\"}").unwrap();
        assert_eq!(as_serde(&value), serde_json::json!({ "a": "😀ü\n//" }));
        let refusal = read("{\n  \"a\": 1,\n  \"a\": 2}").unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "document (line 3, column 3): `a` stands twice in one object"
        );
        assert!(read(&"[".repeat(100_000)).unwrap_err().reason().contains("deeper"));
        assert!(read("\u{feff}{}").is_err());
    }
}
