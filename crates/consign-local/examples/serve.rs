//! `cargo run -p consign-local --example serve -- ROOT [LISTEN]`: serves ROOT until it is killed.
//!
//! Prints the environment that other people's clients need. The tests start it as a process of its
//! own, to kill it.

use std::io::Write;
use std::sync::Arc;

use consign_local::{Account, Bootstrap, PrincipalKind, ServeOptions, SystemClock};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let root = args.next().ok_or("usage: serve ROOT [LISTEN]")?;
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    let user = |account: &str, name: &str| Bootstrap {
        account: account.to_owned(),
        kind: PrincipalKind::User,
        name: format!("consign/{name}"),
        profile: name.to_owned(),
    };
    let options = ServeOptions {
        root: root.into(),
        listen,
        http: Some("127.0.0.1:0".parse()?),
        region: "eu-west-1".to_owned(),
        accounts: ["111111111111", "222222222222"].map(|id| Account { id: id.to_owned() }).into(),
        principals: vec![
            user("111111111111", "acme"),
            user("222222222222", "globex"),
            user("222222222222", "stranger"),
        ],
        clock: Arc::new(SystemClock),
        observer: std::env::var_os("CONSIGN_LOCAL_LOG").map(|_| {
            Arc::new(|served: &consign_local::Served| eprintln!("{served:?}"))
                as Arc<dyn Fn(&consign_local::Served) + Send + Sync>
        }),
    };
    let running = consign_local::start(options).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "AWS_ENDPOINT_URL={}", running.endpoint())?;
    writeln!(out, "PLAIN_ENDPOINT={}", running.http_endpoint().unwrap_or_default())?;
    writeln!(out, "AWS_CA_BUNDLE={}", running.ca_path().display())?;
    writeln!(out, "AWS_SHARED_CREDENTIALS_FILE={}", running.credentials_path().display())?;
    writeln!(out, "AWS_CONFIG_FILE={}", running.config_path().display())?;
    writeln!(out, "READY=1")?;
    drop(out);
    std::future::pending::<()>().await;
    Ok(())
}
