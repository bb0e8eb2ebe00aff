//! Passphrases: from a file, or asked for on the terminal itself. Never from an argument, which
//! every user of the machine can read, nor from standard input, which is the file to be sealed.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use consign_seal::age::Passphrase;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{CommandError, Kind};

const BYTES_MAX: u64 = 4096;

/// Where passphrases come from.
pub(crate) struct Passphrases {
    file: Option<PathBuf>,
}

impl Passphrases {
    /// From the flag, else from the file that the variable names, else from the terminal.
    pub(crate) fn from(flag: Option<&Path>) -> Passphrases {
        let named = || std::env::var_os("CONSIGN_PASSPHRASE_FILE").map(PathBuf::from);
        Passphrases { file: flag.map(Path::to_path_buf).or_else(named) }
    }

    /// Whether asking would succeed without a person.
    pub(crate) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// The passphrase for opening `what`.
    pub(crate) fn existing(&self, what: &str) -> Result<Passphrase, CommandError> {
        passphrase(self.existing_text(what)?)
    }

    /// The same as text, for formats that have another idea of passphrases than age.
    pub(crate) fn existing_text(&self, what: &str) -> Result<Zeroizing<String>, CommandError> {
        match &self.file {
            Some(file) => read_file(file),
            None => ask(&format!("Passphrase of {what}: ")),
        }
    }

    /// A passphrase for sealing `what`: a person says it twice.
    pub(crate) fn new_one(&self, what: &str) -> Result<Passphrase, CommandError> {
        if let Some(file) = &self.file {
            return passphrase(read_file(file)?);
        }
        let words = ask(&format!("Passphrase for {what}: "))?;
        let again = ask("The same again: ")?;
        if *words != *again {
            return Err(CommandError::usage("the two passphrases differ"));
        }
        passphrase(words)
    }
}

fn passphrase(words: Zeroizing<String>) -> Result<Passphrase, CommandError> {
    Passphrase::new(words).map_err(CommandError::from)
}

/// The first line of a file that nobody else can read.
fn read_file(path: &Path) -> Result<Zeroizing<String>, CommandError> {
    let fault = |e: std::io::Error| {
        CommandError::usage(format!("cannot read the passphrase file {}", path.display()))
            .caused_by(e)
    };
    let file = std::fs::File::open(path).map_err(fault)?;
    let metadata = file.metadata().map_err(fault)?;
    let others = metadata.permissions().mode() & 0o077 != 0;
    if metadata.is_file() && others {
        return Err(CommandError::usage(format!(
            "the passphrase file {} can be read by others",
            path.display()
        ))
        .hint(format!("chmod 600 {}", path.display())));
    }
    let mut text = Zeroizing::new(String::with_capacity(BYTES_MAX as usize + 1));
    file.take(BYTES_MAX + 1).read_to_string(&mut text).map_err(fault)?;
    if text.len() as u64 > BYTES_MAX {
        return Err(CommandError::usage(format!("{} is too long to be one", path.display())));
    }
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Asks on the terminal, which shows nothing of the answer.
pub(super) fn ask(question: &str) -> Result<Zeroizing<String>, CommandError> {
    let none = |e: std::io::Error| {
        CommandError::usage("a passphrase is needed, and there is no terminal to ask on")
            .caused_by(e)
            .hint("give a file that holds it with --passphrase-file FILE")
    };
    let mut terminal =
        std::fs::File::options().read(true).write(true).open("/dev/tty").map_err(none)?;
    let silence = Silence::begin(&terminal).map_err(none)?;
    terminal.write_all(question.as_bytes()).map_err(none)?;
    let answer = read_answer(&mut terminal);
    drop(silence);
    terminal.write_all(b"\n").map_err(none)?;
    answer
}

/// The terminal neither shows what is typed nor acts on it, until this is dropped: Ctrl-C must not
/// end the program and leave the terminal mute.
struct Silence {
    terminal: std::fs::File,
    before: Termios,
}

impl Silence {
    fn begin(terminal: &std::fs::File) -> std::io::Result<Silence> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Silence { terminal: terminal.try_clone()?, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _restored = tcsetattr(&self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Characters up to the end of the line, with the keys that people use to correct themselves.
fn read_answer(terminal: &mut impl Read) -> Result<Zeroizing<String>, CommandError> {
    let mut answer = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize));
    let mut byte = [0u8];
    loop {
        let read = terminal
            .read(&mut byte)
            .map_err(|e| CommandError::failed("cannot read from the terminal").caused_by(e))?;
        match byte.first().copied().unwrap_or_default() {
            _ if read == 0 => break,
            b'\r' | b'\n' => break,
            3 | 4 => return Err(CommandError::new(Kind::Interrupted, "interrupted")),
            // Backspace takes a whole character, of however many bytes.
            8 | 127 => while answer.pop().is_some_and(|last| last & 0xc0 == 0x80) {},
            21 => answer.clear(),
            other if (answer.len() as u64) < BYTES_MAX => answer.push(other),
            _ => return Err(CommandError::usage("the passphrase is too long")),
        }
    }
    let text = std::str::from_utf8(&answer)
        .map_err(|_| CommandError::usage("the passphrase is not UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrections_are_understood() {
        for (typed, meant) in [
            ("abc\n", "abc"),
            ("abcd\x7f\r", "abc"),
            ("a☂\x7fb\n", "ab"),
            ("\x7f\x7fa\n", "a"),
            ("wrong\x15right\n", "right"),
            ("no end", "no end"),
            ("\n", ""),
        ] {
            let answer = read_answer(&mut typed.as_bytes()).unwrap();
            assert_eq!(answer.as_str(), meant, "{typed:?}");
        }
        assert!(read_answer(&mut "ab\x03c\n".as_bytes()).is_err());
    }
}
