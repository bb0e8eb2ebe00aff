//! `consign prove --documents`: policy documents that somebody wrote, judged.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use consign_provision::documents::{Finding, Folder, Hints, Reading, Report, Weight, readings};
use consign_provision::exchange_line::line_of;
use consign_provision::{Desired, Operation};

use super::files;
use super::prove::{certified, page};
use crate::args::ProveArgs;
use crate::error::{CommandError, Kind};
use crate::settings::Settings;
use crate::terminal::{Terminal, table};

/// Beyond any policy document (AWS's largest has 32 KiB, and white space does not count).
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;

/// The columns of the table.
const COLUMNS: [Operation; 6] = [
    Operation::Put,
    Operation::PutConsignment,
    Operation::PutMultipart,
    Operation::Get,
    Operation::List,
    Operation::PutPlainHttp,
];

/// What `world.toml` may say: the same as the flags.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct World {
    #[serde(default)]
    bucket: BTreeMap<String, String>,
    #[serde(default)]
    whose: BTreeMap<String, String>,
}

/// Judges the folder; fails with the exit code of a failed proof if it does not hold.
pub(crate) fn run(
    folder: &Path,
    args: &ProveArgs,
    settings: &Settings,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let texts = read(folder)?;
    let hints = hints(folder, args)?;
    let beside = folder.join("exchange.toml");
    if settings.exchange_is_named {
        return against(settings, &texts, &hints, args, terminal);
    }
    if beside.is_file() {
        let settings = Settings { exchange_file: beside, ..settings.clone() };
        return against(&settings, &texts, &hints, args, terminal);
    }
    match readings(&texts, &hints)?.as_slice() {
        [only] => {
            terminal.result(&only.report, &text(&only.report))?;
            let findings = only.report.findings.iter();
            let grave = findings.filter(|it| it.weight != Weight::Advice).count();
            match only.report.holds() {
                true => Ok(()),
                false => Err(CommandError::new(
                    Kind::Integrity,
                    format!("the documents do not hold: {grave} findings are more than advice"),
                )),
            }
        }
        several => show_readings(several, terminal),
    }
}

/// Whatever reading was meant: if none holds, no answer helps; else the person has to say.
fn show_readings(readings: &[Reading], terminal: &Terminal) -> Result<(), CommandError> {
    let mut page = String::new();
    for (number, reading) in readings.iter().enumerate() {
        let _ = writeln!(page, "READING {}: {}\n", number + 1, words(reading));
        page += &text(&reading.report);
        page.push('\n');
    }
    terminal.result(&readings, &page)?;
    let whose = |reading: &Reading| -> String {
        let told = reading.assumed.iter();
        told.map(|(file, key)| format!(" --whose {file}={key}")).collect()
    };
    match readings.iter().find(|reading| reading.report.holds()) {
        Some(holds) => Err(CommandError::usage(
            "the documents do not say whose the key policies are",
        )
        .hint(format!("they hold if read so: consign prove --documents DIR{}", whose(holds)))),
        None => Err(CommandError::new(
            Kind::Integrity,
            format!("the documents do not hold in any of the {} ways to read them", readings.len()),
        )),
    }
}

/// `key-first.json is the policy of arn:…, key-second.json of arn:…`
fn words(reading: &Reading) -> String {
    let mut parts: Vec<String> = reading
        .assumed
        .iter()
        .map(|(file, key)| format!("{file} is the policy of {key}"))
        .collect();
    let replaced = reading.replaced.iter();
    parts.extend(
        replaced.map(|file| format!("{file} was put on the same key before it, and is gone")),
    );
    parts.join("; ")
}

/// Judges the documents by what an exchange file declares.
fn against(
    settings: &Settings,
    texts: &BTreeMap<String, String>,
    hints: &Hints,
    args: &ProveArgs,
    terminal: &Terminal,
) -> Result<(), CommandError> {
    let (exchange, file) = settings.exchange_text()?;
    let desired = Desired::of(&exchange)?;
    let proof = certified(&desired, &Folder::for_exchange(&desired, texts, hints)?, args)?;
    terminal.result(&proof, &page(&proof, args.all))?;
    if proof.holds() {
        return Ok(());
    }
    let mut error = CommandError::new(
        Kind::Integrity,
        format!("the documents do not give what {} declares", settings.exchange_file.display()),
    );
    for lane in &proof.public {
        error = error.hint(format!("the bucket of lane `{lane}` is public"));
    }
    let cells = proof.failures().map(|it| (&it.lane, it.declared_by, it.to_string()));
    let claims = proof.failed_claims().map(|it| (&it.lane, it.declared_by, it.to_string()));
    for (lane, word, words) in cells.chain(claims) {
        let line = line_of(&file, lane.as_ref(), word);
        let line = line.map(|line| format!(":{line}")).unwrap_or_default();
        error = error.hint(format!("{}{line}: {words}", settings.exchange_file.display()));
    }
    Err(error)
}

