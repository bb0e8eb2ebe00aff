//! The names that objects of a consignment have in the bucket: numbers, telling nothing.

use crate::name::text_type;
use crate::{Error, ErrorKind, name::shown};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

text_type!(
    /// An object of a consignment, without the consignment's own prefix: `000001.age` holds a
    /// file, `pack-000001.tar.zst.age` holds many; without `.age` on a lane that does not seal.
    ObjectName, "an object's name", object_name
);

impl ObjectName {
    /// The object that holds one file.
    #[must_use]
    pub fn file(number: u32, sealed: bool) -> ObjectName {
        ObjectName(format!("{number:06}{}", if sealed { ".age" } else { "" }))
    }

    /// The object that holds many small files.
    #[must_use]
    pub fn pack(number: u32, sealed: bool) -> ObjectName {
        ObjectName(format!("pack-{number:06}.tar.zst{}", if sealed { ".age" } else { "" }))
    }

    /// Whether it holds many files in one archive.
    #[must_use]
    pub fn is_pack(&self) -> bool {
        self.0.starts_with("pack-")
    }

    /// Whether it is an age file.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.0.ends_with(".age")
    }
}

fn object_name(text: &str) -> Result<(), &'static str> {
    let stem = text.strip_suffix(".age").unwrap_or(text);
    let number = match stem.strip_prefix("pack-") {
        Some(pack) => pack.strip_suffix(".tar.zst").unwrap_or(""),
        None => stem,
    };
    match number.len() == 6 && number.bytes().all(|b| b.is_ascii_digit()) {
        true => Ok(()),
        false => Err("it is like 000001.age or pack-000001.tar.zst.age"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_are_numbers() {
        for name in
            [ObjectName::file(1, true), ObjectName::pack(7, true), ObjectName::file(3, false)]
        {
            assert_eq!(ObjectName::parse(name.as_str()).expect("its own text"), name);
        }
        assert!(ObjectName::pack(1, false).is_pack() && !ObjectName::pack(1, false).is_sealed());
        for bad in [
            "",
            "1.age",
            "../000001.age",
            "000001.age.age",
            "manifest.json.age",
            "pack-000001.age",
            "pack-000001.tar",
            "000001.tar.zst",
            "00000١.age",
        ] {
            assert!(ObjectName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
