//! Sealing for OpenPGP certificates, perhaps signed.

use std::path::Path;

use consign_seal::openpgp::{Certificate, SealOptions, SealWriter, SecretKey};

use super::{input, name_of};
use crate::args::SealArgs;
use crate::commands::interrupt::Flag;
use crate::commands::open::copy;
use crate::commands::openpgp_keys;
use crate::commands::passphrase::Passphrases;
use crate::commands::whole_file::WholeFile;
use crate::error::CommandError;
use crate::office::now_ms;

/// Who can open it, and who signs.
pub(super) struct Means {
    certificates: Vec<Certificate>,
    signer: Option<SecretKey>,
}

impl Means {
    pub(super) fn read(args: &SealArgs) -> Result<Means, CommandError> {
        let mut certificates = Vec::new();
        for file in &args.pgp {
            certificates.extend(openpgp_keys::read_certificates(file)?);
        }
        let signer = args.sign.as_deref().map(|file| signer(file, args)).transpose()?;
        Ok(Means { certificates, signer })
    }
}

/// The one key of a file; asks for its passphrase if it has one.
fn signer(file: &Path, args: &SealArgs) -> Result<SecretKey, CommandError> {
    let mut keys = openpgp_keys::read_secret(file)?.into_iter();
    let (Some(mut key), None) = (keys.next(), keys.next()) else {
        return Err(CommandError::usage(format!(
            "{} holds several keys: whose signature is it to be?",
            file.display()
        ))
        .hint("export the one key alone: gpg --export-secret-keys FINGERPRINT"));
    };
    if key.is_locked() {
        let passphrases = Passphrases::from(args.passphrase_file.as_deref());
        key.unlock(&passphrases.existing_text(&file.display().to_string())?)?;
    }
    Ok(key)
}

pub(super) fn seal(
    args: &SealArgs,
    file: &Path,
    mut output: WholeFile,
    means: &Means,
    stop: &Flag,
) -> Result<serde_json::Value, CommandError> {
    let mut input = input(file, stop)?;
    let options = SealOptions {
        signer: means.signer.as_ref(),
        armor: args.armor,
        ..SealOptions::at(now_ms() / 1000)
    };
    let broken = |error| CommandError::failed("cannot write the output").caused_by(error);
    let buffered = std::io::BufWriter::with_capacity(1 << 18, &mut output);
    let mut writer = SealWriter::new(buffered, &means.certificates, &options)?;
    let total = copy(&mut input, &mut writer, stop, broken)?;
    let mut buffered = writer.finish()?;
    std::io::Write::flush(&mut buffered).map_err(broken)?;
    drop(buffered);
    let sealed = name_of(&output);
    output.finish()?;
    let recipients: Vec<_> = means.certificates.iter().map(Certificate::fingerprint).collect();
    Ok(serde_json::json!({
        "file": file.display().to_string(),
        "sealed": sealed,
        "bytes": total,
        "recipients": recipients,
        "signed_by": means.signer.as_ref().map(SecretKey::fingerprint),
    }))
}
