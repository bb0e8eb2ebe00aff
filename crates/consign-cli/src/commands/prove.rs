//! `consign prove`: the matrix of who can do what on every lane.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use consign_provision::desired::DesiredLane;
use consign_provision::observed::Sight;
use consign_provision::prove::{Access, Alike, Certificates, prove_and};
use consign_provision::{Desired, Documents, Operation, Proof};

use super::apply::refuse_unless_it_holds;
use super::documents;
use super::world::World;
use crate::args::ProveArgs;
use crate::error::CommandError;
use crate::settings::Settings;
use crate::terminal::{Terminal, table};

/// The columns of the short table.
const COLUMNS: [Operation; 12] = [
    Operation::Put,
    Operation::PutMultipart,
    Operation::Get,
    Operation::List,
    Operation::Delete,
    Operation::Overwrite,
    Operation::PutOtherKey,
    Operation::PutPlainHttp,
    Operation::Deliver,
    Operation::GetReleased,
    Operation::SendToQueue,
    Operation::ReceiveFromQueue,
];

/// Proves the planned or the deployed documents; fails if a cell is not as declared.
pub(crate) async fn run(
    args: &ProveArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    if let Some(folder) = &args.documents {
        return documents::run(folder, args, settings, terminal);
    }
    let mut unknown = Vec::new();
    let proof = if args.live {
        let world = World::look(settings, &args.administrators).await?;
        let documents = Documents::observed(&world.desired, &world.observed);
        unknown = untold(&world);
        certified(&world.desired, &documents, args)?
    } else {
        let desired = Desired::of(&settings.exchange()?)?;
        let documents = Documents::planned(&desired, &consign_provision::Keys::new());
        certified(&desired, &documents, args)?
    };
    terminal.result(&proof, &page(&proof, args.all))?;
    refuse_unless_it_holds(&proof).map_err(|error| match unknown.as_slice() {
        [] => error,
        lanes => error
            .within(format!(
                "what is deployed names keys that others own, and those of {} are not known here",
                lanes.join(", ")
            ))
            .hint(format!("their owner tells them: add --key {}=ARN", lanes.join("=ARN --key "))),
    })
}

/// Lanes whose key nobody told of and nobody could see: what names the key is judged with a stand-in.
fn untold(world: &World) -> Vec<String> {
    let hidden = |lane: &&DesiredLane| {
        let seen = world.observed.lanes.get(&lane.name);
        lane.has_key() && seen.is_none_or(|seen| seen.key == Sight::Hidden)
    };
    world.desired.lanes.values().filter(hidden).map(|lane| lane.name.to_string()).collect()
}

/// Proves, and writes what others can check where that is asked for: the certificates, as a JSON list
/// of the claims, each with its tree of cases; and the claims for solvers. The result itself does not
/// repeat them.
pub(crate) fn certified(
    desired: &Desired,
    documents: &Documents,
    args: &ProveArgs,
) -> Result<Proof, CommandError> {
    if args.certificate.is_none() && args.emit.is_empty() {
        return Ok(prove_and(desired, documents, Certificates::Dropped)?);
    }
    let mut proof = prove_and(desired, documents, Certificates::Kept)?;
    if let Some(path) = &args.certificate {
        write_certificates(&proof, path).map_err(|e| cannot_write(path, e))?;
    }
    match args.emit.as_slice() {
        [] => {}
        [format, folder] if format == "smt2" => {
            let folder = Path::new(folder);
            write_smt2(&proof, folder).map_err(|e| cannot_write(folder, e))?;
        }
        [format, ..] => {
            return Err(CommandError::usage(format!("--emit knows no format `{format}`"))
                .hint("--emit smt2 DIR"));
        }
    }
    for claim in &mut proof.claims {
        (claim.certificate, claim.smt2) = (None, None);
    }
    Ok(proof)
}

fn cannot_write(path: &Path, e: std::io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}", path.display())).caused_by(e)
}

fn write_certificates(proof: &Proof, path: &Path) -> std::io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    serde_json::to_writer(&mut file, &proof.claims)?;
    file.flush()
}

/// `LANE-NUMBER.smt2`, each beginning with what it claims.
fn write_smt2(proof: &Proof, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, claim) in proof.claims.iter().enumerate() {
        let Some(text) = &claim.smt2 else { continue };
        let name = format!("{}-{:04}.smt2", claim.lane, number + 1);
        let words = format!("; lane {}: {} ({})\n", claim.lane, claim.claim, claim.callers);
        std::fs::write(folder.join(name), words + text)?;
    }
    Ok(())
}

/// The matrix, with every cell where they are asked for.
pub(crate) fn page(proof: &Proof, all: bool) -> String {
    let mut page = text(proof);
    for cell in proof.cells.iter().filter(|_| all) {
        let _ = writeln!(page, "{cell}");
    }
    for claim in proof.claims.iter().filter(|_| all) {
        let _ = writeln!(page, "{claim}");
    }
    page
}

/// The matrix and what it is worth, as a person reads it.
pub(crate) fn text(proof: &Proof) -> String {
    let mut heading = vec!["LANE".to_owned(), "WHO".to_owned()];
    let columns: Vec<Operation> = COLUMNS
        .into_iter()
        .filter(|operation| proof.cells.iter().any(|cell| cell.operation == *operation))
        .collect();
    heading.extend(columns.iter().map(ToString::to_string));
    let rows: Vec<Vec<String>> = proof
        .table(&columns)
        .into_iter()
        .map(|row| {
            let marks = row.access.iter().map(|access| match access {
                Some(Access::Allowed) => "yes".to_owned(),
                Some(Access::Denied) => "–".to_owned(),
                None => String::new(),
            });
            [row.lane.to_string(), row.subject.to_string()].into_iter().chain(marks).collect()
        })
        .collect();
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    let mut text = table(&heading, &rows);
    text.push('\n');
    for alike in &proof.alike {
        let _ = write!(text, "\n{}", like(alike));
    }
    let failures = proof.failures().count();
    let _ = write!(
        text,
        "\n{} cells ({} operations in all), {failures} not as declared; {} claims over all requests, {} not \
         proved. Proved against {}, not by AWS.\n",
        proof.totals.cells,
        Operation::ALL.len(),
        proof.totals.claims,
        proof.failed_claims().count(),
        proof.model
    );
    for assumed in &proof.assumed {
        let _ = writeln!(text, "not looked at, taken as planned: {assumed}");
    }
    text
}

/// "`orders-p1` stands for 999 more lanes …".
fn like(alike: &Alike) -> String {
    let (first, last) = (alike.lanes.first(), alike.lanes.last());
    let names = match (first, last) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => only.to_string(),
        _ => String::new(),
    };
    let count = alike.lanes.len();
    let lanes = if count == 1 { "lane" } else { "lanes" };
    format!("{} stands for {count} more {lanes}, proved likewise: {names}.", alike.listed)
}
