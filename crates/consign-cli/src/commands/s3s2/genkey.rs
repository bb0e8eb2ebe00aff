//! `consign s3s2 genkey`.

use consign_seal::s3s2;
use serde_json::json;

use super::natively;
use crate::args::S3s2GenkeyArgs;
use crate::commands::files;
use crate::error::CommandError;
use crate::terminal::Terminal;

pub(super) fn run(args: &S3s2GenkeyArgs, terminal: &Terminal) -> Result<(), CommandError> {
    if args.keyprefix.is_empty() || args.keyprefix.contains(['/', '\\', '\n']) {
        return Err(CommandError::usage("--keyprefix is no name for a file"));
    }
    let cannot = |path: &std::path::Path, error: std::io::Error| {
        CommandError::usage(format!("cannot write the key {}", path.display()))
            .caused_by(error)
            .hint("a key is never replaced; choose another --keydir or --keyprefix")
    };
    files::private_dir(&args.keydir).map_err(|error| cannot(&args.keydir, error))?;
    let private = args.keydir.join(format!("{}.privkey", args.keyprefix));
    let public = args.keydir.join(format!("{}.pubkey", args.keyprefix));
    let pair = s3s2::generate(&args.keyprefix)?;
    files::write_new(&private, pair.private.as_bytes(), files::SECRET)
        .map_err(|error| cannot(&private, error))?;
    files::write_new(&public, pair.public.as_bytes(), files::PUBLIC).map_err(|error| {
        let _removed = std::fs::remove_file(&private);
        cannot(&public, error)
    })?;
    let value = json!({"private": private, "public": public, "fingerprint": pair.fingerprint});
    let text =
        format!("{}\n{}\nfingerprint {}", private.display(), public.display(), pair.fingerprint);
    terminal.result(&value, &text)?;
    natively(terminal, &["consign keys new PARTY"]);
    Ok(())
}
