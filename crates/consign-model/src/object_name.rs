//! The names that objects of a consignment have in the bucket: numbers, telling nothing.

use crate::name::text_type;
use crate::{Error, ErrorKind, Seal, name::shown};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

text_type!(
    /// An object of a consignment, without the consignment's own prefix: `000001.age` holds a
    /// file, `pack-000001.tar.zst.age` holds many; the ending is that of the lane's seal
    /// ([`Seal::ending`]).
    ObjectName, "an object's name", object_name
);

impl ObjectName {
    /// The object that holds one file.
    #[must_use]
    pub fn file(number: u32, seal: Seal) -> ObjectName {
        ObjectName(format!("{number:06}{}", seal.ending()))
    }

    /// The object that holds many small files.
    #[must_use]
    pub fn pack(number: u32, seal: Seal) -> ObjectName {
        ObjectName(format!("pack-{number:06}.tar.zst{}", seal.ending()))
    }

    /// Whether it holds many files in one archive.
    #[must_use]
    pub fn is_pack(&self) -> bool {
        self.0.starts_with("pack-")
    }

    /// How it is sealed, by its ending.
    #[must_use]
    pub fn seal(&self) -> Seal {
        let named = |seal: &Seal| self.0.ends_with(seal.ending());
        SEALED.into_iter().find(named).unwrap_or(Seal::None)
    }
}

/// Those with an ending of their own.
const SEALED: [Seal; 3] = [Seal::Age, Seal::Openpgp, Seal::S3ec];

fn object_name(text: &str) -> Result<(), &'static str> {
    let stem = SEALED.iter().find_map(|seal| text.strip_suffix(seal.ending())).unwrap_or(text);
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
        for seal in [Seal::Age, Seal::Openpgp, Seal::S3ec, Seal::None] {
            for name in [ObjectName::file(1, seal), ObjectName::pack(7, seal)] {
                assert_eq!(ObjectName::parse(name.as_str()).expect("its own text"), name);
                assert_eq!(name.seal(), seal);
            }
        }
        assert!(ObjectName::pack(1, Seal::None).is_pack());
        for bad in [
            "",
            "1.age",
            "../000001.age",
            "000001.age.age",
            "000001.gpg.age",
            "000001.pgp",
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