/// The documents of a folder: its files named *.json, not those of folders below it.
fn read(folder: &Path) -> Result<BTreeMap<String, String>, CommandError> {
    let fault = |e: std::io::Error| {
        CommandError::usage(format!("cannot read the folder {}", folder.display())).caused_by(e)
    };
    let mut texts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        // The index that `consign export policies` writes beside its documents.
        if path.file_name().is_some_and(|name| name == "index.json") {
            continue;
        }
        if path.extension().is_none_or(|extension| extension != "json") || !path.is_file() {
            continue;
        }
        let fault = |e: std::io::Error| {
            CommandError::usage(format!("cannot read {}", path.display())).caused_by(e)
        };
        if std::fs::metadata(&path).map_err(fault)?.len() > DOCUMENT_BYTES_MAX {
            let words = format!("{} is too large for a policy document", path.display());
            return Err(CommandError::usage(words).hint("move it out of the folder"));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let text = files::read_text(&path).map_err(fault)?.to_string();
        texts.insert(name.unwrap_or_default(), text);
    }
    match texts.is_empty() {
        false => Ok(texts),
        true => Err(CommandError::usage(format!("{} holds no *.json", folder.display()))
            .hint("put each policy document into a file of its own, such as bucket-out.json")),
    }
}

/// The flags, which win over `world.toml`.
fn hints(folder: &Path, args: &ProveArgs) -> Result<Hints, CommandError> {
    let path = folder.join("world.toml");
    let world: World = match files::read_text(&path) {
        Ok(text) => toml_edit::de::from_str(&text).map_err(|e| {
            CommandError::usage(format!("{} is faulty", path.display()))
                .caused_by(e)
                .hint("it has the tables [bucket] (NAME = KEY-ARN) and [whose] (FILE = ARN)")
        })?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => World::default(),
        Err(e) => {
            return Err(CommandError::usage(format!("cannot read {}", path.display())).caused_by(e));
        }
    };
    let mut hints = Hints { buckets: world.bucket, whose: world.whose };
    for (flag, given, into) in [
        ("--bucket", &args.buckets, &mut hints.buckets),
        ("--whose", &args.whose, &mut hints.whose),
    ] {
        for pair in given {
            let Some((name, value)) = pair.split_once('=') else {
                return Err(CommandError::usage(format!("{flag} {pair} is not NAME=ARN")));
            };
            into.insert(name.to_owned(), value.to_owned());
        }
    }
    Ok(hints)
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    for file in &report.files {
        let _ = writeln!(text, "{}: {}", file.file, file.what);
    }
    let mut heading = vec!["BUCKET".to_owned(), "WHO".to_owned()];
    heading.extend(COLUMNS.iter().map(ToString::to_string));
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = report
        .matrix
        .iter()
        .map(|row| {
            let marks = COLUMNS.iter().map(|it| if row.can(*it) { "yes" } else { "–" });
            let names = [row.bucket.as_str(), row.who.as_str()];
            names.into_iter().chain(marks).map(str::to_owned).collect()
        })
        .collect();
    let _ = writeln!(text, "\n{}\n", table(&heading, &rows));
    for words in &report.summary {
        let _ = writeln!(text, "{words}");
    }
    for (weight, title) in [
        (Weight::Broken, "Broken: meant to work, and does not"),
        (Weight::Open, "Open: somebody can do what nobody should"),
        (Weight::Advice, "Advice"),
    ] {
        let findings: Vec<&Finding> =
            report.findings.iter().filter(|it| it.weight == weight).collect();
        if !findings.is_empty() {
            let _ = writeln!(text, "\n{title}");
        }
        for finding in findings {
            let _ = writeln!(text, "  {}{}", place(finding), finding.words);
            let _ = writeln!(text, "    fix: {}  [{}]", finding.fix, finding.id);
        }
    }
    for note in &report.notes {
        let _ = writeln!(text, "\nnote: {note}");
    }
    text
}

fn place(finding: &Finding) -> String {
    match (&finding.document, &finding.statement) {
        (Some(document), Some(statement)) => format!("{document}, {statement}: "),
        (Some(document), None) => format!("{document}: "),
        (None, _) => String::new(),
    }
}
