//! moto's server: other people's answers in AWS's shapes, and no security at all. It keeps what it
//! is told and enforces nothing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use crate::judges;

/// A server on a port of its own choice; dropping it ends it.
pub struct Moto {
    server: Child,
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
}

impl Moto {
    /// Starts `moto_server`, the tool, for this account.
    pub fn start(tool: &Path, account: &str) -> Moto {
        let mut command = judges::command(tool);
        command.args(["--host", "127.0.0.1", "--port", "0"]).env("MOTO_ACCOUNT_ID", account);
        let server = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut server = server.expect("moto_server starts");
        let said = BufReader::new(server.stderr.take().expect("its words"));
        let mut lines = said.lines().map_while(Result::ok);
        let line = lines.find(|line| line.contains("Running on http://"));
        let line = line.expect("moto says where it is");
        let endpoint = line.split_whitespace().find(|word| word.starts_with("http://"));
        let endpoint = endpoint.expect("moto says where it is").to_owned();
        // Read on, or the server blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Moto { server, endpoint }
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}
