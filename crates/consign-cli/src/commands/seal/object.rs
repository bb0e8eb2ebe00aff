//! Sealing into an object that Amazon's S3 Encryption Clients open.

use std::fs::File;

use consign::s3ec::{SealAs, put};
use consign_cloud::s3::PutObject;
use consign_seal::s3ec::{CommitmentPolicy, Suite};

use crate::args::SealArgs;
use crate::commands::object_address::ObjectAddress;
use crate::commands::{interrupt, object_keys};
use crate::connect;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;

pub(super) async fn seal(
    args: &SealArgs,
    address: &ObjectAddress,
    settings: &Settings,
) -> Result<serde_json::Value, CommandError> {
    let keyring = object_keys::for_sealing(&args.object_keys)?.ok_or_else(|| {
        CommandError::usage("it is not said which key is to open the object")
            .hint("--kms KEY-ARN, --aes-key FILE or --rsa-key FILE; or seal into a file first")
    })?;
    let others = !args.to.is_empty() || !args.recipients_file.is_empty() || !args.pgp.is_empty();
    if others || args.passphrase || args.armor {
        return Err(CommandError::usage(
            "an object of the S3 Encryption Client has one key, and neither recipients nor armor",
        )
        .hint("seal into a file, and put it with aws s3 cp"));
    }
    let [path] = args.files.as_slice() else {
        return Err(CommandError::usage("-o names one object, and there are several to seal"));
    };
    let cannot = |e| CommandError::usage(format!("cannot read {}", path.display())).caused_by(e);
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(CommandError::usage(format!("{} is not a regular file", path.display()))
            .hint("an object's length must be known before it is sent"));
    }
    let (suite, commitment) = match args.format.as_str() {
        "v2" => (Suite::Gcm, CommitmentPolicy::ForbidEncryptAllowDecrypt),
        _ => (Suite::GcmCommitted, CommitmentPolicy::default()),
    };
    let seal = SealAs {
        suite,
        commitment,
        context: object_keys::context(&args.object_keys.context)?,
        instruction_file: args.instruction_file,
    };
    let to = PutObject { if_none_match: !args.force, ..address.to_put() };
    let cloud = connect::connect(settings, None).await?;
    let bytes = metadata.len();
    let done = tokio::select! {
        done = put(&cloud, to, file, bytes, &keyring, &seal) => done?,
        () = interrupt::wait() => return Err(CommandError::new(Kind::Interrupted, "interrupted")),
    };
    Ok(serde_json::json!({
        "file": path.display().to_string(),
        "sealed": address.to_string(),
        "bytes": bytes,
        "suite": suite.to_string(),
        "context": seal.context,
        "version_id": done.version_id,
    }))
}

/// What is said about objects must not pass in silence where none is written.
pub(super) fn refuse_idle_flags(args: &SealArgs) -> Result<(), CommandError> {
    let keys = &args.object_keys;
    let named = keys.kms.is_some() || keys.aes_key.is_some() || keys.rsa_key.is_some();
    if named || !keys.context.is_empty() || args.instruction_file || args.format != "v3" {
        return Err(CommandError::usage(
            "--kms, --aes-key, --rsa-key, --context, --format and --instruction-file are for objects",
        )
        .hint("add -o s3://BUCKET/KEY"));
    }
    Ok(())
}
