//! Ceph's object gateway over a cluster of one machine: a monitor, one OSD on a file, and `radosgw`, on
//! free loopback ports, without systemd and without a line in /etc/ceph.
//!
//! It is the store that hospitals and universities run themselves. What Debian has of it (16.2) is older
//! than S3's checksums and than conditional copies, and so judges what is left of a promise where a
//! store does not help. Start with [`Ceph::start`].

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::judges;
use crate::ports::{answers, at, free_ports};

/// Measured: ready after six seconds on two busy cores; the rest is for a busier machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

const STARTS: u32 = 3;
/// A process ended before all were ready.
const ENDED: io::ErrorKind = io::ErrorKind::ConnectionAborted;

/// The key of the only user, who owns every bucket.
pub const ACCESS_KEY_ID: &str = "CEPHADMIN";
/// Its secret: the cluster lives for one test on loopback ports.
pub const SECRET_ACCESS_KEY: &str = "ceph-admin-secret";

/// By which the processes of the cluster know each other; as secret as [`SECRET_ACCESS_KEY`]. Without any
/// (`auth_client_required = none`) the gateway does not start.
const CLUSTER_KEY: &str = "AQCjHQJrul8NNhAAxZRHsI47aHGoaSn0stODlA==";
const OSD: &str = "6f1a0c52-7c0e-4d39-9a51-0b6d1f9d2a10";

/// A running cluster. Dropping it kills its processes and removes its data.
pub struct Ceph {
    /// Monitor, OSD and gateway, each once it was started.
    processes: Vec<Child>,
    s3: SocketAddr,
    folder: TempDir,
}

impl Ceph {
    /// Starts the cluster with what Debian's `ceph-mon`, `ceph-osd` and `radosgw` bring, and waits until
    /// S3 is served to the user whose keys are above.
    ///
    /// # Errors
    /// When a program is missing, fails, ends early (three times: somebody may take a port before it
    /// does), or nothing is served in time; the message carries the end of what the programs said.
    pub async fn start() -> io::Result<Ceph> {
        for _ in 1..STARTS {
            match Ceph::start_once().await {
                Err(error) if error.kind() == ENDED => {}
                done => return done,
            }
        }
        Ceph::start_once().await
    }

    async fn start_once() -> io::Result<Ceph> {
        let [monitor, s3] = free_ports::<2>()?;
        let folder = tempfile::Builder::new().prefix("consign-ceph-").tempdir()?;
        let mut ceph = Ceph { processes: Vec::new(), s3: at(s3), folder };
        let monitor = format!("[v2:{}]", at(monitor));
        fs::write(ceph.path("ceph.conf"), configuration(ceph.folder(), &monitor, ceph.s3))?;
        fs::write(ceph.path("keyring"), keyring())?;
        for folder in ["mon", "osd", "rgw"] {
            fs::create_dir(ceph.path(folder))?;
        }
        ceph.run("monmaptool", &["--create", "--addv", "a", &monitor, "monmap"]).await?;
        ceph.run("ceph-mon", &["--mkfs", "-i", "a", "--monmap", "monmap"]).await?;
        ceph.serve("ceph-mon", &["-i", "a"])?;
        // Its number is 0 in an empty cluster; to make its data it asks the monitor.
        ceph.run("ceph", &["--connect-timeout", "60", "osd", "new", OSD]).await?;
        ceph.run("ceph-osd", &["--mkfs", "-i", "0", "--osd-uuid", OSD]).await?;
        ceph.serve("ceph-osd", &["-i", "0"])?;
        ceph.serve("radosgw", &["-n", "client.admin"])?;
        ceph.served().await?;
        let [id, secret] = [("access-key", ACCESS_KEY_ID), ("secret-key", SECRET_ACCESS_KEY)]
            .map(|(name, value)| format!("--{name}={value}"));
        let user = ["user", "create", "--uid=admin", "--display-name=admin", &id, &secret];
        ceph.run("radosgw-admin", &user).await?;
        Ok(ceph)
    }

