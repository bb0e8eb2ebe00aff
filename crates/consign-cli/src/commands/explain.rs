//! `consign explain`: why a request on a lane is allowed or denied, statement by statement.

use consign_iam::Principal;
use consign_provision::ask::{Answer, Asker, Question, ask};
use consign_provision::{Desired, Documents, Keys};

use super::world::World;
use crate::args::ExplainArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// Explains one request over the planned or the deployed documents.
pub(crate) async fn run(
    args: &ExplainArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let (desired, documents) = if args.live {
        let world = World::look(settings, &args.administrators).await?;
        let documents = Documents::observed(&world.desired, &world.observed);
        (world.desired, documents)
    } else {
        let desired = Desired::of(&settings.exchange()?)?;
        let documents = Documents::planned(&desired, &Keys::new());
        (desired, documents)
    };
    let question = Question {
        who: asker(args, settings)?,
        action: args.action.clone(),
        resource: args.resource.clone(),
        with: args.with.iter().map(|pair| context(pair)).collect::<Result<_, _>>()?,
        plain_http: args.http,
    };
    let answer = ask(&desired, &documents, &question)?;
    terminal.result(&answer, &text(&answer))
}

fn asker(args: &ExplainArgs, settings: &Settings) -> Result<Asker, CommandError> {
    match (&args.principal, &settings.party) {
        (Some(text), _) => Principal::parse(text).map(Asker::Principal).map_err(|refusal| {
            CommandError::usage("--principal names nobody")
                .caused_by(refusal)
                .hint("--principal arn:aws:iam::ACCOUNT:role/NAME, or '*' for an unsigned request")
        }),
        (None, Some(party)) => Ok(Asker::Party(party.clone())),
        (None, None) => {
            Err(CommandError::usage("whose request?").hint("--as PARTY, or --principal ARN"))
        }
    }
}

fn context(pair: &str) -> Result<(String, String), CommandError> {
    match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(CommandError::usage(format!("--with {pair} is not KEY=VALUE"))
            .hint("--with s3:if-none-match='*'")),
    }
}

fn text(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.sentence);
    for note in &answer.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    for call in &answer.calls {
        text.push_str(&format!("\n{call}"));
    }
    text
}
