//! Objects of the Amazon S3 Encryption Client: opened where they are, with what lies beside them.
//!
//! V2 and V3 authenticate as a whole, so they are fetched, sealed, into a nameless file first. V1 is
//! opened behind `--legacy`, and then nothing of it is known to be what was sealed.

use consign::s3ec::{get, header};
use consign_seal::s3ec::{CommitmentPolicy, ExpectedContext, Header, OpenPolicy, Suite};

use super::source::{Body, Object, SealedSource, cannot_spool};
use super::{interrupted, output, said};
use crate::args::OpenArgs;
use crate::commands::interrupt;
use crate::commands::object_keys;
use crate::error::CommandError;
use crate::terminal::{Terminal, bytes, escape};

pub(super) async fn open(
    args: &OpenArgs,
    source: SealedSource,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let (name, length) = (source.name, source.bytes.unwrap_or_default());
    let Body::Object(object) = source.body else {
        return Err(CommandError::usage("what opens it lies beside the object in S3")
            .hint("name the object: s3://BUCKET/KEY"));
    };
    let Object { cloud, at } = *object;
    let suffix = args.instruction_suffix.as_deref();
    let header = header(&cloud, &at, suffix).await?;
    if args.inspect {
        return inspect(&name, length, &header, terminal);
    }
    let Some(keyring) = object_keys::for_opening(&args.object_keys)? else {
        return Err(wanted(&header));
    };
    let policy = policy(args)?;
    let mut output = output(args)?;
    let mut spool = tempfile::tempfile().map_err(cannot_spool)?;
    let written = tokio::select! {
        written = get(&cloud, &at, suffix, &keyring, &policy, &mut spool, &mut output) => written?,
        () = interrupt::wait() => return Err(interrupted()),
    };
    output.finish()?;
    if header.suite() == Suite::Cbc {
        terminal.say(
            "note: nothing authenticates this object: anybody with access to the bucket \
                      could have changed it",
        );
    }
    let more =
        serde_json::json!({ "suite": header.suite().to_string(), "context": header.context() });
    said(&name, args.output.as_deref(), written, &more, terminal)
}

/// The newest form and V2 open without a switch; a context that is named must be the object's.
fn policy(args: &OpenArgs) -> Result<OpenPolicy, CommandError> {
    let context = match args.object_keys.context.is_empty() {
        true => ExpectedContext::AsStored,
        false => ExpectedContext::Exactly(object_keys::context(&args.object_keys.context)?),
    };
    Ok(OpenPolicy {
        commitment: CommitmentPolicy::RequireEncryptAllowDecrypt,
        legacy_wrapping: args.legacy,
        legacy_content: args.legacy,
        unauthenticated_ranges: false,
        context,
    })
}

/// Who could open it.
fn wanted(header: &Header) -> CommandError {
    let (by, flag) = object_keys::of_wrap(header.wrap());
    let context = header.context();
    let of = match context.is_empty() {
        true => String::new(),
        false => format!(" ({})", escape(&shown(&context))),
    };
    CommandError::usage(format!("its data key is wrapped by {by}{of}, and none was named"))
        .hint(format!("add {flag}"))
}

fn shown(context: &consign_seal::s3ec::Pairs) -> String {
    let pairs: Vec<String> =
        context.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(", ")
}

fn inspect(
    name: &str,
    length: u64,
    header: &Header,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let (by, flag) = object_keys::of_wrap(header.wrap());
    let context = header.context();
    let version = format!("{:?}", header.format());
    let view = serde_json::json!({
        "sealed": name,
        "format": format!("Amazon S3 Encryption Client, {version}"),
        "sealed_bytes": length,
        "suite": header.suite().to_string(),
        "key_wrapped_by": by,
        "context": context,
        "commits_to_its_key": header.suite().commits_to_its_key(),
    });
    let mut text = format!(
        "{}: Amazon S3 Encryption Client, {version}, {}, {}\nits data key is wrapped by {by}: {flag}",
        escape(name),
        header.suite(),
        bytes(length)
    );
    if !context.is_empty() {
        text.push_str(&format!("\ncontext: {}", escape(&shown(&context))));
    }
    terminal.result(&view, &text)
}
