//! The `consign` binary: turns what was typed into settings, calls one function, prints what came
//! back. Start with [`run`]: one `match` over everything the program can do. No business rules live
//! here; `send` is `consign::send`, `apply` is `consign_provision::apply`, and so on.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads; terminal.rs does not"
)]

mod args;
mod commands;
mod connect;
mod error;
mod office;
mod progress;
mod settings;
mod terminal;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Arguments, Command, InternalsCommand, KeysCommand, LocalCommand};
use crate::commands::key_sources;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::Terminal;

/// A request is thousands of small allocations, most of them the SDK's. With the C library's allocator a
/// publisher takes half as much processor time again (docs/decisions/0024-allocator.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(typed());
    let terminal = Terminal::new(arguments.global.json, arguments.global.quiet)
        .with_details(arguments.global.verbose);
    match start(arguments, &terminal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal.error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// What was typed. Lambda starts a custom runtime by its name alone, and means `publish`.
fn typed() -> Vec<OsString> {
    let mut typed: Vec<OsString> = std::env::args_os().collect();
    if typed.len() == 1 && commands::publish::is_bootstrap() {
        typed.push("publish".into());
    }
    typed
}

fn start(arguments: Arguments, terminal: &Terminal) -> Result<(), CommandError> {
    let settings =
        Settings::resolve(&arguments.global, &settings::environment(std::env::vars_os())?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::internal("cannot start the asynchronous runtime", e))?;
    runtime.block_on(run(arguments.command, &settings, terminal))
}

async fn run(
    command: Command,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    match command {
        Command::Demo(args) => commands::demo::run(&args, terminal).await,
        Command::Init(args) => commands::init::run(&args, settings, terminal),
        Command::Keys(KeysCommand::New(args)) => commands::keys::new(&args, settings, terminal),
        Command::Keys(KeysCommand::LaneSecret(args)) => {
            commands::lane_secret::run(&args, settings, terminal)
        }
        Command::Keys(KeysCommand::List) => commands::keys::list(settings, terminal),
        Command::Local(LocalCommand::Serve(args)) => {
            commands::local::serve(&args, settings, terminal).await
        }
        Command::Plan(args) => commands::plan::run(&args, settings, terminal).await,
        Command::Apply(args) => commands::apply::run(&args, settings, terminal).await,
        Command::Adopt(args) => commands::adopt::run(&args, settings, terminal).await,
        Command::Handover(args) => commands::handover::run(&args, settings, terminal).await,
        Command::Permissions(_) => commands::permissions::run(settings, terminal),
        Command::Destroy(args) => commands::destroy::run(&args, settings, terminal).await,
        Command::Prove(args) => commands::prove::run(&args, settings, terminal).await,
        Command::Explain(args) => commands::explain::run(&args, settings, terminal).await,
        Command::Evaluate(args) => commands::evaluate::run(&args, terminal),
        Command::Export(what) => commands::export::run(&what, settings, terminal).await,
        Command::Audit(args) => commands::audit::run(&args, settings, terminal).await,
        Command::Doctor(args) => commands::doctor::run(&args, settings, terminal).await,
        Command::Send(args) => commands::send::run(&args, settings, terminal).await,
        Command::Receive(args) => commands::receive::run(&args, settings, terminal).await,
        Command::Publish(args) => commands::publish::run(&args, settings, terminal).await,
        Command::Inbox(command) => commands::inbox::run(&command, settings, terminal).await,
        Command::Rekey(args) => commands::rekey::run(&args, settings, terminal).await,
        Command::Rewrap(args) => commands::rewrap::run(&args, settings, terminal).await,
        Command::List(args) => commands::list::run(&args, settings, terminal).await,
        Command::Show(args) => commands::show::run(&args, settings, terminal).await,
        Command::Verify(args) => commands::verify::run(&args, settings, terminal).await,
        Command::S3s2(command) => commands::s3s2::run(&command, settings, terminal).await,
        Command::Seal(mut args) => {
            let _held = key_sources::public(&mut args.recipients_file, settings).await?;
            let _certificates = key_sources::public(&mut args.pgp, settings).await?;
            commands::seal::run(&args, settings, terminal).await
        }
        Command::Open(mut args) => {
            let _held = key_sources::private(&mut args.identity, settings).await?;
            commands::open::run(&args, settings, terminal).await
        }
        Command::Completions(args) => commands::completions::run(&args, terminal),
        Command::Internals(InternalsCommand::Man(args)) => commands::man::run(&args),
    }
}
