//! The request context: condition keys and the values a request carries for them.

use crate::key::Key;

/// Condition keys of one request with their values. Keys are compared without regard to case. A
/// key with an empty list of values is the same as a key that is absent, as it is for AWS.
///
/// Keys that follow from the principal and the resource (`aws:PrincipalArn`,
/// `aws:PrincipalAccount`, `aws:username`, `aws:ResourceAccount`, `kms:CallerAccount`, …) need
/// not be put here: [`Request`](crate::Request) answers them itself, unless they are given.
#[derive(Clone, Debug, Default)]
pub struct Context {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    key: Key,
    // INVARIANT: not empty.
    values: Vec<String>,
}

impl Context {
    /// A context without any key.
    pub fn new() -> Context {
        Context::default()
    }

    /// Sets a key to one value, replacing what it had.
    pub fn insert(&mut self, key: &str, value: impl Into<String>) {
        self.insert_many(key, [value.into()]);
    }

    /// Sets a key to a list of values, replacing what it had. An empty list removes the key.
    pub fn insert_many<V: Into<String>>(&mut self, key: &str, values: impl IntoIterator<Item = V>) {
        let key = Key::new(key);
        self.entries.retain(|entry| entry.key != key);
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        if !values.is_empty() {
            self.entries.push(Entry { key, values });
        }
    }

    /// The same as [`insert`](Context::insert), for building in one expression.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Context {
        self.insert(key, value);
        self
    }

    /// The values of a key, or `None` where it is absent.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        self.find(&Key::new(key))
    }

    /// Every key with its values, in the order of insertion.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.entries.iter().map(|entry| (entry.key.as_str(), entry.values.as_slice()))
    }

    pub(crate) fn find(&self, key: &Key) -> Option<&[String]> {
        self.entries.iter().find(|entry| entry.key == *key).map(|entry| entry.values.as_slice())
    }
}

impl<K: AsRef<str>, V: Into<String>> FromIterator<(K, V)> for Context {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Context {
        let mut context = Context::new();
        for (key, value) in pairs {
            context.insert(key.as_ref(), value);
        }
        context
    }
}