    /// `http://127.0.0.1:PORT`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.s3)
    }

    /// Where S3 listens, for a proxy in between.
    pub fn address(&self) -> SocketAddr {
        self.s3
    }

    /// The folder of its data, for a search after plaintext.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// One of Ceph's programs in the cluster's folder, without the variables by which it would find another.
    fn command(&self, program: &str, arguments: &[&str]) -> io::Result<Command> {
        let found = judges::find(program).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("{program} is missing"))
        })?;
        let mut command = judges::command(&found);
        command.current_dir(self.folder()).env_remove("CEPH_ARGS").env_remove("CEPH_KEYRING");
        command.env("CEPH_CONF", self.path("ceph.conf")).args(arguments);
        Ok(command)
    }

    /// Runs a program to its end.
    async fn run(&mut self, program: &str, arguments: &[&str]) -> io::Result<()> {
        let mut command = self.command(program, arguments)?;
        let output = spawn_blocking(move || command.output()).await.map_err(io::Error::other)??;
        if output.status.success() {
            return Ok(());
        }
        self.ended()?;
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{program} {arguments:?}: {}\n{said}", output.status)))
    }

    /// Starts a program that stays.
    fn serve(&mut self, program: &str, arguments: &[&str]) -> io::Result<()> {
        let log = fs::File::create(self.path(&format!("{program}.log")))?;
        let mut command = self.command(program, arguments)?;
        command.arg("-f").stdout(log.try_clone()?).stderr(log).stdin(Stdio::null());
        self.processes.push(command.spawn()?);
        Ok(())
    }

    async fn served(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while !answers(self.s3, "/", "200").await {
            self.ended()?;
            if start.elapsed() > READY_WITHIN {
                return Err(self.failed(io::ErrorKind::TimedOut, "Ceph was not ready in time"));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// An error if one of the processes has ended.
    fn ended(&mut self) -> io::Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.try_wait()? {
                return Err(self.failed(ENDED, &format!("one of Ceph's ended with {status}")));
            }
        }
        Ok(())
    }

    fn failed(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        let logs = ["ceph-mon", "ceph-osd", "radosgw"].map(|program| {
            let log = fs::read_to_string(self.path(&format!("{program}.log"))).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            format!("{program}: {}", tail.join("\n"))
        });
        io::Error::new(kind, format!("{what}:\n{}", logs.join("\n")))
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        // The gateway first, or it would wait for its cluster; nobody needs what they would save.
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Everybody is one person here, who may do everything.
fn keyring() -> String {
    let entry = |name: &str, monitor: &str| {
        format!("[{name}]\nkey = {CLUSTER_KEY}\ncaps mon = \"{monitor}\"\ncaps osd = \"allow *\"\n")
    };
    [("mon.", "allow *"), ("client.admin", "allow *"), ("osd.0", "allow profile osd")]
        .map(|(name, monitor)| entry(name, monitor))
        .concat()
}

/// One copy of everything, in as few placement groups as there can be. The data lie in a file, sparse, and
/// not in memory (`memstore`, ready in two seconds): what is to be searched for plaintext has to lie
/// somewhere.
fn configuration(folder: &Path, monitor: &str, s3: SocketAddr) -> String {
    let folder = folder.display();
    format!(
        r#"[global]
keyring = {folder}/keyring
mon_host = {monitor}
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_ipv6 = false
ms_bind_msgr1 = false
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
run_dir = {folder}
crash_dir = {folder}
admin_socket =
pid_file =
log_file = /dev/null
mon_cluster_log_file = /dev/null
err_to_stderr = true
# Pools of one copy, and of a disk that is fuller than a server's should be.
osd_pool_default_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
mon_data_avail_crit = 0
osd_objectstore = bluestore
bluestore_block_size = 1073741824
osd_memory_target = 939524096
# What has to be noticed during a start is looked for every five seconds otherwise.
mon_tick_interval = 1
mon_client_hunt_interval = 0.5
objecter_tick_interval = 0.5
paxos_propose_interval = 0.05
rgw_frontends = beast endpoint={s3}
rgw_enable_apis = s3
# Its only region is called `default`, and buckets are asked for in another.
rgw_relaxed_region_enforcement = true
rgw_thread_pool_size = 32
"#
    )
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn it_takes_an_object_as_soon_as_it_is_ready() {
        let (_, _, _, s5cmd) = crate::require!("ceph-mon", "ceph-osd", "radosgw", "s5cmd");
        let ceph = Ceph::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mark = b"what a search must find";
        let content = [crate::payload::ramp(100_000).as_slice(), mark].concat();
        std::fs::write(folder.path().join("up"), &content).unwrap();
        for words in ["mb s3://bucket", "cp up s3://bucket/key", "cp s3://bucket/key down"] {
            let mut command = judges::command(&s5cmd);
            command.current_dir(folder.path()).args(["--endpoint-url", &ceph.endpoint()]);
            command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_REGION", "us-east-1");
            command.env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY).args(words.split(' '));
            let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(std::fs::read(folder.path().join("down")).unwrap(), content);
        let mut disk = fs::File::open(ceph.folder().join("osd/block")).unwrap();
        let (mut block, hole, mut found) = (vec![0; 1 << 20], vec![0; 1 << 20], false);
        while let (false, read @ 1..) = (found, disk.read(&mut block).unwrap()) {
            let block = &block[..read];
            found = block != &hole[..read] && crate::payload::contains(block, mark);
        }
        assert!(found, "the disk does not hold what was stored");
    }
}
