//! Speaks to `age-plugin-NAME` programs, which wrap and unwrap file keys in ways that consign does
//! not know: on hardware, in another service (age-plugin.md).
//!
//! [`wrap`] and [`unwrap`] start the program, say what they have, answer its questions and take what
//! it gives. What it says to the person goes to standard error, what it asks is asked on the
//! terminal. A program is found on PATH only, and a plugin's name cannot be a path.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use consign_seal::age::{FileKey, Header, PluginIdentity, PluginRecipient, Stanza};

use super::passphrase;
use crate::error::CommandError;
use crate::terminal::{escape, say};

/// A plugin answers in stanzas of some hundred bytes; post-quantum ones have two thousand.
const STANZA_BYTES_MAX: usize = 256 * 1024;

/// Has the program wrap `file_key` for its recipients, all of one plugin.
pub(crate) fn wrap(
    name: &str,
    recipients: &[&PluginRecipient],
    file_key: &FileKey,
) -> Result<Vec<Stanza>, CommandError> {
    let mut plugin = Conversation::start(name, "recipient-v1")?;
    for recipient in recipients {
        let (text, is_identity) = recipient.text();
        plugin.say(if is_identity { "add-identity" } else { "add-recipient" }, &[text], &[])?;
    }
    plugin.say("wrap-file-key", &[], file_key.bytes())?;
    plugin.say("done", &[], &[])?;
    let mut stanzas = Vec::new();
    plugin.listen(|command| {
        let (name, arguments) = command.arguments().split_first()?;
        if command.name() != "recipient-stanza" || name != "0" {
            return None;
        }
        let (kind, rest) = arguments.split_first()?;
        let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
        stanzas.push(Stanza::new(kind, &rest, command.body()).ok()?);
        Some(())
    })?;
    if stanzas.is_empty() || stanzas.len() > recipients.len() {
        return Err(failed(name, "it wrapped the key for another number of recipients"));
    }
    Ok(stanzas)
}

/// Has the program look for a stanza that its identity opens.
pub(crate) fn unwrap(
    identity: &PluginIdentity,
    header: &Header,
) -> Result<Option<FileKey>, CommandError> {
    let mut plugin = Conversation::start(identity.name(), "identity-v1")?;
    plugin.say("add-identity", &[identity.text()], &[])?;
    for stanza in header.stanzas() {
        let mut arguments = vec!["0", stanza.name()];
        arguments.extend(stanza.arguments().iter().map(String::as_str));
        plugin.say("recipient-stanza", &arguments, stanza.body())?;
    }
    plugin.say("done", &[], &[])?;
    let mut found = None;
    plugin.listen(|command| {
        let [index] = command.arguments() else { return None };
        if command.name() != "file-key" || index != "0" {
            return None;
        }
        found = Some(FileKey::from_bytes(command.body().try_into().ok()?));
        Some(())
    })?;
    Ok(found)
}

/// One run of a plugin; it ends with this.
struct Conversation {
    name: String,
    child: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
    heard: zeroize::Zeroizing<Vec<u8>>,
}

impl Conversation {
    fn start(name: &str, machine: &str) -> Result<Conversation, CommandError> {
        let program = format!("age-plugin-{name}");
        let mut child = Command::new(&program)
            .arg(format!("--age-plugin={machine}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| {
                CommandError::usage(format!("cannot start the plugin {program}"))
                    .caused_by(e)
                    .hint(format!("install {program} into a folder on PATH"))
            })?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed(name, "it has no pipes"));
        };
        let heard = zeroize::Zeroizing::new(Vec::new());
        Ok(Conversation { name: name.to_owned(), child, to: Some(to), from, heard })
    }

    fn say(&mut self, command: &str, arguments: &[&str], body: &[u8]) -> Result<(), CommandError> {
        let stanza = Stanza::new(command, arguments, body)?;
        let Some(to) = &mut self.to else { return Err(failed(&self.name, "it has ended")) };
        to.write_all(stanza.to_text().as_bytes())
            .map_err(|e| failed(&self.name, "it does not listen").caused_by(e))
    }

    fn hear(&mut self) -> Result<Stanza, CommandError> {
        loop {
            let (stanza, used) = match Stanza::read(&self.heard) {
                Ok(Some(read)) => read,
                Ok(None) if self.heard.len() < STANZA_BYTES_MAX => {
                    let mut piece = zeroize::Zeroizing::new([0u8; 4096]);
                    let count = self.from.read(piece.as_mut_slice()).unwrap_or_default();
                    if count == 0 {
                        return Err(failed(&self.name, "it ended in the middle"));
                    }
                    self.heard.extend_from_slice(piece.get(..count).unwrap_or_default());
                    continue;
                }
                _ => return Err(failed(&self.name, "it does not speak the protocol")),
            };
            self.heard.drain(..used);
            return Ok(stanza);
        }
    }

    /// The second phase: answers until the plugin is done. `take` gets what is not common to both
    /// machines and says `None` to what it does not know.
    fn listen(&mut self, mut take: impl FnMut(&Stanza) -> Option<()>) -> Result<(), CommandError> {
        let mut errors = Vec::new();
        loop {
            let command = self.hear()?;
            let text = escape(&String::from_utf8_lossy(command.body()));
            match command.name() {
                "done" => break,
                "msg" => {
                    say(&format!("{}: {text}", self.name));
                    self.say("ok", &[], &[])?;
                }
                "request-secret" => match passphrase::ask(&format!("{}: {text} ", self.name)) {
                    Ok(secret) => self.say("ok", &[], secret.as_bytes())?,
                    Err(_) => self.say("fail", &[], &[])?,
                },
                // There is no button to press and nothing public that consign could know.
                "confirm" | "request-public" => self.say("fail", &[], &[])?,
                "error" => {
                    errors.push(text);
                    self.say("ok", &[], &[])?;
                }
                _ => match take(&command) {
                    Some(()) => self.say("ok", &[], &[])?,
                    None => self.say("unsupported", &[], &[])?,
                },
            }
        }
        match errors.is_empty() {
            true => Ok(()),
            false => Err(failed(&self.name, &errors.join("; "))),
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        // All is said: it has nothing left to do, and one that goes on all the same is ended.
        self.to = None;
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn failed(name: &str, why: &str) -> CommandError {
    CommandError::failed(format!("the plugin age-plugin-{name} failed: {why}"))
}
