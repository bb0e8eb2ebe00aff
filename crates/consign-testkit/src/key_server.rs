//! A web server that gives keys out over TLS under a certificate of its own: Python's and OpenSSL's, so
//! that other people's TLS judges ours.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// `/keys` gives the file, `/near` redirects to it, `/far` through another name, `/plain` without TLS,
/// `/round` to itself; `/endless` gives too much, and anything else is not there.
const SERVE: &str = include_str!("../judges/key_server.py");

/// A server on a port of its own choice; dropping it ends it.
pub struct KeyServer {
    server: Child,
    /// `https://127.0.0.1:PORT`
    pub origin: String,
    /// The certificate to trust, in PEM.
    pub certificate: PathBuf,
}

impl KeyServer {
    /// Serves the file `keys`; the certificate and its key go into `folder`.
    pub fn start(python: &Path, openssl: &Path, folder: &Path, keys: &Path) -> KeyServer {
        let (certificate, private) = (folder.join("tls.crt"), folder.join("tls.key"));
        let made = Command::new(openssl)
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .args(["-nodes", "-days", "2", "-subj", "/CN=keys"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
            .args([private.as_os_str(), "-out".as_ref(), certificate.as_os_str()])
            .output()
            .expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = Command::new(python)
            .args(["-c", SERVE])
            .args([&certificate, &private, keys])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python starts");
        let mut port = String::new();
        let said = server.stdout.take().expect("its words");
        BufReader::new(said).read_line(&mut port).expect("the server says where it is");
        KeyServer { server, origin: format!("https://127.0.0.1:{}", port.trim()), certificate }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        // An error means that it is gone already.
        let _gone = self.server.kill();
        let _reaped = self.server.wait();
    }
}
